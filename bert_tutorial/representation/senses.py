"""Words with two senses: where they stand, and whether a network's vectors tell them apart.

In the bundled corpus an article's heading names the sense, as ` = Crane ( bird ) : Migration = `
does: in that article every "crane" is a bird. That is a gold label for each occurrence, without
anybody having annotated one.

Shapes: D hidden units.
"""

import re
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..network.mode import dropout_off
from ..network.model import BERTModel, check_vocab
from ..text.pairs import get_tokens_and_segments
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs

_HEADING = re.compile(r"^ = (\S+) \( ([^()]+) \)( : .*)? = $")


class Occurrence(NamedTuple):
    """One place where a word stands in a known sense; all numbers count from 0."""

    paragraph: int  # in paragraphs(text)
    sentence: int  # in the paragraph
    position: int  # in the sentence
    sense: str  # what the heading says in brackets


Labels = Callable[[str], dict[str, list[Occurrence]]]  # text -> occurrences of each labelled word


def labelled_occurrences(text: str) -> dict[str, list[Occurrence]]:
    r"""All occurrences of the words that headings name, with their senses.

    >>> labelled_occurrences(" = Crane ( bird ) = \n\n A crane dances . \n")
    {'crane': [Occurrence(paragraph=0, sentence=0, position=1, sense='bird')]}

    Args:
        text: A text in WikiText's format, such as `read_text("bundled").train`.

    Returns:
        For each word (lower case, in alphabetical order) its occurrences in the order of the text;
        no word for a text whose headings name no senses.
    """
    found: dict[str, list[Occurrence]] = {}
    word = sense = None
    number = 0
    for line in text.split("\n"):
        if heading := _HEADING.match(line):
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


def window(paragraph: list[list[str]], sentence: int, budget: int) -> tuple[int, int]:
    """The whole sentences around one of a paragraph that have at most `budget` tokens together.

    >>> window([["a"], ["b", "c"], ["d"], ["e"]], sentence=1, budget=4)
    (0, 3)

    Args:
        paragraph: Its sentences.
        sentence: Number of the one in the middle.
        budget: The most tokens.

    Returns:
        Number of the first sentence, and of the last plus one.
    """
    begin, end = sentence, sentence + 1
    left = budget - len(paragraph[sentence])
    for step in range(1, len(paragraph)):
        after, before = sentence + step, sentence - step
        if after == end < len(paragraph) and len(paragraph[after]) <= left:
            end, left = end + 1, left - len(paragraph[after])
        if before == begin - 1 >= 0 and len(paragraph[before]) <= left:
            begin, left = begin - 1, left - len(paragraph[before])
    return begin, end


class Window(NamedTuple):
    """What is read of a text at one occurrence."""

    tokens: list[str]  # without special ones
    place: int  # of the word among them


def windows(text: str, occurrences: list[Occurrence], max_len: int = 64) -> list[Window]:
    """The words around each occurrence, as a network reads them.

    Args:
        text: The text that the occurrences are of.
        occurrences: Where the word stands.
        max_len: Positions that a row may have, as in pretraining, `<cls>` and `<sep>` included. As
            many whole sentences of the paragraph are read as fit. A longer sentence is cut, but
            never before the word.

    Returns:
        One window for each occurrence.
    """
    read, found = paragraphs(text), []
    for number, sentence, position, _ in occurrences:
        paragraph = read[number]
        begin, end = window(paragraph, sentence, max_len - 2)
        tokens = list(chain.from_iterable(paragraph[begin:end]))
        place = sum(map(len, paragraph[begin:sentence])) + position
        found.append(Window(tokens[: max(max_len - 1, place + 1)], place))
    return found


def occurrence_vectors(
    net: BERTModel,
    vocab: Vocab,
    text: str,
    occurrences: list[Occurrence],
    layer: int = -1,
    max_len: int = 64,
) -> Tensor:
    """The vector of a word at each of its occurrences, read with the sentences around it.

    Args:
        net, vocab: Network and vocabulary.
        text, occurrences, max_len: As in `windows`.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Returns:
        (number of occurrences, D), on the CPU.
    """
    check_vocab(net, vocab)
    max_len = min(max_len, net.config.max_len)
    read = windows(text, occurrences, max_len)
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    rows = [get_tokens_and_segments(tokens, cls=cls, sep=sep)[0] for tokens, _ in read]
    rows = [
        torch.tensor(vocab[row[: max(max_len, place + 2)]])
        for row, (_, place) in zip(rows, read, strict=True)
    ]
    places = [1 + place for _, place in read]
    device = next(net.parameters()).device
    found = []
    with dropout_off(net):
        for part in torch.arange(len(rows)).split(256):
            some = slice(part[0], part[-1] + 1)
            token_ids = nn.utils.rnn.pad_sequence(
                rows[some], batch_first=True, padding_value=vocab.pad_id
            ).to(device)
            valid_lens = torch.tensor([len(row) for row in rows[some]], device=device)
            segments = torch.zeros_like(token_ids)
            vectors, _ = list(net.encoder.layers(token_ids, segments, valid_lens))[layer]
            found.append(vectors[torch.arange(len(part)), places[some]].cpu())
    return torch.cat(found)


class Centroids(NamedTuple):
    """The mean vectors of a word's senses."""

    senses: list[str]  # in alphabetical order
    vectors: Tensor  # (number of senses, D)


def sense_centroids(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence], layer: int = -1
) -> Centroids:
    """The mean vector of each sense of a word; arguments as in `occurrence_vectors`."""
    vectors = occurrence_vectors(net, vocab, text, occurrences, layer)
    senses = sorted({occurrence.sense for occurrence in occurrences})
    number = torch.tensor([senses.index(occurrence.sense) for occurrence in occurrences])
    return Centroids(
        senses, torch.stack([vectors[number == i].mean(0) for i in range(len(senses))])
    )


class SenseScore(NamedTuple):
    """How well a word's vectors tell its senses apart."""

    accuracy: float  # of held-out occurrences, those nearest to the mean vector of their own sense
    chance: float  # of held-out occurrences, those of the more frequent sense
    num_held_out: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy could as well lie: 95 % interval for so many occurrences.

        >>> SenseScore(accuracy=0.9, chance=0.5, num_held_out=50).interval
        (0.786, 0.957)

        Source: Wilson 1927.
        """
        n, z2 = self.num_held_out, 1.96**2
        middle = (self.accuracy + z2 / (2 * n)) / (1 + z2 / n)
        variance = self.accuracy * (1 - self.accuracy) / n + z2 / (4 * n * n)
        half = 1.96 * variance**0.5 / (1 + z2 / n)
        return round(middle - half, 3), round(middle + half, 3)


def sense_scores(
    net: BERTModel,
    vocab: Vocab,
    corpus: Corpus,
    layer: int = -1,
    labels: Labels = labelled_occurrences,
) -> dict[str, SenseScore]:
    """For each labelled word: are its held-out occurrences nearest to the right sense?

    The means are taken over the training text, the occurrences are those of the validation text: no
    occurrence is judged by a mean that it is part of.

    Args:
        net, vocab: Network and vocabulary.
        corpus: Headings that name senses, from `read_text`.
        layer: As in `occurrence_vectors`.
        labels: What gives the labelled occurrences of a text; `Pseudowords.labels` for merged
            words.

    Returns:
        A score for each word with at least two senses in the training text, in alphabetical order.
    """
    train, valid = labels(corpus.train), labels(corpus.valid)
    scores = {}
    for word, held_out in valid.items():
        if len({occurrence.sense for occurrence in train.get(word, ())}) < 2:
            continue
        senses, centroids = sense_centroids(net, vocab, corpus.train, train[word], layer)
        vectors = occurrence_vectors(net, vocab, corpus.valid, held_out, layer)
        nearest = torch.cdist(vectors, centroids).argmin(1).tolist()
        wanted = [occurrence.sense for occurrence in held_out]
        right = sum(senses[i] == sense for i, sense in zip(nearest, wanted, strict=True))
        most = max(wanted.count(sense) for sense in senses)
        scores[word] = SenseScore(right / len(held_out), most / len(held_out), len(held_out))
    return scores


def mean_accuracy(scores: dict[str, SenseScore]) -> float:
    """The mean over words, each counting the same."""
    return sum(score.accuracy for score in scores.values()) / len(scores)
