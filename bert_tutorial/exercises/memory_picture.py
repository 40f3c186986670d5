"""The memory of a training step as stacked bars, beside what this machine has."""

import numpy as np

from ..plots import BESIDE, BLUE, GREY, ORANGE, new_figure, to_png
from .memory import GIB, Memory, told_bytes

STYLES = {  # each pair also differs in brightness or hatching
    "parameters": (BLUE, ""), "gradients": ("#A2C8EC", "//"), "optimizer": (GREY, ""),
    "other activations": (ORANGE, ""), "attention weights": (ORANGE, "xx"),
    "logits": ("#FFBC79", ".."),
}  # fmt: skip


def memory_bars(
    memories: dict[str, Memory], available: int | None = None, title: str = ""
) -> bytes:
    """One bar for each network or setting, as a PNG; a line for the bytes that there are."""
    figure = new_figure(max(4.6, 1.1 * len(memories) + 3.4), 3.4)
    axes, places, floor = figure.subplots(), np.arange(len(memories)), np.zeros(len(memories))
    pieces = [memory.parts() for memory in memories.values()]
    for piece, memory in zip(pieces, memories.values(), strict=True):
        piece["attention weights"] = memory.quadratic
        piece["other activations"] = memory.activations - memory.quadratic
    for name, (colour, hatch) in STYLES.items():
        heights = np.array([piece[name] for piece in pieces]) / GIB
        axes.bar(places, heights, 0.6, floor, label=name, color=colour, hatch=hatch, edgecolor="w")
        floor += heights
    for place, height, memory in zip(places, floor, memories.values(), strict=True):
        text = axes.text(place, height, told_bytes(memory.total), ha="center", va="bottom")
        text.set(size="small", bbox=dict(facecolor="white", edgecolor="none", pad=1), zorder=3)
    top = floor.max()
    if available is not None:
        height, label = available / GIB, f"free: {told_bytes(available)}"
        is_far = height > 4 * top  # a line there would leave no room for the bars
        label += ", far above" if is_far else ""
        axes.axhline(height, color="black", linestyle="--", label=label)
        top = top if is_far else max(top, height)
    axes.set_xticks(places, list(memories), parse_math=False)
    axes.set(xlim=(-0.6, len(memories) - 0.4), ylim=(0, 1.12 * top), ylabel="memory in GiB")
    axes.set_title(title, fontsize="medium", parse_math=False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], fontsize="small", **BESIDE)  # as they are stacked
    return to_png(figure)


def describe_bars(memories: dict[str, Memory], available: int | None = None) -> str:
    """The same in words, for those who do not see the picture."""
    bars = ". ".join(f"{name} takes {memory}" for name, memory in memories.items())
    return f"{bars}." + ("" if available is None else f" Free are {told_bytes(available)}.")
