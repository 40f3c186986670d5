"""`make bench`: our training beside that of d2l and of transformers.

The programs alternate, each time in a process of its own. Writes results/bench.json and the table
in README.md. Machines are noisy: read the ratios. They are medians over rounds, and in each round
all programs ran one after the other.
"""

import argparse
import importlib.metadata
import statistics

from programs import BATCH_SIZE, MAX_LEN, SIZES, run
from report import MACHINE, gigabytes, keep, put_into_readme, with_table

from bert_tutorial import load_data_wiki

PROGRAMS = ("ours", "d2l", "transformers")


def operations_per_pair(num_batches: int = 20, only_what_is_used: bool = False) -> float:
    """Floating-point operations of a training step for one sentence pair.

    Matrix products of real tokens and real prediction slots only. A multiplication and an addition
    count as two, and the way back costs twice the way forward. With `only_what_is_used` the last
    layer counts only at the positions that a loss uses.
    """
    train_iter, vocab = load_data_wiki(BATCH_SIZE, MAX_LEN, corpus="wikitext-2")
    D, F = SIZES["num_hiddens"], SIZES["ffn_num_hiddens"]
    num_tokens = num_looks = num_slots = num_pairs = unused = looks_of_unused = 0
    for i in range(num_batches):
        batch = train_iter.batch(0, i)
        queries = batch.mlm_weights.sum(1) + 1  # of the last layer: the slots and <cls>
        num_tokens += int(batch.valid_lens.sum())
        num_looks += int(batch.valid_lens.square().sum())  # every token looks at every token
        num_slots += int(batch.mlm_weights.sum())
        num_pairs += len(batch.nsp_labels)
        unused += int((batch.valid_lens - queries).sum())
        looks_of_unused += int((batch.valid_lens * (batch.valid_lens - queries)).sum())
    encoder = SIZES["num_layers"] * (num_tokens * (4 * D * D + 2 * D * F) + num_looks * 2 * D)
    if only_what_is_used:
        encoder -= unused * (2 * D * D + 2 * D * F) + looks_of_unused * 2 * D
    heads = num_slots * (D * D + D * len(vocab)) + num_pairs * (D * D + 2 * D)
    return 2 * 3 * (encoder + heads) / num_pairs


def summarize(rounds: list[dict]) -> dict:
    """Medians over the rounds, and how near each program comes to the roofline."""
    rate, operations = max(found["matrix_rate"] for found in rounds), operations_per_pair()
    summary = {
        "machine": MACHINE,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", *PROGRAMS[1:])},
        "matrix_rate": rate,
        "operations_per_pair": operations,
        "operations_that_are_used": operations_per_pair(only_what_is_used=True),
    }
    for name in PROGRAMS:
        speeds = [found[name]["pairs_per_second"] for found in rounds]
        ours = [found["ours"]["pairs_per_second"] for found in rounds]
        ratios = [a / b for a, b in zip(ours, speeds, strict=True)]
        summary[name] = {
            "pairs_per_second": statistics.median(speeds),
            "ratio": statistics.median(ratios),
            "peak_memory": statistics.median(found[name]["peak_memory"] for found in rounds),
            "fraction_of_roofline": statistics.median(speeds) * operations / rate,
        }
    return summary | {"rounds": rounds}


def table(summary: dict) -> str:
    rate, operations = summary["matrix_rate"], summary["operations_per_pair"]
    about = (
        f"{summary['machine']}; {len(summary['rounds'])} rounds. "
        f"Matrix products in bf16: {rate / 1e9:.0f} GFLOP/s. "
        f"One pair takes {operations / 1e6:.0f} MFLOP, "
        f"or {summary['operations_that_are_used'] / 1e6:.0f} if the last layer computes only "
        f"what a loss uses. The roofline is {rate / operations:.0f} pairs/s."
    )
    rows = []
    for name in PROGRAMS:
        found = summary[name]
        rows.append(
            [
                name if name == "ours" else f"`{name}` {summary['versions'][name]}",
                f"{found['pairs_per_second']:.0f}",
                f"{found['ratio']:.1f}",
                gigabytes(found["peak_memory"]),
                f"{found['fraction_of_roofline']:.0%}",
            ]
        )
    header = ["program", "sentence pairs/s", "ours is faster by", "peak memory"]
    header.append("fraction of the roofline")
    return with_table(about, header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=30, help="how long each program trains in each round"
    )
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        found = run("matrix_rate", 0)
        for name in PROGRAMS:
            found[name] = run(name, options.seconds)
            print(f"round {number + 1}: {name}: {found[name]}", flush=True)
        rounds.append(found)
    summary = summarize(rounds)
    keep("bench", summary)
    put_into_readme("bench", table(summary))
    print(table(summary))


if __name__ == "__main__":
    main()
