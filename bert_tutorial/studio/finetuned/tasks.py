"""The tasks of the package, each split into a part to learn from and one to be tested with.

No article stands in both parts. What the bundled corpus gives to test with is held out from
pretraining too.
"""

import csv
import random
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

from ...finetuning.labelled import Labelled, Task, Text
from ...representation.occurrences import (
    HEADING,
    labelled_occurrences,
    read_paragraphs,
    windows,
)
from ...text.corpora import DATA, read_text
from ...text.vocabulary import tokenize
from ...text.wikitext_format import paragraphs

LONGEST = 30  # words of each text; with <cls> and <sep> they fill a row of 32 positions
PAIRS = 64, 16  # of sentences for each word, to learn from and to test with


def words_of(text: str) -> list[str]:
    """A text as words; full stops are no words, as in WikiText's format."""
    return [token for token in tokenize(text) if token != "."]


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of a table of the package."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


# The bundled corpus: the heading of an article names the sense of its word.


class Passage(NamedTuple):
    """A paragraph of an article on one sense of a word, or a use of the word in it."""

    number: int  # of the paragraph in its text
    heading: str
    word: str
    sense: str
    text: Text | None = None  # of a use


Part = tuple[str, list[Passage]]  # a text, and paragraphs of it


def passages(text: str) -> list[Passage]:
    """The paragraphs below headings that name a sense."""
    found, heading, number = [], None, 0
    for line in text.split("\n"):
        if line.startswith(" = "):
            heading = HEADING.match(line)
        for _ in paragraphs(line):
            if heading:
                found.append(Passage(number, heading[0], heading[1].lower(), heading[2].lower()))
            number += 1
    return found


def split_articles(tuning: bool = False) -> tuple[Part, Part]:
    """To learn from: articles no part of which is held out; to test with: the held-out paragraphs.

    Tuning, every fifth of the articles to learn from stands in for the held-out ones.
    """
    corpus = read_text("bundled")
    text, test = corpus.valid, passages(corpus.valid)
    held_out = {passage.heading for passage in test}
    train = [p for p in passages(corpus.train) if p.heading not in held_out]
    if tuning:
        held_out = set(sorted({p.heading for p in train})[::5])  # some of each sense
        text, test = corpus.train, [p for p in train if p.heading in held_out]
        train = [p for p in train if p.heading not in held_out]
    return (corpus.train, train), (text, test)


def topic_task(tuning: bool = False) -> Task:
    """What is a paragraph about? The two senses of its word have different topics."""
    topics = {(row["word"], row["sense"]): row["topic"] for row in read_table("topics.tsv")}
    names = sorted(set(topics.values()))

    def read(text: str, some: list[Passage]) -> Labelled:
        words = [list(chain.from_iterable(read_paragraphs(text)[p.number])) for p in some]
        rows = zip(some, words, strict=True)
        return Labelled.of(names, [(topics[p.word, p.sense], Text(w[:LONGEST])) for p, w in rows])

    return Task("topic", *(read(*part) for part in split_articles(tuning)))


def uses(text: str, some: list[Passage]) -> dict[str, list[Passage]]:
    """The uses of each word with two senses in some paragraphs, with the words around each."""
    of, found = {passage.number: passage for passage in some}, {}
    for word, occurrences in labelled_occurrences(text).items():
        here = [o for o in occurrences if o.paragraph in of]
        read = zip(here, windows(text, here, LONGEST + 2), strict=True)
        found[word] = [of[o.paragraph]._replace(text=Text(*window[:2])) for o, window in read]
    return found


def tagging_task(tuning: bool = False) -> Task:
    """Which sense has each word with two senses in running text? Other words have no label."""
    names = [f"{row['word']}: {row['sense']}" for row in read_table("topics.tsv")]
    parts = (chain.from_iterable(uses(*part).values()) for part in split_articles(tuning))
    return Task("sense tagging", *(
        Labelled.of(names, [(f"{use.word}: {use.sense}", use.text) for use in part])
        for part in parts
    ))  # fmt: skip


def draw_pairs(of_word: list[Passage], number: int) -> list[tuple[str, Text, Text]]:
    """Pairs of a word's uses from two articles, by turns of the same and of two senses.

    Source: Pilehvar and Camacho-Collados 2019, "WiC: the Word-in-Context dataset".
    """
    draw, found = random.Random(f"pairs {of_word[0].word}"), {}
    by_sense = [[u for u in of_word if u.sense == s] for s in sorted({u.sense for u in of_word})]
    for _ in range(20 * number):  # tries, more than are needed
        is_same, (one, other) = len(found) % 2 == 0, draw.sample(by_sense, 2)
        a, b = draw.choice(one), draw.choice(one if is_same else other)
        if len(found) < number and a.heading != b.heading:
            row = "same" if is_same else "other", a.text, b.text
            found.setdefault(str(row[1:]), row)
    return list(found.values())


def same_sense_task(tuning: bool = False) -> Task:
    """Has the word that two sentences share the same sense in both?"""
    return Task("same sense", *(
        Labelled.of(["other", "same"], chain.from_iterable(
            draw_pairs(found, number) for found in uses(*part).values()))
        for part, number in zip(split_articles(tuning), PAIRS, strict=True)
    ))  # fmt: skip


def split_rows(rows: list[dict], by: Callable[[dict], str]) -> tuple[list[dict], list[dict]]:
    """Every fifth row of each kind to test with, the others to learn from."""
    seen, parts = {}, ([], [])
    for row in rows:
        seen[by(row)] = seen.get(by(row), 0) + 1
        parts[seen[by(row)] % 5 == 0].append(row)
    return parts


def mood_task(tuning: bool = False) -> Task:
    """Was the writer of a review pleased, or not? Tested with a fifth of each writer's reviews."""
    parts = split_rows(read_table("reviews/reviews.tsv"), lambda row: row["writer"] + row["mood"])
    if tuning:
        parts = split_rows(parts[0], lambda row: row["writer"] + row["mood"])
    return Task("mood", *(
        Labelled.of(["negative", "positive"],
                    [(row["mood"], Text(words_of(row["text"]))) for row in part])
        for part in parts
    ))  # fmt: skip


TASKS: dict[str, Callable[..., Task]] = {
    "mood": mood_task, "topic": topic_task, "same sense": same_sense_task,
    "sense tagging": tagging_task,
}  # fmt: skip
