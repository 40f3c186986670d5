"""`python benchmarks/search.py bundled` (or `wikitext-2`): one recipe after the other, from nothing, and what came of each.

Every recipe sees the same number of training tokens, so that a noisy machine finds the same recipe; the seconds are what it took.
Held-out losses are measured as always: single sentences, 15 % masked, dropout off.
"""

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from bench import HERE, MACHINE, put_into_readme

from bert_tutorial import BERTModel, Recipe, evaluate, load_data_wiki, train_steps
from bert_tutorial.corpus import read_text
from bert_tutorial.senses import Pseudowords, labelled_occurrences, mean_accuracy, sense_scores

# For each corpus: the recipe that was chosen, how many sentence pairs a trial sees, and what was changed in it, one at a time.
BEST = {
    "bundled": dict(
        batch_size=128, mask_rate=0.4, span=2, next_share=1.0, dropout=0.1, learning_rate=8e-3, num_heads=2, init=1.0
    ),
    "wikitext-2": dict(
        batch_size=128, mask_rate=0.4, span=1, next_share=1.0, dropout=0.0, learning_rate=5e-3, num_heads=2, init=1.0
    ),
}
NUM_PAIRS = {"bundled": 1300 * 128, "wikitext-2": 1000 * 128}
CHANGES = [
    {},
    {"learning_rate": 3e-3},
    {"learning_rate": 5e-3},
    {"learning_rate": 8e-3},
    {"learning_rate": 12e-3},
    {"dropout": 0.0},
    {"dropout": 0.1},
    {"dropout": 0.2},
    {"mask_rate": 0.15},
    {"mask_rate": 0.25},
    {"batch_size": 64},
    {"batch_size": 256},
    {"span": 1},
    {"span": 2},
    {"next_share": 0.5},
    {"num_heads": 4},
    {"init": 3.0},  # attention's value and output matrices begin this much larger than N(0, 0.02)
]


def train(corpus, batch_size, mask_rate, span, next_share, dropout, learning_rate, num_heads, init) -> dict:
    """Train from nothing with one recipe, on one thread; what came of it."""
    torch.set_num_threads(1)
    text, labels = read_text(corpus), labelled_occurrences
    min_freq = 5 if corpus == "wikitext-2" else 2
    if corpus != "bundled":
        merged = Pseudowords(text)
        text, labels = merged.text, merged.labels
    train_iter, vocab = load_data_wiki(
        batch_size, 64, text, mask_rate=mask_rate, span=span, next_share=next_share, min_freq=min_freq
    )
    net = BERTModel(len(vocab), num_heads=num_heads, dropout=dropout)
    net.reset(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for block in net.encoder.blocks:
            block.attention.query_key_value.weight[2 * net.config.num_hiddens :] *= init
            block.attention.output.weight *= init
    untrained = mean_accuracy(sense_scores(net, vocab, text, labels=labels))
    num_steps = NUM_PAIRS[corpus] // batch_size
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


def main(corpus: str) -> None:
    best = BEST[corpus]
    lines = [
        f"{corpus}: {NUM_PAIRS[corpus]:,} sentence pairs each. {MACHINE}, but one thread for each trial.",
        "",
        "| recipe | held-out MLM loss | accuracy | NSP | senses | senses, untrained | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    changes = [c for c in CHANGES if not c or any(best[name] != value for name, value in c.items())]
    results = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        trials = [pool.submit(train, corpus, **(best | change)) for change in changes]
        for change, trial in zip(changes, trials, strict=True):
            found = trial.result()
            results.append({"recipe": best | change, **found})
            label = ", ".join(f"{name} {value}" for name, value in (change or best).items())
            lines.append(
                f"| {label} | {found['mlm_loss']:.2f} | {found['mlm_accuracy']:.1%} | {found['nsp_accuracy']:.0%} "
                f"| {found['senses']:.3f} | {found['untrained']:.3f} | {found['seconds']:.0f} |"
            )
            print(lines[-1], flush=True)
            (HERE / "results").mkdir(exist_ok=True)
            (HERE / "results" / f"search_{corpus}.json").write_text(
                json.dumps({"machine": MACHINE, "results": results}, indent=1) + "\n"
            )
            put_into_readme(f"search {corpus}", "\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
