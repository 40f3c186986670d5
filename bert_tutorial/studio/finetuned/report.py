"""What the runs of fine-tuning say: a table, and sentences that agree with it."""

import math
from collections.abc import Iterable

import numpy as np

from ...finetuning.protocol import OURS, Run, better_at, curves, labels_saved


def table(some: Iterable[Run], task: str) -> str:
    """Mean and spread over the seeds, in per cent, of each control and size, as Markdown."""
    of = curves(some, task)
    numbers = sorted({number for curve in of.values() for number in curve})
    lines = [f"| {task}, labels | {' | '.join(f'{n:,}' for n in numbers)} |"]
    lines.append("|---" * (len(numbers) + 1) + "|")
    for control, curve in of.items():
        found = [np.array(curve.get(number, [np.nan])) for number in numbers]
        cells = " | ".join(f"{100 * a.mean():.1f} ± {100 * a.std():.1f}" for a in found)
        lines.append(f"| {control} | {cells.replace('nan ± nan', '')} |")
    return "\n".join(lines)


def sentences(some: Iterable[Run], task: str, labels: int) -> list[str]:
    """What pretraining saves, and where something else is better than fine-tuning.

    Asked about is the size next to `labels`, or the first above it where anything is learned.
    """
    of, said = curves(some, task), []
    ours = {number: found for number, found in of.pop(OURS).items() if len(found) > 1}
    if not ours:
        return ["One run of each is too few to say anything."]
    labels = min(ours, key=lambda number: abs(math.log(number / labels)))  # the nearest there is
    learned = [n for n in better_at(ours, of["most frequent label"]) if n >= labels]
    if labels not in learned:
        said.append(
            f"With {labels:,} labels fine-tuning is no better than the most frequent label."
        )
        labels = min(learned, default=labels)
    for name in ("never pretrained", "naive Bayes on word counts") if learned else ():
        right, *needed = labels_saved(ours, of[name], labels)
        most = f"more than {max(of[name]):,}"
        number, low, high = (most if n == math.inf else f"{n:,.0f}" for n in needed)
        interval = low if low == high else f"{low} to {high}"
        said.append(
            f"With {labels:,} labels fine-tuning gets {100 * right:.1f}% right. For that, {name} "
            f"needs {number} labels (90% interval by bootstrap: {interval})."
        )
    for name, other in of.items():
        if where := better_at(other, ours):
            said.append(f"With {', '.join(f'{n:,}' for n in where)} labels {name} is better.")
    return said
