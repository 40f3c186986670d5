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
SECONDS = 5


def main() -> None:
    results = {}
    for name, points in SWEEPS.items():
        results[name] = {}
        for value, changes in points.items():
            results[name][value] = run("ours", SECONDS, **changes)
            print(name, value, results[name][value], flush=True)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "growth.json").write_text(json.dumps({"machine": MACHINE, **results}, indent=1) + "\n")

    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for axis, (name, points) in zip(axes.flat, results.items(), strict=True):
        labels = [str(value) for value in points]
        axis.plot(labels, [point["pairs_per_second"] for point in points.values()], "o-", color="C0")
        axis.set(xlabel=name, ylim=(0, None))
        memory = axis.twinx()
        memory.plot(labels, [point["peak_memory"] / 1e9 for point in points.values()], "s--", color="C1")
        memory.set_ylim(0, None)
        axis.set_ylabel("sentence pairs/s", color="C0")
        memory.set_ylabel("peak memory, GB", color="C1")
    figure.savefig(HERE / "growth.png", dpi=80)
    lines = [f"{MACHINE}.", "", "| changed | value | sentence pairs/s | peak memory |", "|---|---|---|---|"]
    for name, points in results.items():
        for value, point in points.items():
            lines.append(
                f"| {name} | {value} | {point['pairs_per_second']:.0f} | {point['peak_memory'] / 1e9:.2f} GB |"
            )
    put_into_readme("growth", "\n".join(lines))


if __name__ == "__main__":
    main()
