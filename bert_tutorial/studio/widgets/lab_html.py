"""HTML that the sentence lab writes, beside its views and in the kept file; all text is escaped."""

import html
from collections.abc import Sequence

from .views import Meter, TokenHeatmap

STYLE = (
    "body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem } "
    "table { border-collapse: collapse } td, th { padding: .2rem .5rem; text-align: left }"
)


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


def page(body: str) -> str:
    """A whole file, which needs nothing else."""
    head = f"<meta charset='utf-8'><title>Sentence lab</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html><html lang='en'><head>{head}</head><body>{body}</body></html>"


def track(position: float) -> str:
    """A place from -1 to 1 as characters: `◀━━●━━━━━▶`."""
    place = round((position + 1) * 4)
    return "◀" + "━" * place + "●" + "━" * (8 - place) + "▶"


def meter_table(meter: Meter) -> str:
    """A meter that does not move."""
    header = ("word", "according to", "between its senses", "held-out uses near it")
    rows = [
        (r["label"], r["source"], f"{r['left']} {track(r['position'])} {r['right']}", r["text"])
        for r in meter.rows
    ]
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
