"""The curves of several runs over one another; losses in nats."""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.lines import Line2D

from ...plots import SAFE_COLOURS, shorten, to_png
from ...pretraining.evaluation import Baselines
from ...pretraining.loss_plot import Curves, make_panels

MOST_NAMES = 14  # for which there is room beside a picture


class Style(NamedTuple):
    """How a run looks among others."""

    colour: str  # "#rrggbb"
    dash: str  # pixels on and off, as SVG's stroke-dasharray; "" for a line without gaps
    marker: str  # one of matplotlib's


DASHES = "", "8 3", "2 2", "10 3 2 3", "5 3", "12 4 2 2 2 4", "14 3", "4 2 4 6", "6 2 2 2", "3 5"
STYLES = tuple(map(Style, SAFE_COLOURS, DASHES, "os^DvXP*ph"))


def style_of(number: int) -> Style:
    """Colour, dash and marker of run `number`, counted from 0; after the last they begin anew."""
    return STYLES[number % len(STYLES)]


def overlay(
    runs: Mapping[str, Curves], baselines: Baselines | None = None, smoothing: float = 0.0
) -> bytes:
    """The MLM losses of runs, by name, in one PNG of 800 x 300 pixels; i looks like `style_of(i)`.

    `smoothing` is of the pale lines of the training losses; see `smooth`.
    """
    styles, names = [], [shorten(name) for name in runs]
    for colour, dash, marker in map(style_of, range(len(runs))):
        dashes = (0, [0.4 * float(x) for x in dash.split()]) if dash else "-"  # in line widths
        line = dict(color=colour, lw=1.8, ls=dashes)
        pale, strong = line | dict(lw=1.0, alpha=0.45), line | dict(marker=marker, ms=5)
        styles += [dict(visible=False), pale, strong]
    figure, (panel,) = make_panels(["mlm_loss"], styles, right=0.75)
    title = "masked words (MLM): held-out text with marks, training pale"
    panel.axes.set_title(title, loc="left", fontsize="small", y=1.0)
    marks = panel.lines[2::3]
    if len(names) > MOST_NAMES:
        names[MOST_NAMES - 1 :] = [f"and {len(names) - MOST_NAMES + 1} more"]
        marks[MOST_NAMES - 1 :] = [Line2D([], [], ls="")]
    legend = panel.axes.legend(
        marks, range(len(marks)), loc="upper left", bbox_to_anchor=(1.0, 1.0), handlelength=3,
        frameon=False, fontsize=8, borderaxespad=0.2,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)  # any name: "_hidden" and "$x_{" too
    curves = [(list(history), list(held_out)) for history, held_out in runs.values()]
    last = max((0, *(x[-1].step for x, _ in curves if x), *(x[-1][0] for _, x in curves if x)))
    panel.fill(curves, last, baselines, smoothing)
    return to_png(figure, compress_level=1)


def describe_overlay(runs: Mapping[str, Curves]) -> str:
    """The last held-out loss of several runs, for those who do not see the picture."""
    said, known = [], {}
    for name, (_, held_out) in runs.items():
        said.append(f"{shorten(name)} not measured yet")
        for step, evaluation in list(held_out)[-1:]:
            said[-1] = f"{shorten(name)} {evaluation.mlm_loss:.2f} after step {step}"
            known[shorten(name)] = evaluation.mlm_loss
    lowest = f"; {min(known, key=known.get)} has the lowest" if len(known) > 1 else ""
    text = f"Held-out loss of the masked words in nats: {', '.join(said)}{lowest}."
    return text if said else "No runs yet."
