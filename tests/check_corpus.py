"""Measures the corpora in the package, and lists what is wrong: `python tests/check_corpus.py`."""

import re
import sys
from collections import Counter, defaultdict
from typing import NamedTuple

from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.wikitext_format import Corpus

HEADING = re.compile(r"^ = (?P<title>(?P<word>\S+) \( (?P<sense>[a-z ]+) \)(?: : .+)?|[^()]+) = $")
LINE = re.compile(r"^ (?:\S+ )+\. $")
COLUMNS = "articles", "words", "occurrences", "valid occurrences"


class Rules(NamedTuple):
    """What is right in a part of the corpus: from, to; and at least, for each sense."""

    sentences: tuple[int, int]  # in a paragraph
    words: tuple[int, int]  # in a sentence
    sense: dict[str, int]


RULES = {
    "encyclopaedia": Rules(
        (4, 9), (5, 30), {"words": 1500, "occurrences": 60, "articles": 3, "valid paragraphs": 2}
    ),
    "everyday": Rules(
        (2, 9), (2, 34), {"words": 700, "occurrences": 40, "articles": 8, "valid paragraphs": 1}
    ),
}


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


def measure(
    corpus: Corpus, rules: Rules = RULES["encyclopaedia"]
) -> tuple[dict, dict[tuple[str, str], Counter], list[str]]:
    """Figures, a Counter for each (word, sense), and everything that is wrong, a sentence each."""
    problems: list[str] = []
    paragraphs = read(corpus, problems)
    senses, articles = defaultdict(Counter), defaultdict(set)
    seen, lengths, grams = set(), [], defaultdict(list)  # 5-grams: the titles where each stands
    for p in paragraphs:
        low, high = rules.sentences
        if not low <= len(p.sentences) <= high:
            problems.append(f"{p.title}: {len(p.sentences)} sentences ({low} to {high} are right)")
        low, high = rules.words
        for sentence in p.sentences:
            number, where = len(sentence), f"{p.title}: {' '.join(sentence)[:60]}"
            lengths.append(number)
            if not low <= number <= high:
                problems.append(
                    f"{where}: a sentence of {number} words ({low} to {high} are right)"
                )
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
        for name, least in rules.sense.items():
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
    """The table of senses in a corpus's README.md."""
    lines = ["| word | sense | articles | words | occurrences | of these held out |"]
    lines.append("|---|---|---|---|---|---|")
    for (word, sense), count in sorted(senses.items()):
        lines.append(f"| {word} | {sense} | {' | '.join(f'{count[n]:,}' for n in COLUMNS)} |")
    return "\n".join(lines)


def figures_table(of: dict[str, dict]) -> str:
    """The other table: the figures of each corpus."""
    lines = [f"| figure | {' | '.join(of)} |", f"|---|{'---|' * len(of)}"]
    for name, example in next(iter(of.values())).items():
        form = ",d" if isinstance(example, int) else ".1f" if "mean" in name else ".1%"
        lines.append(f"| {name} | {' | '.join(f'{f[name]:{form}}' for f in of.values())} |")
    return "\n".join(lines)


def all_figures() -> dict[str, dict]:
    """The figures of both parts, and of the bundled corpus that they make."""
    of_parts = {name: measure(read_text(name), rules)[0] for name, rules in RULES.items()}
    return of_parts | {"both": measure(read_text("bundled"))[0]}


def stale(corpus: Corpus, most: int = 15) -> dict[str, list[tuple[str, int]]]:
    """What comes again and again: first words, first words of paragraphs, 5-grams."""
    found = {"sentences begin": Counter(), "paragraphs begin": Counter(), "5-grams": Counter()}
    for paragraph in read(corpus, []):
        found["paragraphs begin"][" ".join(paragraph.sentences[0][:3])] += 1
        for sentence in paragraph.sentences:
            found["sentences begin"][sentence[0]] += 1
            grams = (" ".join(sentence[i : i + 5]) for i in range(len(sentence) - 4))
            found["5-grams"].update(grams)
    return {kind: counts.most_common(most) for kind, counts in found.items()}


if __name__ == "__main__":
    measured = {name: measure(read_text(name), rules) for name, rules in RULES.items()}
    print(figures_table(all_figures()))
    for name, (_, senses, problems) in measured.items():
        print(f"\n{name}\n{table(senses)}")
        print(*(f"{kind}: {some}" for kind, some in stale(read_text(name)).items()), sep="\n")
        print("\n".join(problems) or "nothing is wrong")
    sys.exit(any(problems for _, _, problems in measured.values()))
