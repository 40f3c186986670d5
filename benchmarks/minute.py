"""`python benchmarks/minute.py`: what notebook 2's network knows after its minute, three times.

Each seed trains on all threads, as the notebook does. Close everything else: the seconds count.
"""

import dataclasses
import time

import torch
from report import report_seeds
from typed import masked_right, read_masked

from bert_tutorial import BERTModel, Settings, evaluate, load_data_wiki, read_text, train_steps
from bert_tutorial.representation.contexts import two_contexts
from bert_tutorial.representation.encoding import (
    Window,
    encode_with_dropout,
    hide,
    read_use,
    use_vectors,
)
from bert_tutorial.representation.senses import (
    EVERY,
    SenseTask,
    label_curve,
    nearest_mean,
    seeded_means,
    sense_means,
    vector_tasks,
)
from bert_tutorial.studio.lab.lab import Lab
from bert_tutorial.studio.lab.typed import score_typed, typed_senses

LABELS = (1, 4, 16, EVERY)
RECIPE = dict(num_steps=540, learning_rate=5e-3, embedding_rate=0.5, sampled_words=2048)
ABOUT = f"{RECIPE['num_steps']} steps of 128 pairs"


def train(seed: int) -> dict[str, float]:
    """Train as notebook 2 does, and measure all that the tutorial shows of the network."""
    text = read_text("bundled")
    train_iter, vocab = load_data_wiki(
        128, 64, mask_rate=0.5, sentences_per_segment=(1, 2, 3), next_sentence_rate=1.0
    )
    train_iter.seed = seed  # of the training pairs and masks; the held-out ones stay the same
    net = BERTModel(len(vocab), dropout=0.0)
    net.reset(torch.Generator().manual_seed(seed))
    began = time.perf_counter()
    for _ in train_steps(net, train_iter, Settings(seed=seed, **RECIPE)):
        pass
    found = {"seconds": time.perf_counter() - began}
    held_out = evaluate(net.eval(), train_iter.valid)
    found |= {"held-out MLM loss": held_out.mlm_loss, "masked words right": held_out.mlm_accuracy}
    tasks = vector_tasks(net, vocab, text)
    plain = label_curve(tasks, nearest_mean, LABELS).mean
    both = label_curve(tasks, seeded_means, LABELS, with_unlabelled=True).mean
    for how, curve in (("nearest mean", plain), ("with unlabelled occurrences", both)):
        for number, value in curve.items():
            found[f"senses, {how}, {number or 'all'} labels"] = value
    typed = score_typed(Lab(net, vocab, text), typed_senses())
    found["senses in typed sentences"] = typed.senses["network"]
    found["pairs of typed uses in order"] = typed.alike
    right = masked_right(net, vocab, read_masked("test"))
    for name in ("first_five", "repeats", "sure", "sure_says", "sure_right"):
        found[f"typed masked words, {name.replace('_', ' ')}"] = right[name]
    for sense, lead in zip(
        ("bird", "machine"), leads(net, vocab, text, tasks["crane"]), strict=True
    ):
        found[f"lead of d2l's {sense}, in spreads by dropout"] = lead
    return found


def leads(net: BERTModel, vocab, text, crane: SenseTask) -> list[float]:
    """How much nearer d2l's two cranes are to their own sense, in units of dropout's spread."""
    senses, means = sense_means(crane.known, crane.known_senses)
    senses, means = senses.tolist(), torch.from_numpy(means)
    with_dropout = BERTModel.from_config(dataclasses.replace(net.config, dropout=0.1))
    with_dropout.load_state_dict(net.state_dict())
    found = []
    for sense, (tokens_a, tokens_b) in zip(senses, two_contexts(vocab, text)[1:], strict=True):
        use = Window(tokens_a, tokens_a.index("crane"), tokens_b)
        own = senses.index(sense)
        distances = torch.cdist(read_use(net, vocab, use)[-1:], means)[0]
        readings = ([one] * 40 for one in (use, hide(vocab, use)))
        noisy = [use_vectors(with_dropout, vocab, of, encode_with_dropout)[-1] for of in readings]
        spread = torch.cdist(torch.cat(noisy, dim=1), means).diff().std()
        found.append(((distances[1 - own] - distances[own]) / spread).item())
    return found


if __name__ == "__main__":
    report_seeds("minute", train, ABOUT)
