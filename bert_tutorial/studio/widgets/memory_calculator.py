"""Move the sizes of a training step, and see what memory it takes."""

import html

import ipywidgets as ipw
import torch

from ...devices import try_all_gpus
from ...exercises.memory import memory_of, told_bytes
from ...exercises.memory_picture import describe_bars, memory_bars
from ...network.config import BERTConfig
from ...notebook import png_html
from ..runs.fits import available_memory, nearest_that_fits
from .parts import NAME, Panel
from .views import ChoiceSlider, Picture, StatusLine

SIZES = {"small": BERTConfig.small, "base": BERTConfig.base, "large": BERTConfig.large}
WHOLE = dict(style=NAME, layout=dict(width="auto", max_width="25rem"))  # a list that is not cut off
POWERS = [2**power for power in range(11)]
# The control of each setting of `memory_of`.
CONTROLS = {
    "length": (ChoiceSlider, dict(choices=[32, 64, 128, 256, 384, 512, 1024], value=512,
        description="Length", hint="positions of a row")),
    "batch_size": (ChoiceSlider, dict(choices=POWERS, value=256,
        description="Batch size", hint="BERT's is 256")),
    "rows": (ChoiceSlider, dict(choices=POWERS, value=32,
        description="Rows at a time", hint="parts of a batch")),
    "precision": (ipw.Dropdown, dict(description="Precision", **WHOLE,
        options={"32 bits (fp32)": "fp32", "16 bits in products (bf16)": "bf16"})),
    "optimizer": (ipw.Dropdown, dict(description="Optimizer", **WHOLE,
        options={"Muon and AdamW": "muon", "Adam": "adam"})),
    "checkpointing": (ipw.Checkbox, dict(indent=False,
        description="Checkpointing: compute each layer twice")),
}  # fmt: skip


class MemoryCalculator(Panel):
    """What one training step takes, by size of the network, length, batch and ways to save.

    Args:
        size: "small", "base" or "large", at first.
        available: Bytes that there are; those of this machine or its GPU if None.
        device: Where one would train; the first GPU if there is one.
    """

    fallback = "Memory calculator (run this cell to use it)"

    def __init__(
        self,
        size: str = "large",
        available: int | None = None,
        device: torch.device | None = None,
    ):
        self.device = device or try_all_gpus()[0]
        self.available = available_memory(self.device) if available is None else available
        self.size = ipw.Dropdown(options=list(SIZES), value=size, description="BERT", **WHOLE)
        self.by_name = {name: kind(**how) for name, (kind, how) in CONTROLS.items()}
        self.picture, self.status = Picture(), StatusLine()
        wide = "repeat(auto-fit, minmax(21rem, 1fr))"
        layout = ipw.Layout(grid_template_columns=wide, grid_gap="0 1rem")
        controls = *columns, checkpointing = [self.size, *self.by_name.values()]
        grid = ipw.GridBox(columns, layout=layout)
        super().__init__([grid, checkpointing, self.picture, self.status])
        self.add_class("bert-panel")
        for control in controls:
            control.observe(lambda _: self._redraw(), names="value")
        self._redraw()

    def _redraw(self) -> None:
        batch, rows = self.by_name["batch_size"].value, self.by_name["rows"]
        rows.choices = [number for number in POWERS if number <= batch]
        how = {name: control.value for name, control in self.by_name.items()}
        how["device"], name = self.device.type, self.size.value
        config = SIZES[name](30_522, max_len=max(512, how["length"]))
        self.memory = memory_of(config, **how)
        bars = {f"BERT {name}": self.memory}
        said = f"One step takes {told_bytes(self.memory.total)}"
        if self.memory.quadratic:
            share = self.memory.quadratic / self.memory.total
            said += f", {share:.0%} of it for attention weights, which grow with the length squared"
        if self.available is None:
            said += "; how much there is, this system does not tell."
        elif self.memory.total <= self.available:
            said += f"; it fits into the {told_bytes(self.available)} that there are."
        else:
            found = nearest_that_fits(config, available=self.available, **how)
            if found:
                bars["nearest that fits"] = found[0].memory
            advice = found[0].sentence if found else "Nothing near it fits."
            said += f"; there are only {told_bytes(self.available)}. {advice}"
        alt = describe_bars(bars, self.available)
        png = memory_bars(bars, self.available, f"one training step of BERT {name}")
        self.picture.show(png, alt)
        self.status.say(said)
        self.keep_static(f"{png_html(png, alt)}<p>{html.escape(self.status.text)}</p>")
