"""Words with two senses: where they stand, and the vectors that a network gives them there.

In the bundled corpus an article's heading names the sense: below ` = Crane ( bird ) : Migration = `
every "crane" is a bird. So each occurrence has a label, and nobody had to annotate one. A text
without such headings gets hidden pairs.

Shapes: N occurrences, D hidden units.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..network.model import BERTModel, check_vocab
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs
from .encoding import Window, hide, use_vectors

MOST = 300  # occurrences of a word without known senses that are read
NUM_PAIRS, LONGEST_LIST = 12, 100  # hidden pairs, and occurrences of each word in them
read_paragraphs = lru_cache(maxsize=8)(paragraphs)  # a long text takes more than a second
HEADING = re.compile(r"^ = (\S+) \( ([^()]+) \)( : .*)? = $")


class Occurrence(NamedTuple):
    """One place where a word stands; all numbers count from 0."""

    paragraph: int
    sentence: int
    position: int
    sense: str  # what the heading says in brackets; "" if nobody knows
    is_hidden: bool = False  # whether a network reads `<mask>` in the place of the word


Labels = Callable[[str], dict[str, list[Occurrence]]]  # text -> occurrences of each labelled word


def labelled_occurrences(text: str) -> dict[str, list[Occurrence]]:
    r"""All occurrences of the words that headings name, in alphabetical order, with their senses.

    >>> [found] = labelled_occurrences(" = Crane ( bird ) = \n\n A crane dances . \n")["crane"]
    >>> found.sentence, found.position, found.sense
    (0, 1, 'bird')
    """
    found, word, sense, number = {}, None, None, 0
    for line in text.split("\n"):
        if heading := HEADING.match(line):
            word, sense = heading[1].lower(), heading[2].lower()
        elif line.startswith(" = "):
            word = None
        for paragraph in paragraphs(line):
            for i, sentence in enumerate(paragraph):
                for j, token in enumerate(sentence):
                    if token == word:
                        found.setdefault(word, []).append(Occurrence(number, i, j, sense))
            number += 1
    return dict(sorted(found.items()))


def hidden_pairs(corpus: Corpus) -> Labels:
    """Labels for any text: two unrelated words are hidden, and which of them stood there is asked.

    Every "river" and every "song", say, is read as `<mask>`; the pair's name is "river/song". The
    words are drawn from those that stand in the training text 20 times, in the held-out text 4
    times, and are not among the hundred most frequent. A short text has few pairs, or none.
    Source: Schuetze 1992; Gale, Church and Yarowsky 1992.
    """
    known, asked = (Counter(part.lower().split()) for part in (corpus.train, corpus.valid))
    ranked = [word for word, _ in known.most_common() if word.isalpha()][100:]
    fit = [word for word in ranked if known[word] >= 20 and asked[word] >= 4][: 40 * NUM_PAIRS]
    chosen = random.Random(0).sample(fit, min(2 * NUM_PAIRS, len(fit) // 2 * 2))
    chosen.sort(key=lambda word: (known[word], word))  # the two of a pair are similarly frequent
    pairs = list(zip(chosen[::2], chosen[1::2], strict=True))

    def labels(text: str) -> dict[str, list[Occurrence]]:
        found = {}
        for pair in sorted(pairs, key="/".join):
            uses = ((word, use) for word in pair for use in find_uses(text, word, LONGEST_LIST))
            if labelled := sorted(use._replace(sense=w, is_hidden=True) for w, use in uses):
                found["/".join(pair)] = labelled
        return found

    return labels


def labels_for(corpus: Corpus) -> Labels:
    """What labels occurrences: the headings of a text if they name senses, or else hidden pairs."""
    named = labelled_occurrences(corpus.train).values()
    has_two = any(len({o.sense for o in occurrences}) > 1 for occurrences in named)
    return labelled_occurrences if has_two else hidden_pairs(corpus)


def find_uses(text: str, word: str, most: int = MOST) -> list[Occurrence]:
    """The first occurrences of a word in a text, without senses."""
    found = []
    for number, paragraph in enumerate(read_paragraphs(text)):
        for i, sentence in enumerate(paragraph):
            if word in sentence:
                found += [Occurrence(number, i, j, "") for j, t in enumerate(sentence) if t == word]
        if len(found) >= most:
            break
    return found[:most]


def window(paragraph: list[list[str]], sentence: int, budget: int) -> tuple[int, int]:
    """From where to where go the whole sentences around one that have `budget` tokens at most.

    >>> window([["a"], ["b", "c"], ["d"], ["e"]], sentence=1, budget=4)
    (0, 3)
    """
    begin, end, left = sentence, sentence + 1, budget - len(paragraph[sentence])
    for _ in paragraph:  # one more behind, and one more before
        if end < len(paragraph) and len(paragraph[end]) <= left:
            end, left = end + 1, left - len(paragraph[end])
        if begin > 0 and len(paragraph[begin - 1]) <= left:
            begin, left = begin - 1, left - len(paragraph[begin - 1])
    return begin, end


def windows(text: str, occurrences: list[Occurrence], max_len: int = 64) -> list[Window]:
    """The words around each occurrence, as a network reads them.

    As many whole sentences of its paragraph as fit into `max_len` positions, with `<cls>` and
    `<sep>`. A longer one is cut at its end, and where the word stands too far back, before it too.
    """
    read, found, budget = read_paragraphs(text), [], max_len - 2
    for number, sentence, position, *_ in occurrences:
        paragraph = read[number]
        begin, end = window(paragraph, sentence, budget)
        tokens = list(chain.from_iterable(paragraph[begin:end]))
        place = sum(map(len, paragraph[begin:sentence])) + position
        start = max(0, place + 1 - budget)
        found.append(Window(tokens[start : start + budget], place - start))
    return found


def readings(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence]
) -> list[Window]:
    """The windows of occurrences, with `<mask>` in the place of those that are hidden."""
    check_vocab(net, vocab)
    read = zip(occurrences, windows(text, occurrences, min(64, net.config.max_len)), strict=True)
    return [hide(vocab, window) if o.is_hidden else window for o, window in read]


def occurrence_vectors(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence]
) -> Tensor:
    """The last-layer vectors (N, D) of a word, read with the sentences around it."""
    return use_vectors(net, vocab, readings(net, vocab, text, occurrences))[-1]


def both_readings(net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence]) -> Tensor:
    """A word's occurrences, each as it stands and hidden: (1 + number of layers, N, 2 D).

    The vector at `<mask>` tells what the rest of the sentence expects there.
    """
    read = readings(net, vocab, text, occurrences)
    hidden = [hide(vocab, window) for window in read]
    return torch.cat([use_vectors(net, vocab, windows) for windows in (read, hidden)], dim=2)


def without_parts(vectors: np.ndarray, corpus: Corpus, occurrences: list[Occurrence]) -> np.ndarray:
    """Vectors (..., N, D) without the directions in which the parts of a corpus differ.

    An encyclopaedia and a letter use each word in another tone. That is no sense, but can be more
    of what differs between two uses than the sense is. So what leads from the mean of one part's
    occurrences to that of another is taken out. The occurrences are those of the training text.
    """
    if not corpus.parts:
        return vectors
    ends = np.cumsum([len(read_paragraphs(part.train)) for part in corpus.parts])
    parts = np.searchsorted(ends, [o.paragraph for o in occurrences], side="right")
    means = np.stack([vectors[..., parts == n, :].mean(-2) for n in np.unique(parts)], axis=-2)
    apart = means[..., 1:, :] - means[..., :1, :]
    return vectors - vectors @ np.linalg.pinv(apart) @ apart
