"""What the notebooks themselves need: the first cell's report, source code, pictures, waiting."""

import base64
import html
import inspect
import platform
import textwrap
import time
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .devices import pick_dtype, try_all_gpus
from .text.corpora import CORPORA, find_corpus
from .text.own_file import describe_own_text

UPDATE_EVERY = 0.3  # seconds between two numbers of `track`


def in_notebook() -> bool:
    """True in a Jupyter kernel, where pictures can be shown."""
    from IPython import get_ipython  # here, so that importing stays fast

    return getattr(get_ipython(), "kernel", None) is not None


def setup(corpus: str | Path = "bundled") -> str | Path:
    """Say what this notebook will use, and refuse a corpus that does not exist; returns the corpus.

    Args:
        corpus: "bundled", "wikitext-2" or the path of a text file.
    """
    find_corpus(corpus)
    device = try_all_gpus()[0]
    precision = "bf16" if pick_dtype("auto", device) is torch.bfloat16 else "fp32"
    print(f"corpus: {corpus} (another: change the cell above)")
    if corpus not in CORPORA:
        print(describe_own_text(Path(corpus).expanduser()))
    print(f"device: {device.type}, {torch.get_num_threads()} threads, products in {precision}")
    versions = f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    print(f"versions: bert_tutorial {metadata.version('bert_tutorial')}, {versions}")
    return corpus


def check(claim: str, holds: bool, required: bool = True) -> None:
    """Print whether a claim holds; one that is `required`, as the text relies on it, must."""
    print(f"{claim}: {'yes' if holds else 'no'}")
    if required and not holds:
        raise AssertionError(f"the text relies on this, but it does not hold: {claim}")


def show_source(*objects: Any) -> Any:
    """The source code of functions, methods or classes as Markdown; there is no other copy."""
    from IPython.display import Markdown

    parts = [textwrap.dedent(inspect.getsource(thing)).rstrip() for thing in objects]
    code = "\n\n\n".join(parts)
    return Markdown(f"```python\n{code}\n```")


def png_html(png: bytes, alt: str) -> str:
    """A picture as HTML; `alt` says what it shows, and stands there alone if there is none."""
    if not png:
        return f"<p>{html.escape(alt)}</p>"
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<img alt="{html.escape(alt)}" src="{source}" style="max-width:100%">'


class Display:
    """An output under a cell that can be replaced by a newer one, also after the cell has ended."""

    def __init__(self):
        self.handle = None

    def show(self, data: dict[str, str]) -> None:
        """Show something, by media type, in place of the last."""
        from IPython.display import DisplayHandle

        if self.handle is None:
            self.handle = DisplayHandle()
            self.handle.display(data, raw=True)
        else:
            self.handle.update(data, raw=True)

    def show_png(self, png: bytes, alt: str) -> None:
        """Show a picture in place of the last."""
        # JupyterLab and nbconvert take the HTML: they read no text beside a PNG.
        data = {"text/html": png_html(png, alt), "text/plain": alt}
        if png:
            data["image/png"] = base64.b64encode(png).decode()  # for what shows no such HTML
        self.show(data)


def show_png(png: bytes, alt: str) -> None:
    """Show one picture under a cell; `alt` says what it shows, for those who cannot see it."""
    Display().show_png(png, alt)


def track(items: Collection[Any], what: str) -> Iterator[Any]:
    """Go through items, and say how far it has come with `what`, such as "reading 32 words".

    In a notebook a line stands under the cell; it begins and ends without numbers, because nbval
    compares its first form with the stored last one. In a terminal a bar comes after a second, and
    goes at the end.
    """
    if not in_notebook():
        yield from tqdm(items, what, delay=1, leave=False)
        return
    line, shown = Display(), time.monotonic()
    line.show({"text/plain": what})
    for number, item in enumerate(items):
        if time.monotonic() > shown + UPDATE_EVERY:
            line.show({"text/plain": f"{what}: {number} of {len(items)}"})
            shown = time.monotonic()
        yield item
    line.show({"text/plain": what})
