"""`make bench`: our training beside d2l's and transformers', alternating, each time in a process of its own.

Writes results/bench.json and the table in README.md. Machines are noisy: read the ratios, which are medians over rounds, in
each of which all programs ran one after the other.
"""

import argparse
import importlib.metadata
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from programs import BATCH_SIZE, MAX_LEN, SIZES

from bert_tutorial import load_data_wiki
from bert_tutorial.pretrain import machine

HERE = Path(__file__).parent
PROGRAMS = ("ours", "d2l", "transformers")
GIGA = 1e9
MACHINE = machine(torch.device("cpu"))


def run(name: str, seconds: float, **changes) -> dict:
    """One program in a process of its own."""
    command = [sys.executable, str(HERE / "programs.py"), name, str(seconds), json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def operations_per_pair(sizes=SIZES, max_len=MAX_LEN, num_batches: int = 20, only_what_is_read: bool = False) -> float:
    """Floating-point operations of a training step for one sentence pair.

    Matrix products of real tokens and real prediction slots only; a multiplication and an addition count as two, and the way
    back costs twice the way forward. With `only_what_is_read` the last layer counts only where a loss reads it.
    """
    train_iter, vocab = load_data_wiki(BATCH_SIZE, max_len, corpus="wikitext-2")
    D, F = sizes["num_hiddens"], sizes["ffn_num_hiddens"]
    tokens = pairs_of_tokens = slots = rows = readers = pairs_with_readers = 0
    for i in range(num_batches):
        batch = train_iter.batch(0, i)
        tokens += int(batch.valid_lens.sum())
        pairs_of_tokens += int(batch.valid_lens.square().sum())
        slots += int(batch.mlm_weights.sum())
        rows += len(batch.nsp_labels)
        reads = batch.mlm_weights.sum(1) + 1  # the slots and <cls>
        readers += int(reads.sum())
        pairs_with_readers += int((batch.valid_lens * reads).sum())
    encoder = sizes["num_layers"] * (tokens * (4 * D * D + 2 * D * F) + pairs_of_tokens * 2 * D)
    if only_what_is_read:
        encoder -= (tokens - readers) * (2 * D * D + 2 * D * F) + (pairs_of_tokens - pairs_with_readers) * 2 * D
    heads = slots * (D * D + D * len(vocab)) + rows * (D * D + 2 * D)
    return 2 * 3 * (encoder + heads) / rows


def put_into_readme(name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end of name -->` in README.md."""
    path = HERE / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(f"<!-- {name} -->\n", 1)
    _, after = rest.split(f"<!-- end of {name} -->", 1)
    path.write_text(f"{before}<!-- {name} -->\n{text}\n<!-- end of {name} -->{after}", encoding="utf-8")


def number_machines(results: list[dict]) -> tuple[dict[str, int], str]:
    """A number for each machine in a table, and the sentence that explains the numbers."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(result["machine"] for result in results), 1)}
    return numbers, f"Machines: {'; '.join(f'({number}) {name}' for name, number in numbers.items())}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="how long each program trains in each round")
    options = parser.parse_args()

    operations, read = operations_per_pair(), operations_per_pair(only_what_is_read=True)
    rounds = []
    for number in range(options.rounds):
        results = {"matrix_rate": run("matrix_rate", 0)["matrix_rate"]}
        for name in PROGRAMS:
            results[name] = run(name, options.seconds)
            print(f"round {number + 1}: {name}: {results[name]}", flush=True)
        rounds.append(results)

    def median(name, figure):
        return statistics.median(results[name][figure] for results in rounds)

    rate = max(results["matrix_rate"] for results in rounds)
    versions = {name: importlib.metadata.version(name) for name in ("torch", "d2l", "transformers")}
    summary = {"machine": MACHINE, "versions": versions, "matrix_rate": rate, "operations_per_pair": operations}
    summary["operations_that_are_read"] = read
    roofline = rate / operations
    lines = [
        f"{MACHINE}; {options.rounds} rounds of {options.seconds:.0f} s. Matrix products in bf16: {rate / GIGA:.0f} GFLOP/s, "
        f"which would be {roofline:.0f} pairs/s ({operations / 1e6:.0f} MFLOP each; "
        f"without what the last layer computes and nobody reads, {read / 1e6:.0f}).",
        "",
        "| program | sentence pairs/s | ours is faster by | peak memory | share of the roofline |",
        "|---|---|---|---|---|",
    ]
    for name in PROGRAMS:
        ratios = [r["ours"]["pairs_per_second"] / r[name]["pairs_per_second"] for r in rounds]
        entry = {
            "pairs_per_second": median(name, "pairs_per_second"),
            "ratio": statistics.median(ratios),
            "peak_memory": median(name, "peak_memory"),
        }
        entry["share_of_roofline"] = entry["pairs_per_second"] / roofline
        summary[name] = entry
        label = name if name == "ours" else f"`{name}` {versions[name]}"
        lines.append(
            f"| {label} | {entry['pairs_per_second']:.0f} | {entry['ratio']:.1f} | {entry['peak_memory'] / GIGA:.2f} GB "
            f"| {entry['share_of_roofline']:.0%} |"
        )
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "bench.json").write_text(json.dumps(summary | {"rounds": rounds}, indent=1) + "\n")
    put_into_readme("bench", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
