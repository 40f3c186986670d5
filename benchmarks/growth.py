"""`make growth`: how speed and memory grow, one size changed at a time. Writes results/growth.json and growth.png."""

import json

import matplotlib

matplotlib.use("Agg")
from bench import HERE, MACHINE, put_into_readme, run
from matplotlib import pyplot as plt

# For each panel the changes to the document's network, L = 64, batch 512. Longer rows hold more sentences: `span` fills them.
SWEEPS = {
    "batch size": {n: {"batch_size": n} for n in (32, 128, 512, 2048)},
    "sequence length": {
        n: {"max_len": n, "span": n // 64 * 2 if n > 64 else 1, "batch_size": 128} for n in (64, 128, 256, 512)
    },
    "layers": {n: {"num_layers": n} for n in (1, 2, 4, 8)},
    "hidden units": {
        n: {"num_hiddens": n, "ffn_num_hiddens": 2 * n, "num_heads": n // 64} for n in (64, 128, 256, 512)
    },
    "vocabulary": {"34 k": {"min_freq": 1}, "20 k": {"min_freq": 5}, "9 k": {"min_freq": 20}, "2 k": {"min_freq": 100}},
    "threads": {n: {"threads": n} for n in (1, 2)},
}
SECONDS = 20


def main() -> None:
    results = {}
    for name, points in SWEEPS.items():
        results[name] = {}
        for value, changes in points.items():
            results[name][value] = run("ours", SECONDS, **changes)
            print(name, value, results[name][value], flush=True)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "growth.json").write_text(json.dumps({"machine": MACHINE, **results}, indent=1) + "\n")

    draw(results)
    lines = [f"{MACHINE}.", "", "| changed | value | sentence pairs/s | peak memory |", "|---|---|---|---|"]
    for name, points in results.items():
        for value, point in points.items():
            lines.append(
                f"| {name} | {value} | {point['pairs_per_second']:.0f} | {point['peak_memory'] / 1e9:.2f} GB |"
            )
    put_into_readme("growth", "\n".join(lines))


def draw(results: dict) -> None:
    """One panel for each size: speed on the left axis, memory on the right one."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for axis, (name, points) in zip(axes.flat, results.items(), strict=True):
        labels = [str(value) for value in points]
        memory = axis.twinx()
        for side, figures, style, label in (
            (axis, [point["pairs_per_second"] for point in points.values()], "C0o-", "sentence pairs/s"),
            (memory, [point["peak_memory"] / 1e9 for point in points.values()], "C1s--", "peak memory, GB"),
        ):
            side.plot(labels, figures, style)
            side.set_ylim(0, 1.1 * max(figures))
            side.set_ylabel(label, color=style[:2])
        axis.set_xlabel(name)
    figure.savefig(HERE / "growth.png", dpi=80)


if __name__ == "__main__":
    main()
