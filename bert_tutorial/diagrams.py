"""Diagrams of BERT's input and of one layer, drawn from a reader's own tokens.

Each is a PNG, 900 pixels wide, and the same in words. Where the tokens need more room than there
is, some in the middle are left out.
"""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from .network.config import BERTConfig
from .plots import BLUE, GREY, new_figure, shorten, to_png

EXAMPLE = "<cls>", "the", "crane", "flies", "<sep>"
TOKEN, SEGMENTS, PLAIN, FAINT = "#A2C8EC", ("#FFE3C4", "#FFBC79"), "#EEEEEE", "#CFCFCF"
WIDTH, BOX, GAP = 9.0, 0.34, 0.08  # inches: of a diagram; height of a box; between two boxes
LONGEST = 14  # characters of a token


def input_diagram(tokens: Sequence[str], segments: Sequence[int]) -> tuple[bytes, str]:
    """BERT's input: at each position the vectors of token, segment and position are added.

    Args:
        tokens: L tokens, as `get_tokens_and_segments` gives them.
        segments: (L,), the segment of each, 0 or 1.

    Returns:
        A PNG, and what it shows in words.

    Raises:
        ValueError: There is no token, or not one segment for each.

    Source: Devlin et al. 2019, figure 2.
    """
    tokens, segments = list(tokens), list(map(int, segments))
    if len(segments) != len(tokens) or not set(segments) <= {0, 1}:
        raise ValueError(
            f"there are {len(tokens)} tokens and the segments {shorten(str(segments), 60)}, but "
            "each token needs one segment, 0 or 1: take both from get_tokens_and_segments"
        )
    axes, left, told = _canvas(2.9), 1.3, []
    rows = {"token": 2.65, "segment": 2.0, "position": 1.35, "input of layer 1": 0.7}
    for name, y in rows.items():
        _text(axes, left - 0.15, y, name, ha="right")
    for place, token, x, width in _columns(tokens, left, WIDTH - 0.1):
        segment = 0 if place is None else segments[place]
        texts = [token] * 4 if place is None else [token, segment, place, ""]
        told.append("… some are left out" if place is None else f"{token} {segment} {place}")
        colours = TOKEN, PLAIN if place is None else SEGMENTS[segment], "white", PLAIN
        for y, text, colour in zip(rows.values(), texts, colours, strict=True):
            _box(axes, x, y, width, text, colour)
        for y, sign in ((2.325, "+"), (1.675, "+"), (1.025, "=")):
            _text(axes, x, y, sign)
    note = "Token, segment and position have a learned vector each; their sum is normalised."
    _text(axes, left, 0.25, note, ha="left")
    alt = f"BERT's input, {len(tokens)} tokens. At each position three vectors are added up, of "
    alt += f"token, segment and position, here in this order: {'; '.join(told)}."
    return to_png(axes.figure), alt


def layer_diagram(config: BERTConfig, tokens: Sequence[str] | None = None) -> tuple[bytes, str]:
    """One layer of the encoder with a network's sizes: one token looks at all.

    Args:
        config: The network's sizes.
        tokens: What stands at the L positions; an example if None.

    Returns:
        A PNG, and what it shows in words.

    Raises:
        ValueError: There is no token.

    Source: Vaswani et al. 2017, figure 1 (left); Devlin et al. 2019, section 3.
    """
    axes, left, right, bottom, top = _canvas(5.2), 0.6, 5.4, 0.35, 4.8
    columns = _columns(EXAMPLE if tokens is None else list(tokens), left, right)
    shown = [column for column in columns if column[0] is not None]
    focus = shown[len(shown) // 2]
    D, H, inner = config.num_hiddens, config.num_heads, config.ffn_num_hiddens
    vectors = f"{D} numbers for each position"
    heads = f"{H} heads, each with {D // H} of {D} numbers" if H > 1 else f"1 head with {D} numbers"
    every = f"{focus[1]} (blue) looks at all positions, its own included; so do all the others"
    added = "what went into {} is added to what comes out; then each vector is normalised".format
    steps = (  # how high each stands, its name, and what it does
        (bottom, "In", vectors),
        (1.3, "Self-attention", f"{heads}; {every}"),
        (2.3, "Add and normalise", added("self-attention")),
        (3.1, "Feed-forward", f"{D} → {inner} (GELU) → {D}, each position alone"),
        (3.9, "Add and normalise", added("feed-forward")),
        (top, "Out", f"{vectors}; layers like this one: {config.num_layers}"),
    )
    for y, name, about in steps:
        _text(axes, right + 0.25, y + 0.22, name, ha="left", va="top", weight="bold")
        _text(axes, right + 0.25, y + 0.02, textwrap.fill(about, 46), ha="left", va="top")
    for y, name, _ in steps[2:5]:
        _box(axes, (left + right) / 2, y, right - left, name, PLAIN)
    for _, text, x, width in columns:
        _box(axes, x, bottom, width, text, TOKEN)
        _box(axes, x, top, width, text, TOKEN)
    for column in sorted(shown, key=focus.__eq__):  # the blue lines last, above the others
        for _, _, start, _ in shown:
            colour = BLUE if column == focus else FAINT
            _arrow(axes, (start, 0.52), (column[2], 1.8), colour=colour)
        for low, high in ((1.8, 2.13), (2.47, 2.93), (3.27, 3.73), (4.07, 4.63)):
            _arrow(axes, (column[2], low), (column[2], high))
    edge = columns[0][2] - columns[0][3] / 2
    for start, low, high in ((edge, bottom, 2.25), (left, 2.35, 3.9)):  # past a step
        _arrow(axes, (start, low), (0.3, low), (0.3, high), (left, high))
    told = "; ".join(f"{name}: {about}" for _, name, about in steps)
    return to_png(axes.figure), f"One layer of the encoder, from the bottom up. {told}."


def _canvas(height: float) -> Axes:
    """Axes whose units are inches: a white card, round which a dark page is seen."""
    figure = new_figure(WIDTH, height, layout=None)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    edge = dict(boxstyle="round,pad=0,rounding_size=0.1", facecolor="white", edgecolor=FAINT)
    axes.add_patch(FancyBboxPatch((0.02, 0.02), WIDTH - 0.04, height - 0.04, zorder=0, **edge))
    return axes


def _columns(tokens: Sequence[str], left: float, right: float) -> list[tuple]:
    """Of each box between two edges place, text, middle and width; place None is an ellipsis."""
    if not tokens:
        raise ValueError("there is no token to draw: type a sentence, such as: a crane is flying")
    names = {place: shorten(token, LONGEST) for place, token in enumerate(tokens)} | {None: "…"}
    widths = {place: max(BOX, 0.14 + 0.08 * len(name)) for place, name in names.items()}
    kept, half = [*range(len(tokens))], min(len(tokens) // 2, 12)
    while (spare := right - left - sum(widths[place] + GAP for place in kept)) < 0:
        half -= 1
        kept = [*range(half + 1), None, *range(len(tokens) - half, len(tokens))]
    columns = []
    for place in kept:
        room = widths[place] + GAP + spare / len(kept)
        columns.append((place, names[place], left + room / 2, widths[place]))
        left += room
    return columns


def _text(axes: Axes, x: float, y: float, text: object, **look: str) -> None:
    look = dict(ha="center", va="center") | look
    axes.text(x, y, text, fontsize=9, parse_math=False, **look)


def _box(axes: Axes, x: float, y: float, width: float, text: object, colour: str) -> None:
    corner = x - width / 2, y - BOX / 2
    axes.add_patch(Rectangle(corner, width, BOX, facecolor=colour, edgecolor=GREY))
    _text(axes, x, y, text)


def _arrow(axes: Axes, *points: tuple[float, float], colour: str = GREY) -> None:
    """A line through some points, with a head at the last."""
    axes.plot(*zip(*points[:-1], strict=True), color=colour, linewidth=1)
    look = dict(arrowstyle="->", color=colour, shrinkA=0, shrinkB=0)
    axes.annotate("", points[-1], points[-2], arrowprops=look)
