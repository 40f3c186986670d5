"""`python benchmarks/five_minutes.py`: what is learned of WikiText-2 in five minutes, three times.

Each seed trains on all threads. Close everything else: the seconds count, but for those of
measuring.
"""

from report import report_seeds
from time_to_loss import five_minutes, seconds_until

STEPS = 2600
ABOUT = f"{STEPS:,} steps of 128 pairs"


def measure(seed: int) -> dict[str, float]:
    """Train with one seed."""
    curve, held_out = five_minutes(seed, STEPS)
    return {
        "seconds": curve.seconds,
        "seconds to 4.36 nats": seconds_until(curve.points, 4.36),
        "held-out MLM loss": held_out.mlm_loss,
        "masked words right": held_out.mlm_accuracy,
    }


if __name__ == "__main__":
    report_seeds("five_minutes", measure, ABOUT)
