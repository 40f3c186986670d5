"""`make levers`: what each way of saving time gives, by taking it away. Writes results/levers.json and the table in README.md."""

import json
import statistics
import subprocess
import sys

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
    "256 pairs at a time through the network": [(training, "MICRO_BATCH", 10**9)],
}
ROUNDS, SECONDS = 3, 6


def run(lever: str) -> dict:
    """One measurement in a process of its own."""
    done = subprocess.run([sys.executable, __file__, lever], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"without {lever!r}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    rounds = []
    for number in range(ROUNDS):
        rounds.append({lever: run(lever) for lever in ("all", *LEVERS)})
        print(f"round {number + 1} of {ROUNDS} done", flush=True)
    lines = [
        f"{MACHINE}; medians of {ROUNDS} rounds.",
        "",
        "| without this | sentence pairs/s | so it speeds training up by | peak memory |",
        "|---|---|---|---|",
    ]
    summary = {"machine": MACHINE, "rounds": rounds}
    for lever in ("all", *LEVERS):
        speed, memory = (
            statistics.median(results[lever][name] for results in rounds)
            for name in ("pairs_per_second", "peak_memory")
        )
        ratio = statistics.median(r["all"]["pairs_per_second"] / r[lever]["pairs_per_second"] for r in rounds)
        label = "(nothing taken away)" if lever == "all" else lever
        lines.append(f"| {label} | {speed:.0f} | {ratio:.2f} | {memory / 1e9:.2f} GB |")
    (HERE / "results" / "levers.json").write_text(json.dumps(summary, indent=1) + "\n")
    put_into_readme("levers", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for owner, name, value in LEVERS.get(sys.argv[1], []):
            setattr(owner, name, value)
        print(json.dumps(programs.measure(programs.ours(), SECONDS)))
    else:
        main()
