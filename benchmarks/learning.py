"""`python benchmarks/learning.py`: what is learned on WikiText-2 after 50 steps, after five minutes, and later.

Each training is done twice from nothing: on the text as it is, for the losses, and on the text with pseudowords, for the senses.
One that stands in results/learning.json is not done again. Where there are several seeds, the figure is the mean, with the lowest
and the highest.
"""

import json
import math
from collections import Counter
from itertools import chain

import torch
from bench import HERE, MACHINE, number_machines, put_into_readme
from search import BEST, train

from bert_tutorial import load_data_wiki, yardsticks
from bert_tutorial.corpus import paragraphs, read_text
from bert_tutorial.senses import Pseudowords, window

CORPUS = "wikitext-2"
# As notebook 02 begins, with the document's batches, masks, pairs and dropout.
FIRST = BEST[CORPUS] | dict(batch_size=512, mask_rate=0.15, span=1, next_share=0.5, dropout=0.2, learning_rate=5e-3)
# The recipe for long runs with fewer words to guess in each sentence: a step takes less time, so there are more of them.
FIVE_MINUTES = BEST[CORPUS] | dict(mask_rate=0.25)
# Steps, recipe, and with how many seeds.
TRAININGS = (
    (50, FIRST, 1),
    (2500, FIVE_MINUTES | dict(matrices="adamw"), 1),
    (2200, FIVE_MINUTES, 3),
    (6000, BEST[CORPUS], 1),
)


def naive_bayes(merged: Pseudowords, near: int = 2, weight: int = 3) -> float:
    """The control without a network: which sense do the words around make likelier, each counted for itself?

    It is told the sense of every occurrence in the training text, and reads the same sentences as the network. Words that stand
    near the pseudoword also count with their distance, and so many times as much.

    Returns:
        Share of held-out occurrences told rightly, mean over the pseudowords.
    """

    def evidence(text: str, labels):
        read = paragraphs(text)
        for number, sentence, position, sense in labels:
            begin, end = window(read[number], sentence, 62)
            words = list(chain.from_iterable(read[number][begin:end]))
            at = sum(map(len, read[number][begin:sentence])) + position
            others = [(i - at, word) for i, word in enumerate(words) if i != at]
            yield sense, [word for _, word in others] + weight * [item for item in others if abs(item[0]) <= near]

    train, valid = merged.labels(merged.text.train), merged.labels(merged.text.valid)
    accuracies = []
    for word, held_out in valid.items():
        counts = {occurrence.sense: Counter() for occurrence in train[word]}
        for sense, seen in evidence(merged.text.train, train[word]):
            counts[sense].update(seen)
        kinds = len(set().union(*counts.values()))

        def log_likelihood(seen, sense, counts=counts, kinds=kinds):
            total = counts[sense].total() + kinds / 2
            return sum(math.log((counts[sense][item] + 0.5) / total) for item in seen)

        found = [
            sense == max(counts, key=lambda other: log_likelihood(seen, other))
            for sense, seen in evidence(merged.text.valid, held_out)
        ]
        accuracies.append(sum(found) / len(found))
    return sum(accuracies) / len(accuracies)


def spread(values: list[float], form: str) -> str:
    """The mean, and from where to where the values go if there are several."""
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def table(results: dict) -> str:
    """One column for the controls, one for each recipe."""
    known, trainings = results["yardsticks"], results["trainings"]
    number, machines = number_machines(trainings)
    rows = [
        ["", "controls"],
        ["held-out MLM loss", f"word frequencies: {known['unigram']:.2f}"],
        ["masked words right", f"most frequent word: {known['unigram_accuracy']:.1%}"],
        ["senses right, nearer mean", ""],
        ["senses right, linear discriminant", ""],
        ["minutes (machine)", ""],
        ["matrices trained by", ""],
        ["seeds", ""],
    ]
    for steps, recipe, _ in TRAININGS:
        plain, merged = (
            [run for run in trainings if (run["steps"], run["recipe"], run["text"]) == (steps, recipe, text)]
            for text in ("plain", "pseudowords")
        )
        if not plain or not merged:
            continue
        rows[3][1] = f"untrained: {merged[0]['untrained']:.1%}, naive Bayes: {results['naive_bayes']:.1%}"
        rows[4][1] = f"untrained: {merged[0]['untrained_linear']:.1%}"
        used = sorted({number[run["machine"]] for run in plain})
        column = (
            f"{steps:,} steps of {recipe['batch_size']} pairs",
            spread([run["mlm_loss"] for run in plain], ".2f"),
            spread([run["mlm_accuracy"] for run in plain], ".1%"),
            spread([run["senses"] for run in merged], ".1%"),
            spread([run["linear"] for run in merged], ".1%"),
            f"{spread([run['seconds'] / 60 for run in plain], '.1f')} ({', '.join(map(str, used))})",
            {"muon": "Muon", "adamw": "AdamW"}[recipe["matrices"]],
            str(len(plain)) if len(plain) == len(merged) else f"{len(plain)}, for the senses {len(merged)}",
        )
        for row, cell in zip(rows, column, strict=True):
            row.append(cell)
        by_word = merged[0]["by_word"]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    pairs = ", ".join(f"{word.replace('|', '/')} {value:.0%}" for word, value in by_word.items())
    by_mean = f"The {len(by_word)} pairs, by the nearer mean after the last of these trainings: {pairs}."
    return "\n".join([machines, "", *lines, "", by_mean])


def main() -> None:
    path = HERE / "results" / "learning.json"
    before = json.loads(path.read_text())["trainings"] if path.exists() else []
    wanted = [
        {"steps": steps, "recipe": recipe, "seed": seed, "text": text}
        for steps, recipe, num_seeds in TRAININGS
        for seed in range(num_seeds)
        for text in ("plain", "pseudowords")
    ]
    train_iter, vocab = load_data_wiki(corpus=CORPUS)
    results = {
        "yardsticks": yardsticks(vocab, train_iter.valid)._asdict(),
        "naive_bayes": naive_bayes(Pseudowords(read_text(CORPUS))),
        "trainings": [run for run in before if any(training.items() <= run.items() for training in wanted)],
    }
    for training in wanted:
        if any(training.items() <= run.items() for run in results["trainings"]):
            continue
        steps, recipe, seed, text = training.values()
        num_pairs, num_threads = steps * recipe["batch_size"], torch.get_num_threads()
        found = train(CORPUS, num_pairs, num_threads, **recipe, pseudowords=text == "pseudowords", seed=seed)
        results["trainings"].append(training | {"machine": MACHINE} | found)
        path.write_text(json.dumps(results, indent=1) + "\n")
        put_into_readme("learning", table(results))
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
