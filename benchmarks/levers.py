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


def decode_all_slots():
    real_batch = examples.PretrainingExamples.batch

    def batch(self, *place):
        found = real_batch(self, *place)
        return found._replace(mlm_weights=torch.ones_like(found.mlm_weights))

    examples.PretrainingExamples.batch = batch


def mix_lengths():
    """Batches of all lengths, padded to 64, as the document's are."""
    examples.Batch.trim = lambda self: self

    def pairs(self, epoch):
        first, second, is_next = examples.draw_pairs(self.text, self.generator(epoch), self.span)
        order = torch.randperm(len(first), generator=self.generator(epoch, "order"))
        return first[order], second[order], is_next[order]

    examples.PretrainingExamples.pairs = pairs


def use_fp32():
    training.pick_dtype = lambda precision, device: torch.float32


def use_library_attention():
    def forward(self, x, padding):
        B, L, D = x.shape
        query, key, value = self.query_key_value(x).view(B, L, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        share = self.dropout.share if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, padding.to(query.dtype), dropout_p=share)
        return self.output(mixed.transpose(1, 2).reshape(B, L, D)), None

    model.SelfAttention.forward = forward


def use_plain_cross_entropy():
    class Plain:
        @staticmethod
        def apply(features, weight, bias, labels, dtype):
            return losses.plain_linear_cross_entropy(
                features.to(dtype), weight.to(dtype), bias.to(dtype), labels
            ).float()

    losses.LinearCrossEntropy = Plain


def give_memory_back():
    training.keep_memory = lambda: None


def use_library_dropout():
    model.Dropout.forward = lambda self, x: F.dropout(x, self.share, self.training)


def take_the_batch_at_once():
    training.MICRO_BATCH = 10**9


LEVERS = {
    "only real prediction slots are decoded": decode_all_slots,
    "batches of similar length, without shared padding": mix_lengths,
    "bf16 matrix products": use_fp32,
    "attention written out": use_library_attention,
    "cross-entropy and its gradient together, 512 rows at a time": use_plain_cross_entropy,
    "an allocator that keeps its memory": give_memory_back,
    "dropout from bytes": use_library_dropout,
    "128 pairs at a time through the network": take_the_batch_at_once,
}
ROUNDS, SECONDS = 2, 5


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
        LEVERS.get(sys.argv[1], lambda: None)()
        print(json.dumps(programs.measure(programs.ours(), SECONDS)))
    else:
        main()
