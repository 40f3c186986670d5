"""Measures the bundled corpus, and lists what is wrong with it. Run it: `python
tests/check_corpus.py`.
"""

import re
import sys
from collections import Counter, defaultdict
from itertools import chain
from typing import NamedTuple

from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus

HEADING = re.compile(r"^ = (?P<title>(?P<word>\S+) \( (?P<sense>[a-z ]+) \)(?: : .+)?|[^()]+) = $")
LINE = re.compile(r"^ (?:\S+ )+\. $")


class Paragraph(NamedTuple):
    """A paragraph and where it belongs."""

    split: str  # "train" or "valid"
    title: str  # of its article
    # Of a heading such as "Crane ( bird ) : Wings"; None for an article without a sense.
    word: str | None
    sense: str | None
    sentences: list[list[str]]  # lower-cased words, punctuation left out


def read(corpus: Corpus, problems: list[str]) -> list[Paragraph]:
    """All paragraphs; a line that is not in WikiText's format is added to `problems`."""
    found = []
    for split, part in (("train", corpus.train), ("valid", corpus.valid)):
        title = None
        for number, line in enumerate(part.split("\n"), start=1):
            if heading := HEADING.match(line):
                title, word, sense = heading["title"], heading["word"], heading["sense"]
            elif LINE.match(line) and title:
                sentences = [
                    [token for token in sentence.lower().split() if token[0].isalnum()]
                    for sentence in line[1:].split(" . ")[:-1]
                ]
                found.append(
                    Paragraph(split, title, word.lower() if sense else None, sense, sentences)
                )
            elif line.strip():
                problems.append(
                    f"{split}, line {number} is neither a heading nor a paragraph: {line[:60]!r}"
                )
    return found


def five_grams(sentence: list[str]):
    return zip(*(sentence[i:] for i in range(5)), strict=False)


def measure(corpus: Corpus) -> tuple[dict, dict[tuple[str, str], Counter], list[str]]:
    """Figures of the whole, a Counter for each (word, sense), and everything that is wrong, a
    sentence each.
    """
    problems: list[str] = []
    paragraphs = read(corpus, problems)
    senses: dict[tuple[str, str], Counter] = defaultdict(Counter)
    articles = defaultdict(set)
    seen, where = set(), defaultdict(set)
    lengths = Counter()
    for p in paragraphs:
        if not 4 <= len(p.sentences) <= 9:
            problems.append(
                f"{p.title}: a paragraph of {len(p.sentences)} sentences (4 to 9 are right)"
            )
        for sentence in p.sentences:
            lengths[len(sentence)] += 1
            if not 5 <= len(sentence) <= 30:
                problems.append(
                    f"{p.title}: a sentence of {len(sentence)} words (5 to 30 are right): "
                    f"{' '.join(sentence)[:60]}"
                )
            if tuple(sentence) in seen:
                problems.append(
                    f"{p.title}: a sentence that occurs twice: {' '.join(sentence)[:60]}"
                )
            seen.add(tuple(sentence))
            for gram in five_grams(sentence):
                where[gram].add(p.title)
        if p.sense:
            count = senses[p.word, p.sense]
            count["words"] += sum(map(len, p.sentences))
            here = sum(token == p.word for token in chain.from_iterable(p.sentences))
            count["occurrences"] += here
            count[f"{p.split} paragraphs"] += 1
            count[f"{p.split} occurrences"] += here
            articles[p.word, p.sense].add(p.title)
    for key, titles in articles.items():
        senses[key]["articles"] = len(titles)
    all_grams = sum(max(0, n - 4) * times for n, times in lengths.items())
    repeated = sum(
        len(where[g]) > 1 for p in paragraphs for s in p.sentences for g in five_grams(s)
    )
    total = sum(n * times for n, times in lengths.items())
    figures = {
        "words": total,
        "sentences": sum(lengths.values()),
        "paragraphs": len(paragraphs),
        "articles": len({p.title for p in paragraphs}),
        "words with two senses": len({word for word, _ in senses}),
        "words in a sentence, mean": total / sum(lengths.values()),
        "sentences below 9 words": sum(t for n, t in lengths.items() if n < 9)
        / sum(lengths.values()),
        "sentences above 20 words": sum(t for n, t in lengths.items() if n > 20)
        / sum(lengths.values()),
        "5-grams in more than one article": repeated / all_grams,
        "paragraphs held out": sum(p.split == "valid" for p in paragraphs) / len(paragraphs),
    }
    for word in {word for word, _ in senses}:
        if (number := sum(w == word for w, _ in senses)) != 2:
            problems.append(f"{word} has {number} senses (2 are right)")
    for (word, sense), count in senses.items():
        for name, least in (
            ("words", 1500),
            ("occurrences", 60),
            ("articles", 3),
            ("valid paragraphs", 2),
        ):
            if count[name] < least:
                problems.append(
                    f"{word} ( {sense} ) has {count[name]} {name} (at least {least} are right)"
                )
    return figures, dict(senses), problems


def table(senses: dict[tuple[str, str], Counter]) -> str:
    """The table of data/corpus/README.md."""
    columns = ("articles", "words", "occurrences", "valid occurrences")
    lines = [
        "| word | sense | articles | words | occurrences | of these held out |",
        "|---|---|---|---|---|---|",
    ]
    for (word, sense), count in sorted(senses.items()):
        lines.append(
            f"| {word} | {sense} | " + " | ".join(f"{count[name]:,}" for name in columns) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    figures, senses, problems = measure(read_text("bundled"))
    for name, value in figures.items():
        print(f"{name:34} {value:,}" if isinstance(value, int) else f"{name:34} {value:.3f}")
    print(table(senses))
    print("\n".join(problems) or "nothing is wrong")
    sys.exit(bool(problems))
