"""Words with two senses: where they stand, and the vectors that a network gives them there.

In the bundled corpus an article's heading names the sense, as ` = Crane ( bird ) : Migration = `
does: in that article every "crane" is a bird. That is a gold label for each occurrence, without
anybody having annotated one.

Shapes: D hidden units.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..network.model import BERTModel, check_vocab, dropout_off
from ..studio.published.wordpiece import WordPieceVocab
from ..text.pairs import get_tokens_and_segments
from ..text.vocabulary import Vocab
from ..text.wikitext_format import paragraphs

read_paragraphs = lru_cache(maxsize=4)(paragraphs)  # a long text takes more than a second
_HEADING = re.compile(r"^ = (\S+) \( ([^()]+) \)( : .*)? = $")


class Occurrence(NamedTuple):
    """One place where a word stands in a known sense; all numbers count from 0."""

    paragraph: int  # in paragraphs(text)
    sentence: int  # in the paragraph
    position: int  # in the sentence
    sense: str  # what the heading says in brackets
    is_hidden: bool = False  # whether a network reads `<mask>` in the place of the word


Labels = Callable[[str], dict[str, list[Occurrence]]]  # text -> occurrences of each labelled word


def labelled_occurrences(text: str) -> dict[str, list[Occurrence]]:
    r"""All occurrences of the words that headings name, with their senses.

    >>> [found] = labelled_occurrences(" = Crane ( bird ) = \n\n A crane dances . \n")["crane"]
    >>> found.sentence, found.position, found.sense
    (0, 1, 'bird')

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

    tokens: list[str]  # without <cls> and <sep>
    place: int  # of the word among them


def windows(text: str, occurrences: list[Occurrence], max_len: int = 64) -> list[Window]:
    """The words around each occurrence, as a network reads them.

    Args:
        text: The text that the occurrences are of.
        occurrences: Where the word stands.
        max_len: Positions that a row may have, as in pretraining, `<cls>` and `<sep>` included. As
            many whole sentences of the paragraph are read as fit. A longer sentence is cut: at its
            end, and where the word stands too far back, at its beginning too.

    Returns:
        One window for each occurrence.
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


def occurrence_layers(
    net: BERTModel,
    vocab: Vocab,
    text: str,
    occurrences: list[Occurrence],
    max_len: int = 64,
) -> Tensor:
    """The vectors of a word at each of its occurrences, read with the sentences around it.

    Args:
        net, vocab: Network and vocabulary.
        text, occurrences, max_len: As in `windows`.

    Returns:
        (1 + number of layers, number of occurrences, D), on the CPU; [0] is before any layer.
    """
    check_vocab(net, vocab)
    read = windows(text, occurrences, min(max_len, net.config.max_len))
    mask = vocab.to_tokens(vocab.mask_id)
    for (tokens, place), occurrence in zip(read, occurrences, strict=True):
        if occurrence.is_hidden:
            tokens[place] = mask
    return window_layers(net, vocab, read)


def as_pieces(vocab: Vocab, words: list[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """Words as the network reads them: the pieces, and from where to where each word goes.

    With a vocabulary of whole words each is one piece.
    """
    if not isinstance(vocab, WordPieceVocab):
        return words, [(i, i + 1) for i in range(len(words))]
    pieces, spans = [], []
    for word in words:
        some = vocab.tokenize(word) or [word]
        spans.append((len(pieces), len(pieces) + len(some)))
        pieces += some
    return pieces, spans


def window_layers(net: BERTModel, vocab: Vocab, read: list[Window]) -> Tensor:
    """The vectors at one place of each window: (1 + number of layers, number of windows, D).

    A word of several pieces has their mean.
    """
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    rows, spans, longest = [], [], net.config.max_len - 2
    for tokens, place in read:
        pieces, all_spans = as_pieces(vocab, tokens)
        start, end = all_spans[place]
        cut = max(0, end - longest)  # more pieces than positions: what stands before goes first
        row = get_tokens_and_segments(pieces[cut : cut + longest], cls=cls, sep=sep)[0]
        rows.append(torch.tensor(vocab[row]))
        spans.append((max(start, cut) - cut, end - cut))
    device = next(net.parameters()).device
    found = []
    for part in torch.arange(len(rows)).split(64):
        some = slice(part[0], part[-1] + 1)
        token_ids = nn.utils.rnn.pad_sequence(
            rows[some], batch_first=True, padding_value=vocab.pad_id
        ).to(device)
        valid_lens = torch.tensor([len(row) for row in rows[some]], device=device)
        with dropout_off(net):  # a run that trains meanwhile takes its turn between two parts
            layers = net.encoder.layers(token_ids, torch.zeros_like(token_ids), valid_lens)
            layers = torch.stack([vectors for vectors, _ in layers]).cpu()
        places = [
            layers[:, i, 1 + start : 1 + end].mean(1) for i, (start, end) in enumerate(spans[some])
        ]
        found.append(torch.stack(places, dim=1))
    return torch.cat(found, dim=1)


def occurrence_vectors(
    net: BERTModel,
    vocab: Vocab,
    text: str,
    occurrences: list[Occurrence],
    layer: int = -1,
    max_len: int = 64,
) -> Tensor:
    """One layer of `occurrence_layers`: (number of occurrences, D), on the CPU.

    Args:
        net, vocab, text, occurrences, max_len: As there.
        layer: 0 for the embeddings, 1 for the first layer, ..., -1 for the last.
    """
    return occurrence_layers(net, vocab, text, occurrences, max_len)[layer]
