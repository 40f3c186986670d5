"""Move the sizes of a training step, and see what memory it takes."""

import html

import ipywidgets as ipw
import torch

from ...devices import try_all_gpus
from ...exercises.memory import Memory, memory_of, told_bytes
from ...exercises.memory_picture import describe_bars, memory_bars
from ...network.config import BERTConfig
from ...notebook import png_html
from ..runs.fits import Suggestion, available_memory, nearest_that_fits
from .panel_views import Picture
from .parts import NAME, Panel
from .views import ChoiceSlider, StatusLine

SIZES = {"small": BERTConfig.small, "base": BERTConfig.base, "large": BERTConfig.large}
OPTIMIZERS = {"Muon and AdamW": "muon", "Adam": "adam"}
PRECISIONS = {"32 bits (fp32)": "fp32", "16 bits in products (bf16)": "bf16"}


class MemoryCalculator(Panel):
    """What one training step takes, by size of the network, length, batch and ways to save.

    Args:
        vocab_size: Of the network; BERT's if None.
        size: "small", "base" or "large", at first.
        available: Bytes that there are; those of this machine or its GPU if None.
        device: Where one would train; the first GPU if there is one.

    Attributes:
        memory: What is shown.
    """

    fallback = "Memory calculator (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        vocab_size: int = 30_522,
        size: str = "large",
        available: int | None = None,
        device: torch.device | None = None,
    ):
        self.vocab_size = vocab_size
        self.device = device or try_all_gpus()[0]
        self.available = available_memory(self.device) if available is None else available
        about = dict(style=NAME)
        self.size = ipw.Dropdown(options=list(SIZES), value=size, description="BERT", **about)
        lengths, powers = [32, 64, 128, 256, 384, 512, 1024], [2**power for power in range(11)]
        self.length, self.batch_size, self.rows = (
            ChoiceSlider(choices=choices, value=value, description=name, hint=hint)
            for choices, value, name, hint in (
                (lengths, 512, "Length", "positions of a row"),
                (powers, 256, "Batch size", "BERT's is 256"),
                (powers, 32, "Rows at a time", "parts of a batch"),
            )
        )
        self.precision = ipw.Dropdown(options=PRECISIONS, description="Precision", **about)
        self.optimizer = ipw.Dropdown(options=OPTIMIZERS, description="Optimizer", **about)
        self.checkpointing = ipw.Checkbox(description="Checkpointing: compute each layer twice")
        self.picture, self.status = Picture(), StatusLine()
        controls = [
            self.size, self.length, self.batch_size, self.rows,
            self.precision, self.optimizer, self.checkpointing,
        ]  # fmt: skip
        columns = ipw.Layout(
            grid_template_columns="repeat(auto-fill, minmax(25rem, 1fr))", grid_gap="0 1rem"
        )
        super().__init__([ipw.GridBox(controls, layout=columns), self.picture, self.status])
        for control in controls:
            control.observe(lambda _: self.redraw(), names="value")
        self.redraw()

    def redraw(self) -> None:
        """Show what the present settings take."""
        length, name = self.length.value, self.size.value
        config = SIZES[name](self.vocab_size, max_len=max(512, length))
        how = dict(
            batch_size=self.batch_size.value,
            length=length,
            rows=self.rows.value,
            precision=self.precision.value,
            optimizer=self.optimizer.value,
            checkpointing=self.checkpointing.value,
            device=self.device.type,
        )
        self.memory, found = memory_of(config, **how), []
        if self.available is not None and self.memory.total > self.available:
            found = nearest_that_fits(config, available=self.available, **how)
        bars = {f"BERT {name}": self.memory}
        if found:
            bars["nearest that fits"] = found[0].memory
        alt = describe_bars(bars, self.available)
        png = memory_bars(bars, self.available, f"one training step of BERT {name}")
        self.picture.show(png, alt)
        self.status.say(in_words(self.memory, self.available, found))
        self.keep_static(f"{png_html(png, alt)}<p>{html.escape(self.status.text)}</p>")


def in_words(memory: Memory, available: int | None, found: list[Suggestion]) -> str:
    """What a step takes, whether it fits, and what to change."""
    total = f"One step takes {told_bytes(memory.total)}"
    if memory.quadratic:
        share = memory.quadratic / memory.total
        total += f", {share:.0%} of it for attention weights, which grow with the length squared"
    if available is None:
        return f"{total}; how much there is, this system does not tell."
    if memory.total <= available:
        return f"{total}; it fits into the {told_bytes(available)} that there are."
    there = f"{total}; there are only {told_bytes(available)}."
    return f"{there} {found[0].sentence if found else 'Nothing near it fits.'}"
