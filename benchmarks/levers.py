"""`make levers`: what each way of saving time gives, by taking it away. Writes results/levers.json and the table in README.md.

The speeds are compared in one process, step by step in turn, so that a noisy machine disturbs all alike. Peak memory needs a
process each, and so does the allocator's setting, which holds for a whole process.
"""

import json
import random
import statistics
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


ALLOCATOR = "an allocator that keeps its memory"
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
    ALLOCATOR: [(training, "keep_memory", lambda: None)],
    "dropout from bytes": [(model.Dropout, "forward", lambda self, x: F.dropout(x, self.share, self.training))],
    "256 pairs at a time through the network": [(training, "MICRO_BATCH", 10**9)],
}
NOTHING = "(nothing taken away)"
STEPS, WARM_UP = 30, 5
ROUNDS = 3  # of the processes that compare the allocator


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


def step_by_step() -> dict[str, float]:
    """Seconds that the same training steps take without each lever, all of them in turn."""
    runs = {lever: programs.ours() for lever in (NOTHING, *LEVERS) if lever != ALLOCATOR}
    seconds = dict.fromkeys(runs, 0.0)
    for step in range(STEPS + WARM_UP):
        for lever in random.sample(list(runs), len(runs)):
            with without(lever):
                began = time.perf_counter()
                next(runs[lever])
                if step >= WARM_UP:
                    seconds[lever] += time.perf_counter() - began
    return seconds


def run(what: str) -> dict:
    """In a process of its own `step_by_step`, or speed and peak memory without a lever.

    This process stays small: a new one's peak memory begins, on Linux, with that of the one which started it.
    """
    done = subprocess.run([sys.executable, __file__, what], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what!r}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    seconds = run("step_by_step")
    print(seconds, flush=True)
    rounds = [{lever: run(lever) for lever in (NOTHING, ALLOCATOR)} for _ in range(ROUNDS)]
    memory = {lever: run(lever)["peak_memory"] for lever in LEVERS if lever != ALLOCATOR}
    for lever in (NOTHING, ALLOCATOR):
        memory[lever] = statistics.median(results[lever]["peak_memory"] for results in rounds)
    faster = {lever: taken / seconds[NOTHING] for lever, taken in seconds.items()}
    faster[ALLOCATOR] = statistics.median(
        results[NOTHING]["pairs_per_second"] / results[ALLOCATOR]["pairs_per_second"] for results in rounds
    )
    lines = [
        f"{MACHINE}; {STEPS} steps of {programs.BATCH_SIZE} pairs each, of the allocator {ROUNDS} rounds.",
        "",
        "| without this | training takes | peak memory |",
        "|---|---|---|",
        *(
            f"| {lever} | {faster[lever]:.2f} times as long | {memory[lever] / 1e9:.2f} GB |"
            for lever in (NOTHING, *LEVERS)
        ),
    ]
    summary = {"machine": MACHINE, "seconds": seconds, "times_as_long": faster, "peak_memory": memory}
    (HERE / "results" / "levers.json").write_text(json.dumps(summary, indent=1) + "\n")
    put_into_readme("levers", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:] == ["step_by_step"]:
        print(json.dumps(step_by_step()))
    elif len(sys.argv) > 1:
        with without(sys.argv[1]):
            print(json.dumps(programs.measure(programs.ours(), 0, STEPS)))
    else:
        main()
