"""`make scaling`: how speed and memory change when one size is changed at a time.

Writes results/scaling.json, scaling.png and the table in README.md.
"""

from matplotlib.figure import Figure
from programs import run
from report import HERE, MACHINE, gigabytes, keep, put_into_readme, with_table

# For each panel the changes to d2l's network, 64 positions and batches of 512. Longer rows get more
# sentences, so that they are full.
SWEEPS = {
    "batch size": {n: {"batch_size": n} for n in (32, 128, 512, 2048)},
    "sequence length": {
        n: {"max_len": n, "sentences_per_segment": n // 64 * 2 if n > 64 else 1, "batch_size": 128}
        for n in (64, 128, 256, 512)
    },
    "layers": {n: {"num_layers": n} for n in (1, 2, 4, 8)},
    "hidden units": {
        n: {"num_hiddens": n, "ffn_num_hiddens": 2 * n, "num_heads": n // 64}
        for n in (64, 128, 256, 512)
    },
    "vocabulary": {
        "34 k": {"min_freq": 1},
        "20 k": {"min_freq": 5},
        "9 k": {"min_freq": 20},
        "2 k": {"min_freq": 100},
    },
    "threads": {n: {"threads": n} for n in (1, 2)},
}
SECONDS = 20


def sweeps_of(results: dict) -> dict:
    """For each size its values, and what was measured at each."""
    return {name: points for name, points in results.items() if name != "machine"}


def table(results: dict) -> str:
    """One row for each size, one cell for each of its values."""

    def cell(value, point) -> str:
        speed, memory = point["pairs_per_second"], gigabytes(point["peak_memory"])
        return f"{value}: {speed:.0f} pairs/s, {memory}"

    sweeps = sweeps_of(results)
    width = 1 + max(map(len, sweeps.values()))
    rows = [[name, *(cell(*item) for item in points.items())] for name, points in sweeps.items()]
    rows = [row + [""] * (width - len(row)) for row in rows]
    header = ["changed", "value: speed, peak memory", *[""] * (width - 2)]
    return with_table(f"{results['machine']}.", header, rows)


def draw(results: dict) -> Figure:
    """One panel for each size: speed on the left axis, memory on the right one."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axis, (name, points) in zip(
        figure.subplots(2, 3).flat, sweeps_of(results).items(), strict=True
    ):
        labels = [str(value) for value in points]
        speeds = [point["pairs_per_second"] for point in points.values()]
        memory = [point["peak_memory"] / 1e9 for point in points.values()]
        for side, figures, style, label in (
            (axis, speeds, "C0o-", "sentence pairs/s"),
            (axis.twinx(), memory, "C1s--", "peak memory, GB"),
        ):
            side.plot(labels, figures, style)
            side.set_ylim(0, 1.1 * max(figures))
            side.set_ylabel(label, color=style[:2])
        axis.set_xlabel(name)
    return figure


def main() -> None:
    results = {"machine": MACHINE}
    for name, points in SWEEPS.items():
        results[name] = {}
        for value, changes in points.items():
            results[name][value] = run("ours", SECONDS, **changes)
            print(name, value, results[name][value], flush=True)
    keep("scaling", results)
    draw(results).savefig(HERE / "scaling.png", dpi=80)
    put_into_readme("scaling", table(results))


if __name__ == "__main__":
    main()
