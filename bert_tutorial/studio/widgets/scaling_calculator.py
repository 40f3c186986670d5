"""Move machines and batch, and see how long BERT's training takes, and what holds it up."""

import ipywidgets as ipw

from ...exercises.memory import GIB, told_bytes
from ...plots import curves
from ...pretraining.run import duration
from ..runs.fits import nearest_that_fits
from ..runs.scaling import ROWS, STEPS, Machines, Plan, plan_of
from .memory_calculator import SIZES, WHOLE, Calculator
from .views import ButtonRow, ChoiceSlider, RateSlider

ROOM = 80 * GIB  # memory of one GPU: an A100's
UP_TO = [2**power for power in range(11)]  # hosts in the picture
# What each button sets.
STARTS = {
    "A laptop": dict(hosts=1, gpus=1, tflops=0.2, device="cpu"),
    "One host, 8 GPUs": dict(hosts=1, gpus=8, tflops=120.0, device="cuda"),
    "64 hosts of 8 GPUs": dict(hosts=64, gpus=8, tflops=120.0, device="cuda"),
}
# The control of each assumption.
CONTROLS = {
    "device": (ipw.Dropdown, dict(options={"GPUs": "cuda", "processors": "cpu"},
        description="Computed by", **WHOLE)),
    "hosts": (ChoiceSlider, dict(choices=UP_TO, description="Hosts")),
    "gpus": (ChoiceSlider, dict(choices=[1, 2, 4, 8, 16], description="GPUs of a host",
        hint="or processors")),
    "tflops": (RateSlider, dict(min=0.01, max=1000.0, description="TFLOP/s",
        hint="that each really reaches")),
    "gbits": (RateSlider, dict(value=100.0, min=0.1, max=1000.0, description="Gbit/s",
        hint="between two hosts")),
    "rows": (ChoiceSlider, dict(choices=[2**power for power in range(3, 17)], value=ROWS,
        description="Rows of a step", hint="sentence pairs; BERT's are 256")),
    "positions": (ChoiceSlider, dict(choices=[64, 128, 256, 512, 1024], value=512,
        description="Positions of a row", hint="BERT: mostly 128, later 512")),
}  # fmt: skip


class ScalingCalculator(Calculator):
    """From one laptop to many machines: how long BERT's million steps take there."""

    fallback = "Scaling calculator (run this cell to use it)"

    def __init__(self):
        self.starts = ButtonRow(names=[*STARTS], active=[*STARTS], label="Machines to begin with")
        self.is_setting = True
        super().__init__("base", CONTROLS, self.starts)
        self._set("A laptop")
        self.starts.observe(lambda change: self._set(change.new["name"]), names="clicked")

    def _set(self, start: str) -> None:
        """Move several controls, and draw once."""
        self.is_setting = True
        for name, value in STARTS[start].items():
            self.by_name[name].value = value
        self.is_setting = False
        self._redraw()

    def _redraw(self) -> None:
        if self.is_setting:
            return
        how = {name: control.value for name, control in self.by_name.items()}
        at = dict(rows=how.pop("rows"), positions=how.pop("positions"))
        config = SIZES[self.size.value](30_522, max_len=max(512, at["positions"]))
        machines, steps = Machines(**how), STEPS * ROWS / at["rows"]
        many = [plan_of(config, Machines(**how | {"hosts": hosts}), **at) for hosts in UP_TO]
        self.plan = plan = many[UP_TO.index(machines.hosts)]
        said = in_words(machines, plan, at["rows"], steps)
        if plan.memory.total > ROOM and machines.device == "cuda":
            now = dict(rows=plan.rows, precision="bf16", optimizer="adam", device="cuda")
            found = nearest_that_fits(config, plan.rows, at["positions"], ROOM, **now)
            advice = found[0].sentence if found else "Nothing near it fits."
            said += f" A GPU has {told_bytes(ROOM)}. {advice}"
        all_of = [each.seconds * steps for each in many]
        alone = [(each.seconds - each.sending) * steps for each in many]
        times = {"computing and sending": all_of, "computing alone": alone}
        days = {name: {str(hosts): x / 86400 for hosts, x in zip(UP_TO, of, strict=True)}
                for name, of in times.items()}  # fmt: skip
        days["the machines above"] = {str(machines.hosts): plan.seconds * steps / 86400}
        alt = (
            f"Days of training by number of hosts, from 1 to {UP_TO[-1]:,}: "
            f"from {duration(all_of[0])} to {duration(all_of[-1])}; "
            f"computing alone {duration(alone[-1])}."
        )
        png = curves(days, "hosts", "days of training", f"BERT {self.size.value}", scale="log")
        self._show(png, alt, said)


def in_words(machines: Machines, plan: Plan, rows: int, steps: float) -> str:
    """What a step takes, and so many of them."""
    step = f"{plan.seconds:,.0f}" if plan.seconds >= 10 else f"{plan.seconds:.2g}"
    said = (
        f"{machines}: a step of {rows:,} rows takes {step} s. As many rows as BERT "
        f"saw, {STEPS * ROWS / 1e6:.0f} million, take {duration(plan.seconds * steps)}."
    )
    if plan.sending:
        said += f" Of that {plan.sending / plan.seconds:.0%} is for sending: computing alone would "
        said += f"take {duration((plan.seconds - plan.sending) * steps)}."
    total = machines.hosts * machines.gpus
    if (idle := total - rows) > 0:
        said += f" {idle:,} of {total:,} have no row to work on."
    return f"{said} A step needs {told_bytes(plan.memory.total)} of memory on each."
