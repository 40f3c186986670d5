"""`python benchmarks/time_to_loss.py [PROGRAM]`: how long until held-out text is predicted so well?

Three programs train a network of d2l's sizes on WikiText-2, and are measured alike: the MLM loss on
our held-out examples. The seconds of measuring do not count.

- ours: the recipe for five minutes.
- transformers: `Trainer` with AdamW on our batches, from its own start. Learning rate and number of
  steps are those with which AdamW did best in our search (results/search_wikitext-2.json), where
  the network began with word frequencies. They were not searched again for `Trainer`.
- d2l: as published.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice

import torch
from matplotlib.figure import Figure
from programs import MAX_LEN, SIZES, d2l_as_published
from report import HERE, MACHINE, keep, kept, put_into_readme, with_table
from torch.nn import functional as F

from bert_tutorial import BERTModel, Settings, evaluate, load_data_wiki, train_steps
from bert_tutorial.network.model import in_mode
from bert_tutorial.pretraining.evaluation import Evaluation, baselines
from bert_tutorial.studio.published.bert import from_transformers_names

GOALS = (6.0, 5.5, 5.0, 4.6, 4.36)  # nats
CONFIG = SIZES | {"dropout": 0.0}


class Curve:
    """Held-out losses, by seconds of training.

    Args:
        held_out_loss: Measures the network as it is.
        every: Steps between two measurements.
    """

    def __init__(self, held_out_loss: Callable[[], float], every: int):
        self.held_out_loss, self.every = held_out_loss, every
        self.points: list[tuple[float, int, float]] = []  # seconds, steps, nats
        self.seconds, self.steps = 0.0, 0
        self.began = time.perf_counter()

    def step(self) -> None:
        """A step has been trained."""
        self.steps += 1
        if self.steps % self.every == 0:
            self.seconds += time.perf_counter() - self.began
            self.points.append((self.seconds, self.steps, self.held_out_loss()))
            print(*self.points[-1], file=sys.stderr, flush=True)
            self.began = time.perf_counter()


def examples(batch_size: int, mask_rate: float, sentences_per_segment: tuple[int, ...]):
    return load_data_wiki(
        batch_size,
        MAX_LEN,
        "wikitext-2",
        mask_rate=mask_rate,
        sentences_per_segment=sentences_per_segment,
        next_sentence_rate=1.0,
    )


def five_minutes(seed: int, num_steps: int) -> tuple[Curve, Evaluation]:
    """Our recipe for five minutes: the losses on the way, and what is known at the end.

    Args:
        seed: Of weights, pairs, masks and sampled words. The held-out places stay the same.
        num_steps: How many.
    """
    train_iter, vocab = examples(128, 0.25, (1, 2))
    train_iter.seed = seed
    net = BERTModel(len(vocab), **CONFIG)
    net.reset(torch.Generator().manual_seed(seed))
    curve = Curve(lambda: evaluate(net, train_iter.valid).mlm_loss, 50)
    recipe = Settings(
        num_steps=num_steps,
        learning_rate=3e-3,
        embedding_rate=0.5,
        weight_decay=0.4,
        sampled_words=2048,
        seed=seed,
    )
    for _ in train_steps(net, train_iter, recipe):
        curve.step()
    return curve, evaluate(net, train_iter.valid)


def ours(num_steps: int = 2600) -> Curve:
    """`train_steps`, with the recipe for five minutes."""
    return five_minutes(0, num_steps)[0]


def transformers(num_steps: int = 2600) -> Curve:
    """`Trainer` with `BertForMaskedLM`; its loss reads every position, as it always does."""
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    train_iter, vocab = examples(64, 0.4, (2,))
    twin = BERTModel(len(vocab), **CONFIG)  # the same network, for the same evaluation
    torch.manual_seed(0)
    net = BertForMaskedLM(
        BertConfig(
            vocab_size=len(vocab),
            hidden_size=CONFIG["num_hiddens"],
            intermediate_size=CONFIG["ffn_num_hiddens"],
            num_attention_heads=CONFIG["num_heads"],
            num_hidden_layers=CONFIG["num_layers"],
            max_position_embeddings=twin.config.max_len,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    D = CONFIG["num_hiddens"]
    absent = {  # the heads of BertForPreTraining that this loss does not have
        "bert.pooler.dense.weight": torch.zeros(D, D),
        "bert.pooler.dense.bias": torch.zeros(D),
        "cls.seq_relationship.weight": torch.zeros(2, D),
        "cls.seq_relationship.bias": torch.zeros(2),
    }

    def held_out_loss() -> float:
        twin.load_state_dict(from_transformers_names(net.state_dict() | absent))
        return evaluate(twin, train_iter.valid).mlm_loss

    class Batches(torch.utils.data.Dataset):
        def __len__(self):
            return num_steps

        def __getitem__(self, step: int) -> dict:
            batch = train_iter.batch_at(step).trim()
            real = batch.mlm_weights.bool()
            row = real.nonzero(as_tuple=True)[0]
            labels = torch.full_like(batch.token_ids, -100)  # -100: not to be predicted
            labels[row, batch.pred_positions[real]] = batch.mlm_labels[real]
            places = torch.arange(batch.token_ids.shape[1])
            return {
                "input_ids": batch.token_ids,
                "token_type_ids": batch.segments,
                "attention_mask": (places < batch.valid_lens[:, None]).long(),
                "labels": labels,
            }

    curve = Curve(held_out_loss, 50)

    class Watch(TrainerCallback):
        def on_train_begin(self, *_, **__):
            curve.began = time.perf_counter()

        def on_step_end(self, *_, **__):
            curve.step()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=num_steps,
            per_device_train_batch_size=1,  # the rows of our data set are batches
            learning_rate=3e-3,
            warmup_steps=num_steps // 10,
            weight_decay=0.01,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            bf16=True,
            train_sampling_strategy="sequential",
        )
        Trainer(
            net,
            arguments,
            train_dataset=Batches(),
            data_collator=lambda rows: rows[0],
            callbacks=[Watch()],
        ).train()
    return curve


def d2l(num_steps: int = 50) -> Curve:
    """d2l's data set, network, loss and optimizer."""
    data, net, steps = d2l_as_published()
    train_iter, vocab = load_data_wiki(corpus="wikitext-2")
    theirs = torch.tensor(data.vocab[vocab.to_tokens(list(range(len(vocab))))])

    @torch.no_grad()
    def held_out_loss() -> float:
        total = number = 0.0
        with in_mode(net, training=False):
            for i in range(len(train_iter.valid)):
                batch = train_iter.valid.batch(0, i)
                ids, labels = theirs[batch.token_ids], theirs[batch.mlm_labels]
                _, logits, _ = net(ids, batch.segments, batch.valid_lens, batch.pred_positions)
                nats = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
                total += (nats * batch.mlm_weights.flatten()).sum().item()
                number += batch.mlm_weights.sum().item()
        return total / number

    curve = Curve(held_out_loss, 10)
    for _ in islice(steps, num_steps):
        curve.step()
    return curve


PROGRAMS = {"ours": ours, "d2l": d2l, "transformers": transformers}


def seconds_until(points: list, goal: float) -> float | None:
    """When a loss was reached first, in seconds; None if it was not."""
    return next((seconds for seconds, _, nats in points if nats <= goal), None)


def table(results: dict) -> str:
    """A row for each program, a column for each loss."""
    runs, known = (
        {name: results[name] for name in PROGRAMS if name in results},
        results["baselines"],
    )
    reached = {n: [seconds_until(run["points"], g) for g in GOALS] for n, run in runs.items()}
    rows = []
    for name, run in runs.items():
        row = [name if name == "ours" else f"`{name}`"]
        for seconds, first in zip(reached[name], reached["ours"], strict=True):
            factor = f" ({seconds / first:.0f} times)" if seconds and name != "ours" else ""
            row.append(f"{seconds:.0f} s{factor}" if seconds else "not reached")
        seconds, steps, nats = run["points"][-1]
        rows.append([*row, f"{nats:.2f} nats after {steps:,} steps, {seconds:.0f} s"])
    machines = "; ".join(sorted({run["machine"] for run in runs.values()}))
    about = (
        f"{machines}. Word frequencies: {known['unigram']:.2f} nats; two neighbours: "
        f"{known['neighbours']:.2f} nats."
    )
    return with_table(
        about, ["program", *(f"to {goal} nats" for goal in GOALS), "at its end"], rows
    )


def draw(results: dict) -> None:
    """time_to_loss.png."""
    runs, known = {name: results[name] for name in PROGRAMS}, results["baselines"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (name, run), style in zip(runs.items(), ("-", "--", ":"), strict=False):
        seconds, _, nats = zip(*run["points"], strict=True)
        axes.plot(seconds, nats, style, marker=".", label=name)
    for name, value in (("word frequencies", "unigram"), ("two neighbours", "neighbours")):
        axes.axhline(known[value], color="grey", linewidth=1)
        axes.annotate(
            name, (axes.get_xlim()[1], known[value]), ha="right", va="bottom", color="0.3"
        )
    axes.set(xscale="log", xlabel="seconds of training", ylabel="held-out MLM loss, nats")
    axes.legend()
    figure.savefig(HERE / "time_to_loss.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", choices=PROGRAMS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, help="fewer than all, to try it; nothing is kept")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.steps:
        print(PROGRAMS[options.program](options.steps).points)
        return
    if options.program:
        points = PROGRAMS[options.program]().points
        runs = kept("time_to_loss")
        runs[options.program] = {"machine": MACHINE, "threads": options.threads, "points": points}
        keep("time_to_loss", runs)
        return
    for name in PROGRAMS:
        if name not in kept("time_to_loss"):
            command = [sys.executable, __file__, name, "--threads", str(options.threads)]
            subprocess.run(command, check=True)
    known = baselines(load_data_wiki(corpus="wikitext-2")[0])._asdict()
    results = kept("time_to_loss") | {"baselines": known}
    keep("time_to_loss", results)
    draw(results)
    put_into_readme("time to loss", table(results))
    print(table(results))


if __name__ == "__main__":
    main()
