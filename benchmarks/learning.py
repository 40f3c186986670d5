"""`python benchmarks/learning.py`: what is learned on WikiText-2, after 50 steps and later.

Each training is done twice from nothing: on the text as it is, for the losses, and on the text with
pseudowords, for the senses. One that stands in results/learning.json is not done again. Where there
are several seeds, the figure is the mean, with the lowest and the highest.
"""

import math
from collections import Counter
from itertools import chain

import torch
from pseudowords import Pseudowords
from report import MACHINE, keep, kept, number_machines, paragraph, put_into_readme, with_table
from search import BEST, train

from bert_tutorial import baselines, load_data_wiki, read_text
from bert_tutorial.representation.occurrences import window
from bert_tutorial.text.wikitext_format import paragraphs

CORPUS = "wikitext-2"
# As notebook 02 begins, with d2l's batches, masks, pairs and dropout.
FIRST = BEST[CORPUS] | dict(
    batch_size=512,
    mask_rate=0.15,
    sentences_per_segment=[1],
    next_sentence_rate=0.5,
    dropout=0.2,
    learning_rate=5e-3,
    embedding_rate=1.0,
)
# The recipe for long runs with fewer words to guess in each sentence: a step takes less time, so
# there are more of them.
SHORT = BEST[CORPUS] | dict(mask_rate=0.25)
# Before word vectors began with counted neighbours.
NOISE = dict(word_neighbours=0, embedding_rate=1.0)
FORMER = NOISE | dict(sentences_per_segment=[2])
# Steps, recipe, and with how many seeds.
TRAININGS = (
    (50, FIRST | NOISE, 1),
    (2500, SHORT | FORMER | dict(matrices="adamw"), 1),
    (2200, SHORT | FORMER, 3),
    (6000, BEST[CORPUS] | FORMER, 1),
    (50, FIRST, 1),
    (2200, SHORT, 3),
)


def naive_bayes(merged: Pseudowords, near: int = 2, weight: int = 3) -> float:
    """The control without a network: which sense is likelier, given the words around?

    Each word counts for itself. It is told the sense of every occurrence in the training text, and
    reads the same sentences as the network. Words that stand near the pseudoword also count with
    their distance, and so many times as much.

    Returns:
        Fraction of held-out occurrences correctly classified, mean over the pseudowords.
    """

    def evidence(text: str, labels):
        read = paragraphs(text)
        for number, sentence, position, sense, _ in labels:
            begin, end = window(read[number], sentence, 62)
            words = list(chain.from_iterable(read[number][begin:end]))
            at = sum(map(len, read[number][begin:sentence])) + position
            others = [(i - at, word) for i, word in enumerate(words) if i != at]
            close = [item for item in others if abs(item[0]) <= near]
            yield sense, [word for _, word in others] + weight * close

    corpus = merged.corpus
    known, valid = merged.labels(corpus.train), merged.labels(corpus.valid)
    accuracies = []
    for word, held_out in valid.items():
        counts = {occurrence.sense: Counter() for occurrence in known[word]}
        for sense, seen in evidence(corpus.train, known[word]):
            counts[sense].update(seen)
        kinds = len(set().union(*counts.values()))

        def log_likelihood(seen, sense, counts=counts, kinds=kinds):
            total = counts[sense].total() + kinds / 2
            return sum(math.log((counts[sense][item] + 0.5) / total) for item in seen)

        found = [
            sense == max(counts, key=lambda other: log_likelihood(seen, other))
            for sense, seen in evidence(corpus.valid, held_out)
        ]
        accuracies.append(sum(found) / len(found))
    return sum(accuracies) / len(accuracies)


def spread(runs: list[dict], figure: str, form: str, unit: float = 1) -> str:
    """The mean of a figure, and its lowest and highest value if there are several runs."""
    if not runs:
        return "not measured"
    values = [run[figure] / unit for run in runs]
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def column(steps: int, recipe: dict, plain: list[dict], merged: list[dict], number: dict) -> list:
    """What is said of one recipe: of its runs on the plain text, and on that with pseudowords."""
    machines = ", ".join(map(str, sorted({number[run["machine"]] for run in plain})))
    seeds = str(len(plain))
    if merged and len(merged) != len(plain):
        seeds += f", for the senses {len(merged)}"
    return [
        f"{steps:,} steps of {recipe['batch_size']} pairs",
        spread(plain, "mlm_loss", ".2f"),
        spread(plain, "mlm_accuracy", ".1%"),
        spread(merged, "senses", ".1%"),
        spread(merged, "linear", ".1%"),
        f"{spread(plain, 'seconds', '.1f', unit=60)} ({machines})",
        {"muon": "Muon", "adamw": "AdamW"}[recipe["matrices"]],
        "counted neighbours" if recipe["word_neighbours"] else "noise",
        seeds,
    ]


def table(results: dict) -> str:
    """One column for the controls, one for each recipe that has been trained."""
    number, machines = number_machines(results["trainings"])
    columns, last = [], None
    for steps, recipe, _ in TRAININGS:
        runs = [r for r in results["trainings"] if (r["steps"], r["recipe"]) == (steps, recipe)]
        plain, merged = (
            [run for run in runs if run["text"] == text] for text in ("plain", "pseudowords")
        )
        if plain:
            columns.append(column(steps, recipe, plain, merged, number))
        last = merged[0] if merged else last
    known = results["baselines"]
    controls = {
        "": "controls",
        "held-out MLM loss": f"word frequencies: {known['unigram']:.2f}, "
        f"two neighbours: {known['neighbours']:.2f}",
        "masked words right": f"most frequent word: {known['unigram_accuracy']:.1%}, "
        f"two neighbours: {known['neighbours_accuracy']:.1%}",
        "senses right, nearest centroid": f"untrained: {last['untrained']:.1%}, "
        f"naive Bayes: {results['naive_bayes']:.1%}",
        "senses right, linear discriminant": f"untrained: {last['untrained_linear']:.1%}",
        "minutes (machine)": "",
        "matrices trained by": "",
        "word vectors begin with": "",
        "seeds": "",
    }
    header, *rows = (list(row) for row in zip(controls, controls.values(), *columns, strict=True))
    hardest = sorted(last["by_word"].items(), key=lambda item: item[1])[:3]
    words = ", ".join(f"{word.replace('|', '/')} {right:.0%}" for word, right in hardest)
    about = (
        f"Hardest of the {len(last['by_word'])} pseudowords, by nearest centroid after the last of "
        f"these trainings: {words}."
    )
    return f"{with_table(machines, header, rows)}\n\n{paragraph(about)}"


def main() -> None:
    wanted = [
        {"steps": steps, "recipe": recipe, "seed": seed, "text": text}
        for steps, recipe, num_seeds in TRAININGS
        for seed in range(num_seeds)
        for text in ("plain", "pseudowords")
    ]
    train_iter, _ = load_data_wiki(corpus=CORPUS)
    results = {
        "baselines": baselines(train_iter)._asdict(),
        "naive_bayes": naive_bayes(Pseudowords(read_text(CORPUS))),
        "trainings": [
            run
            for run in kept("learning").get("trainings", [])
            if any(training.items() <= run.items() for training in wanted)
        ],
    }
    for training in wanted:
        if any(training.items() <= run.items() for run in results["trainings"]):
            continue
        steps, recipe, seed, text = training.values()
        num_pairs, num_threads = steps * recipe["batch_size"], torch.get_num_threads()
        found = train(CORPUS, recipe, num_pairs, num_threads, text == "pseudowords", seed)
        results["trainings"].append(training | {"machine": MACHINE} | found)
        keep("learning", results)
        if text == "pseudowords":  # the recipe's other half is done
            put_into_readme("learning", table(results))
            print(table(results), flush=True)


if __name__ == "__main__":
    main()
