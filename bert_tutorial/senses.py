"""Words with two senses: where they stand in a text, and whether a network's vectors tell the senses apart.

In the bundled corpus an article's heading names the sense, as ` = Crane ( bird ) : Migration = ` does: in that article every
"crane" is a bird. That is a gold label for each occurrence, without anybody having annotated one.
"""

import random
import re
from collections import Counter
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .corpus import Text, paragraphs
from .examples import PAD_ID, get_tokens_and_segments
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


def window(paragraph: list[list[str]], sentence: int, budget: int) -> tuple[int, int]:
    """The stretch of whole sentences around one of a paragraph that has at most `budget` tokens: first, and last plus one."""
    begin, end = sentence, sentence + 1
    left = budget - len(paragraph[sentence])
    for step in range(1, len(paragraph)):
        after, before = sentence + step, sentence - step
        if after == end < len(paragraph) and len(paragraph[after]) <= left:
            end, left = end + 1, left - len(paragraph[after])
        if before == begin - 1 >= 0 and len(paragraph[before]) <= left:
            begin, left = begin - 1, left - len(paragraph[before])
    return begin, end


def occurrence_vectors(
    net: BERTModel, vocab: Vocab, text: str, occurrences: list[Occurrence], layer: int = -1, max_len: int = 64
) -> Tensor:
    """The vector of a word at each of its occurrences, read with the sentences around it.

    Args:
        net, vocab: Network and vocabulary.
        text: The text that the occurrences are of.
        occurrences: Where the word stands.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.
        max_len: Positions that a row may have, as in pretraining: as many whole sentences of the paragraph are read as fit, as
            one text. A single longer sentence is read alone, up to there if the word stands before.

    Returns:
        (number of occurrences, D), on the CPU.
    """
    read, max_len = paragraphs(text), min(max_len, net.config.max_len)
    rows, places = [], []
    for number, sentence, position, _ in occurrences:
        paragraph = read[number]
        begin, end = window(paragraph, sentence, max_len - 2)
        tokens, _ = get_tokens_and_segments(chain.from_iterable(paragraph[begin:end]))
        place = 1 + sum(map(len, paragraph[begin:sentence])) + position
        rows.append(torch.tensor(vocab[tokens[: max(max_len, place + 1)]]))
        places.append(place)
    device = next(net.parameters()).device
    found = []
    with dropout_off(net):
        for part in torch.arange(len(rows)).split(256):
            some = slice(part[0], part[-1] + 1)
            token_ids = nn.utils.rnn.pad_sequence(rows[some], batch_first=True, padding_value=PAD_ID).to(device)
            valid_lens = torch.tensor([len(row) for row in rows[some]], device=device)
            vectors, _ = list(net.encoder.layers(token_ids, torch.zeros_like(token_ids), valid_lens))[layer]
            found.append(vectors[torch.arange(len(part)), places[some]].cpu())
    return torch.cat(found)


class Pseudowords:
    """A text in which pairs of unrelated words are merged: labelled senses for any text, without anybody's annotation.

    Every "river" and every "song", say, becomes "river|song". Which of the two stood there is known, and only the context can
    tell. The words are drawn from the vocabulary by their frequency, in pairs that are similarly frequent.

    Args:
        text: Any text in WikiText's format.
        num_pairs: How many pairs of words.
        lowest, highest: How often a word stands in the training text.
        seed: What the draw follows from.

    Attributes:
        text: The text with merged words.
        pairs: The words that were merged.

    Raises:
        ValueError: Not enough words of that frequency.

    Source: Schuetze 1992 and Gale, Church and Yarowsky 1992, who tested programs that tell senses apart in this way.
    """

    def __init__(self, text: Text, num_pairs: int = 24, lowest: int = 200, highest: int = 2000, seed: int = 0):
        parts = [part.lower() for part in (text.train, text.valid)]
        counts = Counter(token for token in parts[0].split() if token.isalpha())
        words = sorted(word for word, count in counts.items() if lowest <= count <= highest)
        if len(words) < 2 * num_pairs:
            raise ValueError(
                f"{num_pairs} pairs need {2 * num_pairs} words that occur {lowest} to {highest} times in the training "
                f"text, but it has {len(words)}"
            )
        chosen = sorted(random.Random(seed).sample(words, 2 * num_pairs), key=lambda word: (counts[word], word))
        self.pairs = list(zip(chosen[::2], chosen[1::2], strict=True))
        self._merged = {word: "|".join(pair) for pair in self.pairs for word in pair}
        pattern = re.compile(rf"(?<!\S)({'|'.join(chosen)})(?!\S)")
        merged = [pattern.sub(lambda found: self._merged[found[0]], part) for part in parts]
        self.text = Text(f"{text.name} with pseudowords", *merged)
        self._original = dict(zip(merged, parts, strict=True))

    def labels(self, part: str) -> dict[str, list[Occurrence]]:
        """The labelled occurrences in `self.text.train` or `self.text.valid`; the sense is the word that stood there."""
        found: dict[str, list[Occurrence]] = {}
        for number, paragraph in enumerate(paragraphs(self._original[part])):
            for i, sentence in enumerate(paragraph):
                for j, token in enumerate(sentence):
                    if merged := self._merged.get(token):
                        found.setdefault(merged, []).append(Occurrence(number, i, j, token))
        return dict(sorted(found.items()))


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


def sense_scores(
    net: BERTModel, vocab: Vocab, text: Text, layer: int = -1, labels=labelled_occurrences
) -> dict[str, SenseScore]:
    """For each labelled word: are its held-out occurrences nearest to the right sense?

    The means are taken over the training text, the occurrences are those of the validation text: no occurrence is judged by a
    mean that it is part of.

    Args:
        net, vocab: Network and vocabulary.
        text: A corpus whose headings name senses, from `read_text`.
        layer: As in `occurrence_vectors`.
        labels: What gives the labelled occurrences of a part of the text; `Pseudowords.labels` for merged words.

    Returns:
        A score for each word with at least two senses in the training text, in alphabetical order.
    """
    train, valid = labels(text.train), labels(text.valid)
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


def mean_accuracy(scores: dict[str, SenseScore]) -> float:
    """The mean over words, each counting the same."""
    return sum(score.accuracy for score in scores.values()) / len(scores)
