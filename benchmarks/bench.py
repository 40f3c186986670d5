"""`make bench`: our training beside that of d2l and of transformers.

The programs alternate, each time in a process of its own. Writes results/bench.json and the table
in README.md. Machines are noisy: read the ratios. They are medians over rounds, and in each round
all programs ran one after the other.
"""

import argparse
import importlib.metadata
import statistics

from programs import run
from report import MACHINE, gigabytes, keep, put_into_readme, with_table

PROGRAMS = ("ours", "d2l", "transformers")


def summarize(rounds: list[dict]) -> dict:
    """Medians over the rounds, and how near each program comes to the roofline."""
    roofs = [found["roofline"] for found in rounds]
    fractions = [roof["operations"] / roof["seconds"] / roof["matrix_rate"] for roof in roofs]
    pairs = sum(roof["pairs"] for roof in roofs)
    summary = {
        "machine": MACHINE,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", *PROGRAMS[1:])},
        "matrix_rate": statistics.median(roof["matrix_rate"] for roof in roofs),
        "operations_per_pair": sum(roof["operations"] for roof in roofs) / pairs,
        "operations_that_are_used": sum(roof["that_are_used"] for roof in roofs) / pairs,
    }
    for name in PROGRAMS:
        speeds = [found[name]["pairs_per_second"] for found in rounds]
        ours = [found["ours"]["pairs_per_second"] for found in rounds]
        ratio = statistics.median(a / b for a, b in zip(ours, speeds, strict=True))
        summary[name] = {
            "pairs_per_second": statistics.median(speeds),
            "ratio": ratio,
            "peak_memory": statistics.median(found[name]["peak_memory"] for found in rounds),
            "fraction_of_roofline": statistics.median(fractions) / ratio,
        }
    return summary | {"rounds": rounds}


def table(summary: dict) -> str:
    rate, operations = summary["matrix_rate"], summary["operations_per_pair"]
    fractions = [
        f"{roof['operations'] / roof['seconds'] / roof['matrix_rate']:.0%}"
        for roof in (found["roofline"] for found in summary["rounds"])
    ]
    about = (
        f"{summary['machine']}; {len(summary['rounds'])} rounds. "
        f"Matrix products in bf16, in turn with our steps: {rate / 1e9:.0f} GFLOP/s. "
        f"One pair takes {operations / 1e6:.0f} MFLOP, "
        f"or {summary['operations_that_are_used'] / 1e6:.0f} if the last layer computes only "
        f"what a loss uses. The roofline is {rate / operations:.0f} pairs/s; "
        f"in the rounds ours reached {', '.join(fractions)} of it."
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
        found = {"roofline": run("roofline", options.seconds)}
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
