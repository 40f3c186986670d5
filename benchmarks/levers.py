"""`make levers`: what each way of saving time gives, by taking it away. Writes results/levers.json and the table in README.md.

Each lever is taken away in a process of its own, since an allocator's setting and what PyTorch has prepared hold for a whole
process. The processes take the same steps in turn, so that a noisy machine disturbs all alike.
"""

import json
import random
import resource
import subprocess
import sys
import time
from contextlib import contextmanager

import programs
import torch
from bench import HERE, MACHINE, put_into_readme
from torch.nn import functional as F

from bert_tutorial import examples, losses, model, training

real_batch = examples.PretrainingExamples.batch
real_embeddings = model.Embeddings.forward


def batch_with_all_slots(self, *place):
    """Unused slots count as real ones."""
    found = real_batch(self, *place)
    return found._replace(mlm_weights=torch.ones_like(found.mlm_weights))


def pairs_of_mixed_lengths(self, epoch):
    """In random order, as the document's are."""
    first, second, is_next = examples.draw_pairs(self.text, self.generator(epoch), self.span)
    order = torch.randperm(len(first), generator=self.generator(epoch, "order"))
    return first[order], second[order], is_next[order]


def read_out_of_all(net, batch):
    """The last layer computes all positions, and those that are needed are picked afterwards."""
    encoded = net.encoder(batch.token_ids, batch.segments, batch.valid_lens)
    real = batch.mlm_weights.bool()
    row, _ = real.nonzero(as_tuple=True)
    return net.mlm.features(encoded[row, batch.pred_positions[real]]), net.nsp(encoded[:, 0])


def library_attention(self, readers, x, padding):
    (B, R, D), L = readers.shape, x.shape[1]
    query = self.query(readers).view(B, R, self.num_heads, -1).transpose(1, 2)
    key, value = self.key_value(x).view(B, L, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    share = self.dropout.share if self.training else 0.0
    mixed = F.scaled_dot_product_attention(query, key, value, padding.to(query.dtype), dropout_p=share)
    return self.output(mixed.transpose(1, 2).reshape(B, R, D)), None


class PlainCrossEntropy:
    """`plain_linear_cross_entropy` in the place of its fast twin."""

    @staticmethod
    def apply(features, weight, bias, labels, dtype):
        return losses.plain_linear_cross_entropy(features.to(dtype), weight.to(dtype), bias.to(dtype), labels).float()


AT_A_TIME = "512 pairs at a time through the network"
# What to set to what, so that a lever is gone.
LEVERS = {
    "only real prediction slots are decoded": [(examples.PretrainingExamples, "batch", batch_with_all_slots)],
    "the last layer computes only what is read": [(losses, "read_out", read_out_of_all)],
    "batches of similar length, without shared padding": [
        (examples.Batch, "trim", lambda self: self),
        (examples.PretrainingExamples, "pairs", pairs_of_mixed_lengths),
    ],
    "bf16 matrix products": [(training, "pick_dtype", lambda precision, device: torch.float32)],
    "bf16 between the products, too": [
        (model.Embeddings, "forward", lambda self, *x: real_embeddings(self, *x).float())
    ],
    "attention written out": [(model.SelfAttention, "forward", library_attention)],
    "cross-entropy and its gradient together": [(losses, "LinearCrossEntropy", PlainCrossEntropy)],
    "an allocator that keeps its memory": [(training, "keep_memory", lambda: None)],
    "dropout from bytes": [(model.Dropout, "forward", lambda self, x: F.dropout(x, self.share, self.training))],
    "lengths in multiples of 8": [(examples, "LENGTH_MULTIPLE", 1)],
    AT_A_TIME: [(training, "MICRO_BATCH", 10**9)],
}
NOTHING = "(nothing taken away)"
LARGE_BATCH = 2048  # to see the last lever by: batches of 512 go through the network whole
STEPS, WARM_UP = 30, 5


@contextmanager
def without(lever: str):
    """Take a lever away for as long as the context lasts."""
    changes = LEVERS.get(lever, [])
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def work(lever: str, batch_size: int) -> None:
    """Train without a lever, a step for every line that comes in; what it took goes out."""
    with without(lever):
        steps = programs.ours(batch_size=batch_size)
        for _ in sys.stdin:
            began = time.perf_counter()
            next(steps)
            seconds = time.perf_counter() - began
            print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]), flush=True)


def in_turn(levers: list[str], batch_size: int) -> dict:
    """Without each lever the seconds of the same training steps, and the peak memory.

    This process stays small: a new one's peak memory begins, on Linux, with that of the one which started it.
    """
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    workers = {lever: subprocess.Popen([sys.executable, __file__, lever, str(batch_size)], **pipes) for lever in levers}
    results = {lever: {"batch_size": batch_size, "seconds": []} for lever in levers}
    for _ in range(WARM_UP + STEPS):
        for lever in random.sample(levers, len(levers)):
            print(file=workers[lever].stdin, flush=True)
            if not (line := workers[lever].stdout.readline()):
                raise SystemExit(f"without {lever!r} training failed; what it said stands above")
            seconds, results[lever]["peak_memory"] = json.loads(line)
            results[lever]["seconds"].append(seconds)
    for worker in workers.values():
        worker.communicate()  # no more lines: it ends
    for result in results.values():
        result["seconds"] = sum(result["seconds"][WARM_UP:])
        result["times_as_long"] = result["seconds"] / results[NOTHING]["seconds"]
    return results


def main() -> None:
    results = in_turn([NOTHING, *(lever for lever in LEVERS if lever != AT_A_TIME)], programs.BATCH_SIZE)
    large = in_turn([NOTHING, AT_A_TIME], LARGE_BATCH)
    results |= {"(nothing taken away, larger batch)": large[NOTHING], AT_A_TIME: large[AT_A_TIME]}
    lines = [
        f"{MACHINE}; {STEPS} steps each.",
        "",
        "| without this | pairs in a batch | training takes | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {lever} | {result['batch_size']:,} | {result['times_as_long']:.2f} times as long "
            f"| {result['peak_memory'] / 1e9:.2f} GB |"
            for lever, result in results.items()
        ),
    ]
    summary = {"machine": MACHINE, "steps": STEPS, "levers": results}
    (HERE / "results" / "levers.json").write_text(json.dumps(summary, indent=1) + "\n")
    put_into_readme("levers", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main()
