"""The arithmetic of one run on many machines: time, memory and traffic of a step.

All share the rows of a step. Then the gradients are added up in a ring of N: each sends parts of
them to the next, N - 1 times to add them up and N - 1 times to hand the sums round. Left out are
the optimizer, reading, waiting for one another, and how long a message is on its way.

Sources: Devlin et al. 2019, appendix A.2 (BERT's steps, rows and positions); Patarasuk and Yuan
2009 (the ring).
"""

from dataclasses import dataclass
from typing import NamedTuple

from ...exercises.memory import FLOAT, Memory, count_parameters, memory_of
from ...network.config import BERTConfig
from .fits import flops_of

STEPS, ROWS, MASK_RATE = 1_000_000, 256, 0.15  # of BERT's training; a row is a sentence pair
POSITIONS = {128: 0.9, 512: 0.1}  # of its rows, and in which part of the steps
INSIDE = 300e9  # bytes a second between GPUs of one host, each way: NVLink of an A100


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What trains together: so many hosts, each with so many GPUs or processors."""

    hosts: int = 1
    gpus: int = 8  # of each host; or processors
    tflops: float = 120.0  # 10**12 operations a second that each really does
    gbits: float = 100.0  # 10**9 bits a second from one host to the next
    device: str = "cuda"  # or "cpu"

    def __post_init__(self):
        for name, kind in dict(hosts=int, gpus=int, tflops=int | float, gbits=int | float).items():
            value = getattr(self, name)
            if not isinstance(value, kind) or not 0 < value <= 10**6:
                must = "a whole number from 1" if kind is int else "a number above 0"
                raise ValueError(f"{name} is {value!r}, but must be {must}, at most 1,000,000")

    def __str__(self):
        kind = "GPU" if self.device == "cuda" else "processor"
        said = f"{self.gpus} {kind}{'s' if self.gpus > 1 else ''}"
        return said if self.hosts == 1 else f"{self.hosts:,} hosts of {said}"


class Plan(NamedTuple):
    """What one step takes. Times in seconds, sizes in bytes."""

    seconds: float
    sending: float  # of these; no GPU computes meanwhile
    sent: float  # by each GPU
    rows: int  # of the GPU that has most of them
    memory: Memory  # of that GPU


def plan_of(config: BERTConfig, machines: Machines, rows: int = ROWS, positions: int = 512) -> Plan:
    """What a step of so many rows, each of so many positions, takes on these machines.

    Matrix products in bf16, gradients sent in 4 bytes a parameter, Adam as optimizer.
    """
    N = machines.hosts * machines.gpus
    most = -(-rows // N)
    computing = most * flops_of(config, positions, MASK_RATE) / (machines.tflops * 1e12)
    sent = 2 * (N - 1) / N * FLOAT * count_parameters(config)
    pace = INSIDE if machines.hosts == 1 else min(INSIDE, machines.gbits * 1e9 / 8)
    how = dict(precision="bf16", optimizer="adam", device=machines.device)
    memory = memory_of(config, most, positions, **how)
    return Plan(computing + sent / pace, sent / pace, sent, most, memory)


def bert_seconds(config: BERTConfig, machines: Machines, rows: int = ROWS) -> float:
    """Seconds until as many rows are seen as BERT saw, most of them short."""
    step = sum(part * plan_of(config, machines, rows, n).seconds for n, part in POSITIONS.items())
    return STEPS * ROWS / rows * step
