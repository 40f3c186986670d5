"""Measures the bundled corpus, and lists what is wrong: `python tests/check_corpus.py`."""

import re
import sys
from collections import Counter, defaultdict
from typing import NamedTuple

from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus

HEADING = re.compile(r"^ = (?P<title>(?P<word>\S+) \( (?P<sense>[a-z ]+) \)(?: : .+)?|[^()]+) = $")
LINE = re.compile(r"^ (?:\S+ )+\. $")
LEAST = {"words": 1500, "occurrences": 60, "articles": 3, "valid paragraphs": 2}  # of a sense
COLUMNS = "articles", "words", "occurrences", "valid occurrences"


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
                cut = [sentence.lower().split() for sentence in line[1:].split(" . ")[:-1]]
                sentences = [[token for token in some if token[0].isalnum()] for some in cut]
                found.append(Paragraph(split, title, sense and word.lower(), sense, sentences))
            elif line.strip():
                problems.append(
                    f"{split}, line {number} is neither a heading nor a paragraph: {line[:60]!r}"
                )
    return found


def measure(corpus: Corpus) -> tuple[dict, dict[tuple[str, str], Counter], list[str]]:
    """Figures, a Counter for each (word, sense), and everything that is wrong, a sentence each."""
    problems: list[str] = []
    paragraphs = read(corpus, problems)
    senses, articles = defaultdict(Counter), defaultdict(set)
    seen, lengths, grams = set(), [], defaultdict(list)  # 5-grams: the titles where each stands
    for p in paragraphs:
        if not 4 <= len(p.sentences) <= 9:
            problems.append(f"{p.title}: {len(p.sentences)} sentences (4 to 9 are right)")
        for sentence in p.sentences:
            number, where = len(sentence), f"{p.title}: {' '.join(sentence)[:60]}"
            lengths.append(number)
            if not 5 <= number <= 30:
                problems.append(f"{where}: a sentence of {number} words (5 to 30 are right)")
            if tuple(sentence) in seen:
                problems.append(f"{where}: a sentence that occurs twice")
            seen.add(tuple(sentence))
            for i in range(number - 4):
                grams[tuple(sentence[i : i + 5])].append(p.title)
        if p.sense:
            here = sum(sentence.count(p.word) for sentence in p.sentences)
            articles[p.word, p.sense].add(p.title)
            senses[p.word, p.sense].update(
                {"words": sum(map(len, p.sentences)), f"{p.split} paragraphs": 1}
                | {"occurrences": here, f"{p.split} occurrences": here}
            )
    for (word, sense), count in senses.items():
        count["articles"] = len(articles[word, sense])
        for name, least in LEAST.items():
            if count[name] < least:
                problems.append(
                    f"{word} ( {sense} ) has {count[name]} {name} (at least {least} are right)"
                )
    words = Counter(word for word, _ in senses)
    problems += [f"{w} has {n} senses (2 are right)" for w, n in words.items() if n != 2]
    repeated = sum(len(titles) for titles in grams.values() if len(set(titles)) > 1)
    total, number = sum(lengths), len(lengths)
    figures = {
        "words": total,
        "sentences": number,
        "paragraphs": len(paragraphs),
        "articles": len({p.title for p in paragraphs}),
        "words with two senses": len(words),
        "words in a sentence, mean": total / number,
        "sentences below 9 words": sum(n < 9 for n in lengths) / number,
        "sentences above 20 words": sum(n > 20 for n in lengths) / number,
        "5-grams in more than one article": repeated / sum(map(len, grams.values())),
        "paragraphs held out": sum(p.split == "valid" for p in paragraphs) / len(paragraphs),
    }
    return figures, dict(senses), problems


def table(senses: dict[tuple[str, str], Counter]) -> str:
    """The table of data/corpus/README.md."""
    lines = ["| word | sense | articles | words | occurrences | of these held out |"]
    lines.append("|---|---|---|---|---|---|")
    for (word, sense), count in sorted(senses.items()):
        lines.append(f"| {word} | {sense} | {' | '.join(f'{count[n]:,}' for n in COLUMNS)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    figures, senses, problems = measure(read_text("bundled"))
    for name, value in figures.items():
        print(f"{name:34} {value:,}" if isinstance(value, int) else f"{name:34} {value:.3f}")
    print(table(senses))
    print("\n".join(problems) or "nothing is wrong")
    sys.exit(bool(problems))
