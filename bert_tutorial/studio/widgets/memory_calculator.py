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
from .parts import NAME, Panel
from .views import ChoiceSlider, Picture, StatusLine

SIZES = {"small": BERTConfig.small, "base": BERTConfig.base, "large": BERTConfig.large}
POWERS = [2**power for power in range(11)]
# The control of each setting of `memory_of`.
CONTROLS = {
    "length": (ChoiceSlider, dict(choices=[32, 64, 128, 256, 384, 512, 1024], value=512,
        description="Length", hint="positions of a row")),
    "batch_size": (ChoiceSlider, dict(choices=POWERS, value=256,
        description="Batch size", hint="BERT's is 256")),
    "rows": (ChoiceSlider, dict(choices=POWERS, value=32,
        description="Rows at a time", hint="parts of a batch")),
    "precision": (ipw.Dropdown, dict(description="Precision", style=NAME,
        options={"32 bits (fp32)": "fp32", "16 bits in products (bf16)": "bf16"})),
    "optimizer": (ipw.Dropdown, dict(description="Optimizer", style=NAME,
        options={"Muon and AdamW": "muon", "Adam": "adam"})),
    "checkpointing": (ipw.Checkbox, dict(description="Checkpointing: compute each layer twice")),
}  # fmt: skip


class MemoryCalculator(Panel):
    """What one training step takes, by size of the network, length, batch and ways to save.

    Args:
        size: "small", "base" or "large", at first.
        available: Bytes that there are; those of this machine or its GPU if None.
        device: Where one would train; the first GPU if there is one.

    Attributes:
        memory: What is shown.
    """

    fallback = "Memory calculator (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        size: str = "large",
        available: int | None = None,
        device: torch.device | None = None,
    ):
        self.device = device or try_all_gpus()[0]
        self.available = available_memory(self.device) if available is None else available
        self.size = ipw.Dropdown(options=list(SIZES), value=size, description="BERT", style=NAME)
        self.by_name = {name: kind(**how) for name, (kind, how) in CONTROLS.items()}
        self.picture, self.status = Picture(), StatusLine()
        columns = "repeat(auto-fill, minmax(25rem, 1fr))"
        layout = ipw.Layout(grid_template_columns=columns, grid_gap="0 1rem")
        controls = [self.size, *self.by_name.values()]
        super().__init__([ipw.GridBox(controls, layout=layout), self.picture, self.status])
        for control in controls:
            control.observe(lambda _: self._redraw(), names="value")
        self._redraw()

    def _redraw(self) -> None:
        how = {name: control.value for name, control in self.by_name.items()}
        how["device"], name = self.device.type, self.size.value
        config, found = SIZES[name](30_522, max_len=max(512, how["length"])), []
        self.memory = memory_of(config, **how)
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
