"""What the sentence lab writes as HTML: lists and tables, beside its views and in the kept file.

Whatever somebody typed is escaped here.
"""

import base64
import html
from collections.abc import Sequence

from torch import Tensor

from ...plots import curves, new_figure, to_png
from ...representation.fill_mask import likeliest
from ...text.vocabulary import Vocab
from ..lab.lab import NETWORKS, Lab, Words
from .views import Meter, PointMap, TokenHeatmap


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


def picture(png: bytes, alt: str) -> str:
    """A picture with its alternative text."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<img alt="{html.escape(alt)}" src="{source}" style="max-width:100%">'


def page(body: str) -> str:
    """A whole file, which needs nothing else."""
    style = (
        "body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem } "
        "table { border-collapse: collapse } td, th { padding: .2rem .5rem; text-align: left }"
    )
    head = f"<meta charset='utf-8'><title>Sentence lab</title><style>{style}</style>"
    return f"<!DOCTYPE html><html lang='en'><head>{head}</head><body>{body}</body></html>"


def name_of(which: str) -> str:
    """One of NETWORKS in words."""
    return which if which == "network" else f"{which} network"


def track(position: float) -> str:
    """A place from -1 to 1 as characters: `◀━━●━━━━━▶`."""
    place = round((position + 1) * 4)
    return "◀" + "━" * place + "●" + "━" * (8 - place) + "▶"


def meter_table(meter: Meter) -> str:
    """A meter that does not move."""
    header = ("word", "according to", "between its senses", "held-out uses near it")
    rows = []
    for row in meter.rows:
        between = f"{row['left']} {track(row['position'])} {row['right']}"
        rows.append((row["label"], row["source"], between, row["text"]))
    return table(header, rows, "Between two senses")


def heat_table(view: TokenHeatmap) -> str:
    """A heat map's numbers, shaded."""
    head = "".join(f"<th scope='col'>{html.escape(word)}</th>" for word in view.columns)
    rows = []
    for word, values in zip(view.rows, view.values, strict=True):
        shades = [(v - view.low) / max(view.high - view.low, 1e-9) / 2 for v in values]
        cells = "".join(
            f"<td style='background:rgba(0,107,164,{shade:.2f})'>{value:.2f}</td>"
            for value, shade in zip(values, shades, strict=True)
        )
        rows.append(f"<tr><th scope='row'>{html.escape(word)}</th>{cells}</tr>")
    about = f"<caption>{html.escape(view.caption)}</caption>"
    head = f"<thead><tr><td></td>{head}</tr></thead>"
    return f"<table>{about}{head}<tbody>{''.join(rows)}</tbody></table>"


def map_picture(view: PointMap) -> str:
    """A map that does not move: every sense has a shape of its own."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    groups = sorted({p["group"] for p in view.points}, key=lambda g: (g == "yours", g))
    for group, mark in zip(groups, "os^D", strict=False):
        x, y = zip(*((p["x"], p["y"]) for p in view.points if p["group"] == group), strict=True)
        axes.scatter(x, y, s=80 if group == "yours" else 16, marker=mark, label=group)
    axes.set(xlabel=view.x_name, ylabel=view.y_name)
    axes.set_title(view.caption, parse_math=False)
    axes.legend()
    return picture(to_png(figure), f"{view.caption}: {', '.join(groups)}")


def pair_html(
    lab: Lab, sentences: list[Words], places: tuple[int, int], layer: int, is_raw: bool
) -> str:
    """The cosine of two words, and what it has to be compared with."""
    one, other = (html.escape(words[i]) for words, i in zip(sentences, places, strict=True))
    cosine = lab.similarity(sentences, layer, is_raw)[places].item()
    text = f"<b>{one}, {other}: cosine {cosine:.2f}.</b>"
    same, anything = lab.background("network").spreads(layer, is_raw)
    if same[0] == same[0]:  # a small text has no pairs
        text += " In the corpus: one word in two sentences {:.2f} ± {:.2f}".format(*same)
        text += ", two words {:.2f} ± {:.2f}.".format(*anything)
    if not is_raw:
        noise = lab.dropout_cosine(sentences[0], places[0], layer)
        text += f" The same sentence twice, with dropout: {noise:.2f}."
    if found := lab.alike(sentences, places, layer):
        text += (
            " <br><b>How alike are these two uses of {}? {:.2f}</b>, along the main directions of "
            "this word. Held-out uses of one sense: {:.2f}; of two senses: {:.2f} (medians)."
        ).format(one, *found)
    return f"<p>{text}</p>"


def uses_list(lab: Lab, words: Words, place: int, layer: int, which: str) -> str:
    """The nearest occurrences in the corpus, according to one of the networks."""
    items = []
    for use in lab.nearest(words, place, layer, which):
        shown = [html.escape(token) for token in use.tokens]
        shown[use.place] = f"<b>{shown[use.place]}</b>"
        sense = f"<i>{html.escape(use.sense)}</i>: " if use.sense else ""
        items.append(f"<li>{sense}{' '.join(shown)} <small>({use.cosine:.2f})</small></li>")
    return f"<div><h4>According to the {name_of(which)}</h4><ol>{''.join(items)}</ol></div>"


def guesses_table(vocab: Vocab, found: dict[str, Tensor], own_guess: str = "") -> str:
    """The likeliest words for a hidden place, beside the controls; one's own is marked."""
    columns = [
        [
            f"{'→ ' if guess.token == own_guess else ''}{guess.token} {guess.probability:.1%}"
            for guess in likeliest(vocab, probabilities, 10)
        ]
        for probabilities in found.values()
    ]
    rows = list(zip(*columns, strict=True))
    return table(list(found), rows, "The likeliest words, each with its probability")


def layers_picture(lab: Lab) -> str:
    """How alike a word is to itself in other sentences, by layer, and what that is compared to."""
    series = lab.layers()
    png = curves(series, "layer", "mean cosine", "One word in two sentences, and two words")
    lines = []
    for which in NETWORKS:
        first, *_, last = series[f"one word, {which}"].values()
        lines.append(f"{name_of(which)} {first:.2f} before any layer, {last:.2f} at the end")
    text = f"A word and itself in another sentence: {'; '.join(lines)}."
    return picture(png, text) + paragraph(text)
