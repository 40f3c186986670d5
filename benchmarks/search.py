"""`python benchmarks/search.py bundled` (or `wikitext-2`): recipes tried from nothing, and what came of each.

A recipe sees a set number of sentence pairs, so that a noisy machine finds the same recipe; the seconds are what it took.
Held-out losses are measured as always: single sentences, 15 % masked, dropout off. Further arguments are changes of the recipe
to try, as in `learning_rate=0.002,dropout=0.1`, and `num_pairs=149000` gives a cheaper one more pairs; without any, CHANGES
are tried. What was tried before is not tried again, but kept in results/ and in the table.
"""

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch
from bench import HERE, MACHINE, number_machines, put_into_readme

from bert_tutorial import BERTModel, Recipe, evaluate, load_data_wiki, train_steps
from bert_tutorial.corpus import read_text
from bert_tutorial.model import POSITION_INIT_STD
from bert_tutorial.optimizers import make_optimizers
from bert_tutorial.pretrain import RECIPES
from bert_tutorial.senses import Pseudowords, labelled_occurrences, mean_accuracy, occurrence_vectors, sense_scores

# For each corpus the recipe that was chosen, and how many sentence pairs a trial sees.
BEST = {
    corpus: {name: value for name, value in recipe.items() if name != "steps"}
    | dict(num_heads=2, positions=POSITION_INIT_STD, matrices="muon")
    for corpus, recipe in RECIPES.items()
}
NUM_PAIRS = {"bundled": 1300 * 128, "wikitext-2": 1000 * 128}
CHANGES = [
    {},
    {"learning_rate": 3e-3},
    {"learning_rate": 5e-3},
    {"learning_rate": 8e-3},
    {"dropout": 0.0},
    {"dropout": 0.1},
    {"mask_rate": 0.15},
    {"mask_rate": 0.25},
    {"batch_size": 64},
    {"span": 1},
    {"span": 2},
    {"next_share": 0.5},
    {"num_heads": 4},
    {"matrices": "adamw"},  # by which the matrices inside the network are trained
    {"positions": 0.02},  # standard deviation of the position embeddings at the start
]


def linear_discriminant(net, vocab, text, labels) -> float:
    """Senses told by the nearer mean, as in `sense_scores`, but where vectors of one sense spread wide, a distance counts less.

    The spread is the covariance within the senses of a word in the training text, a tenth of it replaced by the same spread in
    all directions, because some words have fewer than a thousand occurrences for its 8,256 numbers.

    Returns:
        Share of held-out occurrences told rightly, mean over the words.

    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems".
    """
    train, valid = labels(text.train), labels(text.valid)
    accuracies = []
    for word, held_out in valid.items():
        senses = sorted({occurrence.sense for occurrence in train[word]})
        known, wanted = (
            torch.tensor([senses.index(occurrence.sense) for occurrence in part]) for part in (train[word], held_out)
        )
        vectors = occurrence_vectors(net, vocab, text.train, train[word])
        means = torch.stack([vectors[known == i].mean(0) for i in range(len(senses))])
        covariance = (vectors - means[known]).T.cov(correction=0)
        covariance = covariance.lerp(covariance.diag().mean() * torch.eye(len(covariance)), 0.1)
        # Vectors multiplied by this spread alike in all directions.
        even = torch.linalg.inv(torch.linalg.cholesky(covariance)).T
        asked = occurrence_vectors(net, vocab, text.valid, held_out)
        nearest = torch.cdist(asked @ even, means @ even).argmin(1)
        accuracies.append((nearest == wanted).float().mean().item())
    return sum(accuracies) / len(accuracies)


def measure_senses(net, vocab, text, labels) -> dict:
    """How well the senses are told, by the nearer mean and by the linear discriminant; nothing for a text without senses."""
    scores = sense_scores(net, vocab, text, labels=labels)
    if not scores:
        return {}
    by_word = {word: score.accuracy for word, score in scores.items()}
    linear = linear_discriminant(net, vocab, text, labels)
    return {"senses": mean_accuracy(scores), "linear": linear, "by_word": by_word}


def train(
    corpus, num_pairs, num_threads, batch_size, mask_rate, span, next_share, dropout, learning_rate, num_heads, positions,
    matrices="muon", pseudowords=True, seed=0,
) -> dict:  # fmt: skip
    """Train from nothing with one recipe; what came of it. Text without labelled senses gets pseudowords, if they are wanted."""
    torch.set_num_threads(num_threads)
    text, labels = read_text(corpus), labelled_occurrences
    min_freq = 5 if corpus == "wikitext-2" else 2
    if corpus != "bundled" and pseudowords:
        merged = Pseudowords(text)
        text, labels = merged.text, merged.labels
    train_iter, vocab = load_data_wiki(
        batch_size, 64, text, mask_rate=mask_rate, span=span, next_share=next_share, min_freq=min_freq
    )
    net = BERTModel(len(vocab), num_heads=num_heads, dropout=dropout)
    net.reset(torch.Generator().manual_seed(seed))
    train_iter.seed = seed  # of the training pairs and masks; the held-out ones stay the same
    with torch.no_grad():
        net.encoder.embeddings.position.weight *= positions / POSITION_INIT_STD
    untrained = measure_senses(net, vocab, text, labels)
    recipe = Recipe(num_steps=num_pairs // batch_size, learning_rate=learning_rate, seed=seed)
    optimizers = None
    if matrices == "adamw":
        muon, adam = make_optimizers(net, learning_rate, recipe.weight_decay)
        adam.add_param_group({"params": muon.param_groups[0]["params"], "weight_decay": recipe.weight_decay})
        optimizers = [adam]
    began = time.perf_counter()
    for _ in train_steps(net, train_iter, recipe, optimizers=optimizers):
        pass
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "untrained": untrained.get("senses"),
        "untrained_linear": untrained.get("linear"),
        **measure_senses(net, vocab, text, labels),
        **evaluate(net, train_iter.valid)._asdict(),
    }


def table(corpus: str, trials: list[dict]) -> str:
    """What was tried, the chosen recipe first."""
    best = BEST[corpus]
    number, machines = number_machines(trials)
    lines = [
        f"{corpus}. {machines} Each trial has one thread. The chosen recipe: "
        + ", ".join(f"{name} {value}" for name, value in best.items())
        + ". The lines below change something in it.",
        "",
        "| change | held-out MLM loss | accuracy | senses | senses, untrained | sentence pairs | seconds (machine) |",
        "|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        changed = {name: value for name, value in trial["recipe"].items() if value != best[name]}
        label = ", ".join(f"{name} {value}" for name, value in changed.items()) or "(none)"
        row = (
            f"| {label} | {trial['mlm_loss']:.2f} | {trial['mlm_accuracy']:.1%} | {trial['senses']:.3f} "
            f"| {trial['untrained']:.3f} | {trial['num_pairs']:,} | {trial['seconds']:.0f} ({number[trial['machine']]}) |"
        )
        lines.insert(len(lines) if changed else 4, row)
    return "\n".join(lines)


def main(corpus: str, *changes: str) -> None:
    path = HERE / "results" / f"search_{corpus}.json"
    path.parent.mkdir(exist_ok=True)
    trials = json.loads(path.read_text())["trials"] if path.exists() else []
    changes = [dict(part.split("=") for part in change.split(",")) for change in changes] or CHANGES
    wanted = []
    for change in changes:
        trial = {
            "recipe": {name: type(value)(change.get(name, value)) for name, value in BEST[corpus].items()},
            "num_pairs": int(change.get("num_pairs", NUM_PAIRS[corpus])),
        }
        if trial not in wanted and not any(trial.items() <= done.items() for done in trials):
            wanted.append(trial)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train, corpus, new["num_pairs"], 1, **new["recipe"]): new for new in wanted}
        for done in as_completed(running):
            trials.append(running[done] | {"machine": MACHINE} | done.result())
            path.write_text(json.dumps({"trials": trials}, indent=1) + "\n")
            put_into_readme(f"search {corpus}", table(corpus, trials))
            print(table(corpus, trials).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
