"""What the sentence lab writes as HTML: lists and tables, beside its views and in the kept file.

Whatever somebody typed is escaped here.
"""

import base64
import html
from collections.abc import Sequence

from ...plots import curves, heatmap, new_figure, to_png
from ...representation.fill_mask import Guess
from ..lab.lab import NETWORKS, LabNetwork
from ..lab.lab_senses import MeterRow, Use, nearest
from ..lab.lab_state import LabState


def meter_text(row: MeterRow) -> str:
    """What stands beside a place between two senses, as in `bird, 9 of 10`."""
    return f"{row.sense}, {row.right} of {row.near}" if row.near else row.sense


def row_label(state: LabState, row: MeterRow) -> str:
    """Which word a row of the meter is about."""
    words = state.words[row.sentence]
    word, is_double = words[row.place], words.count(words[row.place]) > 1
    which = f" (word {row.place + 1})" if is_double else ""
    return f"{word}{which}, sentence {row.sentence + 1}"


def meter_table(state: LabState, rows: Sequence[MeterRow]) -> str:
    """The meter as a table, for those who cannot see it move."""
    cells = [
        (
            row_label(state, row),
            row.source,
            f"{row.senses[0]} {track(row.position)} {row.senses[1]}",
            meter_text(row),
        )
        for row in rows
    ]
    return table(("word", "according to", "between its senses", "held-out uses near it"), cells)


def track(position: float) -> str:
    """A place from -1 to 1 as characters: `◀━━●━━━━━▶`."""
    place = round((position + 1) * 4)
    return "◀" + "━" * place + "●" + "━" * (8 - place) + "▶"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table whose cells are escaped."""
    head = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    about = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{about}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def paragraph(text: str) -> str:
    """A paragraph of escaped text."""
    return f"<p>{html.escape(text)}</p>"


def similarity_table(state: LabState, layer: int, is_raw: bool) -> str:
    """All cosines as numbers, shaded."""
    cosines = state.similarity(layer, is_raw)
    low, high = cosines.min().item(), cosines.max().item()
    head = "".join(f"<th scope='col'>{html.escape(word)}</th>" for word in state.words[1])
    rows = []
    for word, values in zip(state.words[0], cosines.tolist(), strict=True):
        cells = "".join(
            f"<td style='background:rgba(0,107,164,{(v - low) / max(high - low, 1e-9) / 2:.2f})'>"
            f"{v:.2f}</td>"
            for v in values
        )
        rows.append(f"<tr><th scope='row'>{html.escape(word)}</th>{cells}</tr>")
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def pair_html(state: LabState, i: int, j: int, layer: int, is_raw: bool) -> str:
    """The cosine of two words, and what it has to be compared with."""
    one, other = state.words[0][i], state.words[1][j]
    background = state.lab.background("network")
    same, anything = (of(layer, is_raw) for of in (background.same_word, background.any_words))
    cosine = state.similarity(layer, is_raw)[i, j].item()
    lines = [f"<b>{html.escape(one)}, {html.escape(other)}: cosine {cosine:.2f}.</b>"]
    if same.mean == same.mean:  # a small text has no pairs
        lines.append(
            f"In the corpus: one word in two sentences {same.mean:.2f} ± {same.deviation:.2f}, two "
            f"words {anything.mean:.2f} ± {anything.deviation:.2f}."
        )
    if not is_raw:
        noise = state.dropout_cosine(0, i, layer)
        lines.append(f"The same sentence twice, with dropout: {noise:.2f}.")
    if found := state.alike(i, j, layer):
        use, of_one, of_two = found
        lines.append(
            f"<br><b>How alike are these two uses of {html.escape(one)}? {use:.2f}</b>, along the "
            f"main directions of this word. Held-out uses of one sense: {of_one:.2f}; of two "
            f"senses: {of_two:.2f} (medians)."
        )
    return f"<p>{' '.join(lines)}</p>"


def uses_lists(state: LabState, sentence: int, place: int, layer: int) -> str:
    """The nearest occurrences in the corpus, according to the network and to its untrained twin."""
    lists = []
    for which in NETWORKS:
        items = "".join(map(use_item, nearest(state, sentence, place, layer, which)))
        lists.append(f"<div><h4>According to the {name_of(which)}</h4><ol>{items}</ol></div>")
    style = "display:flex;flex-wrap:wrap;gap:0 2rem"
    return f"<div style='{style}'>{''.join(lists)}</div>"


def name_of(which: str) -> str:
    """One of NETWORKS in words."""
    return which if which == "network" else f"{which} network"


def use_item(use: Use) -> str:
    """One occurrence: its sense, if it is known, and its sentence."""
    words = [html.escape(token) for token in use.tokens]
    words[use.place] = f"<b>{words[use.place]}</b>"
    sense = f"<i>{html.escape(use.sense)}</i>: " if use.sense else ""
    return f"<li>{sense}{' '.join(words)} <small>({use.cosine:.2f})</small></li>"


def guesses_table(found: dict[str, list[Guess]], own_guess: str = "") -> str:
    """The likeliest words for a hidden place, beside the controls; one's own is marked."""
    rows = [
        [
            f"{'→ ' if guess.token == own_guess else ''}{guess.token} {guess.probability:.1%}"
            for guess in guesses
        ]
        for guesses in zip(*found.values(), strict=True)
    ]
    return table(list(found), rows, "The likeliest words, each with its probability")


def layers_picture(lab: LabNetwork) -> str:
    """How alike a word is to itself in other sentences, by layer, and what that is compared to."""
    series = lab.layers()
    png = curves(series, "layer", "mean cosine", "One word in two sentences, and two words")
    ends = (list(series[f"one word, {which}"].values()) for which in NETWORKS)
    lines = (
        f"{name_of(which)} {first:.2f} before any layer, {last:.2f} at the end"
        for which, (first, *_, last) in zip(NETWORKS, ends, strict=True)
    )
    text = f"A word and itself in another sentence: {'; '.join(lines)}."
    return picture(png, text) + paragraph(text)


def attention_pictures(state: LabState, sentence: int, layer: int) -> str:
    """The mean of a layer's heads, by the network and by its untrained twin."""
    found = []
    for which in NETWORKS:
        tokens, weights = state.attention(sentence, which)
        number = max(1, layer)
        title = f"attention, {name_of(which)}, layer {number}, mean of the heads"
        mean = weights[number - 1].mean(0)
        png = heatmap(mean, tokens, tokens, title, low=0.0, high=mean.max().item())
        found.append(picture(png, f"{title}: rows look at columns"))
    return "".join(found)


def map_picture(points: Sequence[dict], names: Sequence[str], title: str) -> str:
    """A map of uses that does not move: every sense has a shape of its own."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    groups = sorted({point["group"] for point in points}, key=lambda g: (g == "yours", g))
    for group, mark in zip(groups, "os^D", strict=False):
        x, y = zip(*((p["x"], p["y"]) for p in points if p["group"] == group), strict=True)
        axes.scatter(x, y, s=80 if group == "yours" else 16, marker=mark, label=group)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_title(title, parse_math=False)
    axes.legend()
    return picture(to_png(figure), f"{title}: {', '.join(groups)}")


def picture(png: bytes, alt: str) -> str:
    """A picture with its alternative text."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<img alt="{html.escape(alt)}" src="{source}" style="max-width:100%">'


STYLE = """
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .5rem; text-align: left }
"""


def report(
    state: LabState, rows: Sequence[MeterRow], description: str, layer: int, is_raw: bool
) -> str:
    """The lab's present state without anything that moves: what is kept, and what is seen later.

    Args:
        state: The two sentences.
        description: Which network it is.
        rows: The meter's.
        layer, is_raw: As the lab's controls say.

    Returns:
        HTML without a frame.
    """
    sentences = [paragraph(f"Sentence {i + 1}: {' '.join(w)}") for i, w in enumerate(state.words)]
    parts = ["<h3>Sentence lab</h3>", *sentences, paragraph(f"Model: {description}.")]
    if rows:
        parts += ["<h4>Between two senses</h4>", meter_table(state, rows)]
    kind = "raw" if is_raw else "the common direction taken out"
    parts += [f"<h4>Cosines of words, layer {layer}, {kind}</h4>"]
    return "".join([*parts, similarity_table(state, layer, is_raw)])


def page(body: str) -> str:
    """A whole file, which needs nothing else."""
    head = f"<meta charset='utf-8'><title>Sentence lab</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html><html lang='en'><head>{head}</head><body>{body}</body></html>"
