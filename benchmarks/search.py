"""`python benchmarks/search.py bundled` (or `wikitext-2`): one recipe after the other, from nothing, and what came of each.

Every recipe sees the same number of training tokens, so that a noisy machine finds the same recipe; the seconds are what it took.
Held-out losses are measured as always: single sentences, 15 % masked, dropout off.
"""

import json
import sys
import time

import torch
from bench import HERE, machine, put_into_readme

from bert_tutorial import BERTModel, Recipe, evaluate, load_data_wiki, train_steps
from bert_tutorial.corpus import read_text
from bert_tutorial.senses import Pseudowords, labelled_occurrences, sense_scores

# For each corpus: the recipe that was chosen, its number of steps with 128 pairs each, and the changes tried.
BEST = {
    "bundled": dict(batch_size=128, mask_rate=0.4, span=2, max_len=64, dropout=0.1, learning_rate=5e-3, num_heads=2),
    "wikitext-2": dict(batch_size=128, mask_rate=0.4, span=1, max_len=64, dropout=0.0, learning_rate=3e-3, num_heads=2),
}
STEPS = {"bundled": 1300, "wikitext-2": 1400}
CHANGES = [
    {},
    {"learning_rate": 2e-3},
    {"learning_rate": 3e-3},
    {"learning_rate": 5e-3},
    {"dropout": 0.0},
    {"dropout": 0.1},
    {"dropout": 0.2},
    {"mask_rate": 0.15},
    {"mask_rate": 0.3},
    {"mask_rate": 0.5},
    {"batch_size": 64},
    {"batch_size": 256},
    {"span": 1},
    {"span": 2},
    {"num_heads": 4},
]


def train(corpus: str, num_steps: int, batch_size, mask_rate, span, max_len, dropout, learning_rate, num_heads) -> dict:
    """Train from nothing with one recipe; what came of it."""
    text, labels = read_text(corpus), labelled_occurrences
    min_freq = 5 if corpus == "wikitext-2" else 2
    if corpus != "bundled":
        merged = Pseudowords(text)
        text, labels = merged.text, merged.labels
    train_iter, vocab = load_data_wiki(batch_size, max_len, text, mask_rate=mask_rate, span=span, min_freq=min_freq)
    net = BERTModel(len(vocab), num_heads=num_heads, dropout=dropout)
    net.reset(torch.Generator().manual_seed(0))
    untrained = mean_accuracy(sense_scores(net, vocab, text, labels=labels))
    began = time.perf_counter()
    for _ in train_steps(net, train_iter, Recipe(num_steps=num_steps, learning_rate=learning_rate)):
        pass
    seconds = time.perf_counter() - began
    scores = sense_scores(net, vocab, text, labels=labels)
    return {
        "seconds": seconds,
        "untrained": untrained,
        "senses": mean_accuracy(scores),
        "by_word": {word: score.accuracy for word, score in scores.items()},
        **evaluate(net, train_iter.valid)._asdict(),
    }


def mean_accuracy(scores) -> float:
    """Every word counts the same."""
    return sum(score.accuracy for score in scores.values()) / len(scores)


def main(corpus: str) -> None:
    best = BEST[corpus]
    lines = [
        f"{corpus}: {STEPS[corpus] * 128:,} sentence pairs each. {machine()}.",
        "",
        "| recipe | held-out MLM loss | accuracy | NSP | senses | senses, untrained | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    results = []
    for change in CHANGES:
        if change and all(best[name] == value for name, value in change.items()):
            continue
        recipe = best | change
        found = train(corpus, STEPS[corpus] * 128 // recipe["batch_size"], **recipe)
        results.append({"recipe": recipe, **found})
        label = ", ".join(f"{name} {value}" for name, value in (change or best).items())
        lines.append(
            f"| {label} | {found['mlm_loss']:.2f} | {found['mlm_accuracy']:.1%} | {found['nsp_accuracy']:.0%} "
            f"| {found['senses']:.3f} | {found['untrained']:.3f} | {found['seconds']:.0f} |"
        )
        print(lines[-1], flush=True)
        (HERE / "results" / f"search_{corpus}.json").write_text(
            json.dumps({"machine": machine(), "results": results}, indent=1) + "\n"
        )
        put_into_readme(f"search {corpus}", "\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
