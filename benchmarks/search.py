"""`python benchmarks/search.py bundled` (or `wikitext-2`): try recipes, each from nothing.

A recipe sees a set number of sentence pairs, so that a noisy machine finds the same recipe; the
seconds are what it took. Held-out losses are measured as always: single sentences, 15 % masked,
dropout off. Further arguments are changes of the recipe to try, as in
`learning_rate=0.002,dropout=0.1`, and `num_pairs=149000` gives a cheaper one more pairs; without
any, CHANGES are tried. What was tried before is not tried again, but kept in results/ and in the
table.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch
from pseudowords import Pseudowords
from report import MACHINE, keep, kept, number_machines, put_into_readme, with_table

from bert_tutorial import BERTModel, Settings, evaluate, load_data_wiki, train_steps
from bert_tutorial.network.model import POSITION_INIT_STD
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.representation.occurrences import labelled_occurrences, occurrence_vectors
from bert_tutorial.representation.senses import mean_accuracy, sense_scores
from bert_tutorial.studio.runs.settings import RECIPES
from bert_tutorial.text.corpora import CORPORA

# For each corpus the recipe that this search chose, and how many sentence pairs a trial sees. Later
# trials chose other mask rates, and for WikiText-2 to decode some of the words (see README.md).
SEARCHED = (
    "batch_size", "mask_rate", "sentences_per_segment", "next_sentence_rate", "dropout",
    "learning_rate", "embedding_rate",
)  # fmt: skip
BEST = {
    corpus: {name: getattr(recipe, name) for name in SEARCHED}
    | dict(sentences_per_segment=list(recipe.sentences_per_segment))
    | dict(num_heads=2, positions=POSITION_INIT_STD, matrices="muon", word_neighbours=1)
    for corpus, recipe in RECIPES.items()
}
BEST["bundled"] |= dict(mask_rate=0.4)
BEST["wikitext-2"] |= dict(batch_size=64, mask_rate=0.4)
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
    {"sentences_per_segment": [1]},
    {"sentences_per_segment": [2]},
    {"sentences_per_segment": [1, 2, 3]},
    {"next_sentence_rate": 0.5},
    {"num_heads": 4},
    {"matrices": "adamw"},  # by which the matrices inside the network are trained
    {"word_neighbours": 0, "embedding_rate": 1.0},  # word vectors that begin with noise
    {"positions": 0.02},  # standard deviation of the position embeddings at the start
]


def linear_discriminant(net, vocab, corpus, labels) -> float:
    """Classify senses as `sense_scores` does, but count a distance less where vectors spread wide.

    The spread is the covariance within the senses of a word in the training text. A tenth of it is
    replaced by the same spread in all directions, because some words have fewer than a thousand
    occurrences for its 8,256 numbers.

    Returns:
        Fraction of held-out occurrences correctly classified, mean over the words.

    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems".
    """
    train, valid = labels(corpus.train), labels(corpus.valid)
    accuracies = []
    for word, held_out in valid.items():
        senses = sorted({occurrence.sense for occurrence in train[word]})
        known, wanted = (
            torch.tensor([senses.index(occurrence.sense) for occurrence in part])
            for part in (train[word], held_out)
        )
        vectors = occurrence_vectors(net, vocab, corpus.train, train[word])
        centroids = torch.stack([vectors[known == i].mean(0) for i in range(len(senses))])
        covariance = (vectors - centroids[known]).T.cov(correction=0)
        covariance = covariance.lerp(covariance.diag().mean() * torch.eye(len(covariance)), 0.1)
        # Vectors multiplied by this spread alike in all directions.
        even = torch.linalg.inv(torch.linalg.cholesky(covariance)).T
        asked = occurrence_vectors(net, vocab, corpus.valid, held_out)
        nearest = torch.cdist(asked @ even, centroids @ even).argmin(1)
        accuracies.append((nearest == wanted).float().mean().item())
    return sum(accuracies) / len(accuracies)


def measure_senses(net, vocab, corpus, labels) -> dict:
    """How many senses are right, by nearest centroid and by linear discriminant.

    Empty for a text without labelled senses.
    """
    scores = sense_scores(net, vocab, corpus, labels=labels)
    if not scores:
        return {}
    by_word = {word: score.accuracy for word, score in scores.items()}
    linear = linear_discriminant(net, vocab, corpus, labels)
    return {"senses": mean_accuracy(scores), "linear": linear, "by_word": by_word}


def train(name, recipe, num_pairs, num_threads, pseudowords=True, seed=0) -> dict:
    """Train from nothing with one recipe, and measure what was learned.

    A text without labelled senses gets pseudowords, if they are wanted.
    """
    torch.set_num_threads(num_threads)
    corpus, labels = CORPORA[name].read(), labelled_occurrences
    if name != "bundled" and pseudowords:
        merged = Pseudowords(corpus)
        corpus, labels = merged.corpus, merged.labels
    train_iter, vocab = load_data_wiki(
        recipe["batch_size"],
        64,
        corpus,
        mask_rate=recipe["mask_rate"],
        sentences_per_segment=recipe["sentences_per_segment"],
        next_sentence_rate=recipe["next_sentence_rate"],
        min_freq=CORPORA[name].min_freq,
    )
    net = BERTModel(len(vocab), num_heads=recipe["num_heads"], dropout=recipe["dropout"])
    net.reset(torch.Generator().manual_seed(seed))
    train_iter.seed = seed  # of the training pairs and masks; the held-out ones stay the same
    with torch.no_grad():
        net.encoder.embeddings.position.weight *= recipe["positions"] / POSITION_INIT_STD
    untrained = measure_senses(net, vocab, corpus, labels)
    how = Settings(
        num_steps=num_pairs // recipe["batch_size"],
        learning_rate=recipe["learning_rate"],
        word_neighbours=bool(recipe["word_neighbours"]),
        embedding_rate=recipe["embedding_rate"],
        seed=seed,
    )
    optimizers = make_optimizers(net, how)
    if recipe["matrices"] == "adamw":
        muon, adam = optimizers
        adam.add_param_group(
            {"params": muon.param_groups[0]["params"], "weight_decay": how.weight_decay}
        )
        optimizers = [adam]
    began = time.perf_counter()
    for _ in train_steps(net, train_iter, how, optimizers=optimizers):
        pass
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "untrained": untrained.get("senses"),
        "untrained_linear": untrained.get("linear"),
        **measure_senses(net, vocab, corpus, labels),
        **evaluate(net, train_iter.valid)._asdict(),
    }


def table(name: str, trials: list[dict]) -> str:
    """What was tried, the chosen recipe first."""
    best = BEST[name]
    number, machines = number_machines(trials)
    chosen = ", ".join(f"{setting} {value}" for setting, value in best.items())
    about = (
        f"{name}. {machines} Each trial has one thread. The chosen recipe: {chosen}. "
        "The rows below change something in it."
    )
    rows = []
    for trial in trials:
        changed = {s: value for s, value in trial["recipe"].items() if value != best[s]}
        row = [
            ", ".join(f"{setting} {value}" for setting, value in changed.items()) or "(none)",
            f"{trial['mlm_loss']:.2f}",
            f"{trial['mlm_accuracy']:.1%}",
            f"{trial['senses']:.3f}",
            f"{trial['untrained']:.3f}",
            f"{trial['num_pairs']:,}",
            f"{trial['seconds']:.0f} ({number[trial['machine']]})",
        ]
        rows.insert(len(rows) if changed else 0, row)
    header = ["change", "held-out MLM loss", "accuracy", "senses", "senses, untrained"]
    header += ["sentence pairs", "seconds (machine)"]
    return with_table(about, header, rows)


def as_typed(value, like):
    """A setting from the command line, such as "1+2+3", or one that has its type already."""
    if not isinstance(value, str):
        return value
    return [int(part) for part in value.split("+")] if isinstance(like, list) else type(like)(value)


def main(name: str, *changes: str) -> None:
    trials = kept(f"search_{name}").get("trials", [])
    changes = [dict(part.split("=") for part in change.split(",")) for change in changes] or CHANGES
    wanted = []
    for change in changes:
        recipe = {s: as_typed(change.get(s, value), value) for s, value in BEST[name].items()}
        trial = {"recipe": recipe, "num_pairs": int(change.get("num_pairs", NUM_PAIRS[name]))}
        if trial not in wanted and not any(trial.items() <= done.items() for done in trials):
            wanted.append(trial)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = {
            pool.submit(train, name, new["recipe"], new["num_pairs"], 1): new for new in wanted
        }
        for done in as_completed(running):
            trials.append(running[done] | {"machine": MACHINE} | done.result())
            keep(f"search_{name}", {"trials": trials})
            put_into_readme(f"search {name}", table(name, trials))
            print(table(name, trials).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
