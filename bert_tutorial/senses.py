"""Words with two senses: where they stand in a text, and whether a network's vectors tell the senses apart.

In the bundled corpus an article's heading names the sense, as ` = Crane ( bird ) : Migration = ` does: in that article every
"crane" is a bird. That is a gold label for each occurrence, without anybody having annotated one.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor

from .corpus import Text, paragraphs
from .examples import TokenizedText, assemble
from .model import BERTModel
from .representation import dropout_off
from .vocabulary import Vocab

_HEADING = re.compile(r"^ = (\S+) \( ([^()]+) \)( : .*)? = $")


class Occurrence(NamedTuple):
    """One place where a word stands in a known sense; all numbers count from 0."""

    paragraph: int  # in paragraphs(text)
    sentence: int  # in the paragraph
    position: int  # in the sentence
    sense: str  # what the heading says in brackets


def labelled_occurrences(text: str) -> dict[str, list[Occurrence]]:
    """All occurrences of the words that headings name, with their senses.

    Args:
        text: A text in WikiText's format, such as `read_text("bundled").train`.

    Returns:
        For each word (lower case, in alphabetical order) its occurrences in the order of the text; no word for a text
        whose headings name no senses.
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


def occurrence_vectors(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence], layer: int = -1
) -> Tensor:
    """The vector of a word at each of its occurrences, read together with the sentence behind it, as in pretraining.

    Args:
        net, vocab: Network and vocabulary.
        text: The text that the occurrences are of.
        occurrences: Where the word stands.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.

    Returns:
        (number of occurrences, D), on the CPU.
    """
    tokenized = TokenizedText.from_paragraphs(paragraphs(text), vocab)
    paragraph, sentence, position = torch.tensor([occurrence[:3] for occurrence in occurrences]).T
    first = tokenized.paragraph_starts[paragraph] + sentence
    # The last sentence of a paragraph has none behind it: it is read with the one before.
    second = torch.where(first + 1 < tokenized.paragraph_starts[paragraph + 1], first + 1, first - 1).clamp(min=0)
    lengths = tokenized.sentence_starts.diff()
    max_len = int((lengths[first] + lengths[second]).max()) + 3  # long enough that nothing is cut off
    device = next(net.parameters()).device
    found = []
    with dropout_off(net):
        for rows in torch.arange(len(first)).split(256):
            inputs = assemble(tokenized, first[rows], second[rows], max_len)
            vectors, _ = list(net.encoder.layers(*(tensor.to(device) for tensor in inputs)))[layer]
            found.append(vectors[torch.arange(len(rows)), position[rows] + 1].cpu())
    return torch.cat(found)


class SenseScore(NamedTuple):
    """How well a word's vectors tell its senses apart."""

    accuracy: float  # share of held-out occurrences that lie nearest to the mean vector of their own sense
    chance: float  # share of the sense that is more frequent among them
    num_held_out: int


def sense_centroids(net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence], layer: int = -1):
    """The mean vector of each sense of a word.

    Returns:
        The senses in alphabetical order, and their mean vectors (number of senses, D).
    """
    vectors = occurrence_vectors(net, vocab, text, occurrences, layer)
    senses = sorted({occurrence.sense for occurrence in occurrences})
    number = torch.tensor([senses.index(occurrence.sense) for occurrence in occurrences])
    return senses, torch.stack([vectors[number == i].mean(0) for i in range(len(senses))])


def sense_scores(net: BERTModel, vocab: Vocab, text: Text, layer: int = -1) -> dict[str, SenseScore]:
    """For each labelled word: are its held-out occurrences nearest to the right sense?

    The means are taken over the training text, the occurrences are those of the validation text: no occurrence is judged by a
    mean that it is part of.

    Args:
        net, vocab: Network and vocabulary.
        text: A corpus whose headings name senses, from `read_text`.
        layer: As in `occurrence_vectors`.

    Returns:
        A score for each word with at least two senses in the training text, in alphabetical order.
    """
    train, valid = labelled_occurrences(text.train), labelled_occurrences(text.valid)
    scores = {}
    for word, held_out in valid.items():
        if len({occurrence.sense for occurrence in train.get(word, ())}) < 2:
            continue
        senses, centroids = sense_centroids(net, vocab, text.train, train[word], layer)
        vectors = occurrence_vectors(net, vocab, text.valid, held_out, layer)
        nearest = torch.cdist(vectors, centroids).argmin(1).tolist()
        right = sum(senses[i] == occurrence.sense for i, occurrence in zip(nearest, held_out, strict=True))
        most = max(sum(occurrence.sense == sense for occurrence in held_out) for sense in senses)
        scores[word] = SenseScore(right / len(held_out), most / len(held_out), len(held_out))
    return scores
