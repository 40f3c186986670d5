"""`make ablations`: what each way of saving time gives, by taking it away.

Writes results/ablations.json and the table in README.md. Each ablation has a process of its own,
because an allocator's setting, and what PyTorch has prepared, hold for a whole process. The
processes take the same steps in turn, so that a noisy machine disturbs all alike.
"""

import json
import random
import subprocess
import sys
import time
from contextlib import contextmanager

import programs
import torch
from report import MACHINE, gigabytes, keep, put_into_readme, with_table
from torch.nn import functional as F

from bert_tutorial.network import encoder, fast, losses
from bert_tutorial.pretraining import training
from bert_tutorial.text import examples
from bert_tutorial.text import examples as batch
from bert_tutorial.text.pairs import Pairs, draw_pairs

real_batch = examples.PretrainingExamples.batch
real_embeddings = encoder.Embeddings.forward


def batch_with_all_slots(self, *place):
    """Unused slots count as real ones."""
    found = real_batch(self, *place)
    return found._replace(mlm_weights=torch.ones_like(found.mlm_weights))


def pairs_of_mixed_lengths(self, generator, count, block):
    """In random order, as d2l's are."""
    pairs = draw_pairs(self.text, generator, count, self.next_sentence_rate)
    order = torch.randperm(len(pairs.first), generator=generator)
    return Pairs(*(column[order] for column in pairs))


def read_out_of_all(net, batch):
    """The last layer computes all positions, and those that are needed are picked afterwards."""
    encoded = net.encoder(batch.token_ids, batch.segments, batch.valid_lens)
    real = batch.mlm_weights.bool()
    row, _ = real.nonzero(as_tuple=True)
    features = net.mlm.features(encoded[row, batch.pred_positions[real]])
    return losses.ReadOut(features, net.nsp(encoded[:, 0]), batch.mlm_labels[real])


def library_attention(self, queries, x, padding):
    """PyTorch's attention, which does not give the weights."""
    (B, Q, D), L, H = queries.shape, x.shape[1], self.num_heads
    q = self.query(queries).view(B, Q, H, D // H).transpose(1, 2)
    k, v = self.key_value(x).view(B, L, 2, H, D // H).permute(2, 0, 3, 1, 4)
    rate = self.dropout.rate if self.training else 0.0
    mixed = F.scaled_dot_product_attention(q, k, v, padding.to(q.dtype), dropout_p=rate)
    return self.output(mixed.transpose(1, 2).reshape(B, Q, D)), None


class PlainCrossEntropy:
    """`plain_linear_cross_entropy` in the place of its fast twin."""

    @staticmethod
    def apply(features, weight, bias, labels, dtype):
        narrow = (part.to(dtype) for part in (features, weight, bias))
        return fast.plain_linear_cross_entropy(*narrow, labels).float()


AT_A_TIME = "256 pairs at a time through the network"
# What to set to what: owner, name, value. A function must be replaced where its name is looked up.
ABLATIONS = {
    "only real prediction slots are decoded": [
        (examples.PretrainingExamples, "batch", batch_with_all_slots)
    ],
    "the last layer computes only what a loss uses": [(losses, "read_out", read_out_of_all)],
    "batches of similar length, without shared padding": [
        (examples.Batch, "trim", lambda self: self),
        (examples.PretrainingExamples, "_draw", pairs_of_mixed_lengths),
    ],
    "bf16 matrix products": [(training, "pick_dtype", lambda precision, device: torch.float32)],
    "bf16 between the products, too": [
        (encoder.Embeddings, "forward", lambda self, *x: real_embeddings(self, *x).float())
    ],
    "attention written out": [(encoder.SelfAttention, "forward", library_attention)],
    "cross-entropy and its gradient together": [(losses, "LinearCrossEntropy", PlainCrossEntropy)],
    "an allocator that keeps its memory": [(training, "keep_memory", lambda: None)],
    "dropout from bytes": [
        (fast.Dropout, "forward", lambda self, x: F.dropout(x, self.rate, self.training))
    ],
    "lengths in multiples of 8": [(batch, "LENGTH_MULTIPLE", 1)],
    AT_A_TIME: [(training, "rows_at_once", lambda net, device: 10**9)],
}
NOTHING = "(nothing taken away)"
NOTHING_LARGE = "(nothing taken away, larger batch)"
LARGE_BATCH = 2048  # for the last ablation: the larger a batch, the more parts it has
STEPS, WARM_UP = 30, 5


@contextmanager
def without(label: str):
    """Take one way of saving time away for as long as the context lasts."""
    changes = ABLATIONS.get(label, [])
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def work(label: str, batch_size: int) -> None:
    """Train with one ablation, a step for every line that comes in; print what the step took."""
    with without(label):
        steps = programs.ours(batch_size=batch_size)
        for _ in sys.stdin:
            began = time.perf_counter()
            next(steps)
            seconds = time.perf_counter() - began
            print(json.dumps([seconds, programs.peak_memory()]), flush=True)


def in_turn(labels: list[str], batch_size: int) -> dict:
    """For each ablation the seconds of the same training steps, and the peak memory.

    This process stays small: a new one's peak memory begins, on Linux, with that of the one which
    started it.
    """
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    workers = {
        label: subprocess.Popen([sys.executable, __file__, label, str(batch_size)], **pipes)
        for label in labels
    }
    results = {label: {"batch_size": batch_size, "seconds": []} for label in labels}
    for _ in range(WARM_UP + STEPS):
        for label in random.sample(labels, len(labels)):
            print(file=workers[label].stdin, flush=True)
            if not (line := workers[label].stdout.readline()):
                raise SystemExit(f"without {label!r} training failed; its message stands above")
            seconds, results[label]["peak_memory"] = json.loads(line)
            results[label]["seconds"].append(seconds)
    for worker in workers.values():
        worker.communicate()  # no more lines: it ends
    for result in results.values():
        result["seconds"] = sum(result["seconds"][WARM_UP:])
        result["times_as_long"] = result["seconds"] / results[NOTHING]["seconds"]
    return results


def table(summary: dict) -> str:
    header = ["without this", "pairs in a batch", "training takes", "peak memory"]
    rows = [
        [
            label,
            f"{result['batch_size']:,}",
            f"{result['times_as_long']:.2f} times as long",
            gigabytes(result["peak_memory"]),
        ]
        for label, result in summary["ablations"].items()
    ]
    about = f"{summary['machine']}; {summary['steps']} steps each."
    return with_table(about, header, rows)


def main() -> None:
    small = [label for label in ABLATIONS if label != AT_A_TIME]
    results = in_turn([NOTHING, *small], programs.BATCH_SIZE)
    large = in_turn([NOTHING, AT_A_TIME], LARGE_BATCH)
    results |= {NOTHING_LARGE: large[NOTHING], AT_A_TIME: large[AT_A_TIME]}
    summary = {"machine": MACHINE, "steps": STEPS, "ablations": results}
    keep("ablations", summary)
    put_into_readme("ablations", table(summary))
    print(table(summary))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main()
