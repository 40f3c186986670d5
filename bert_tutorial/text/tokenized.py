"""A text as one flat tensor of token ids, and the cache that keeps it."""

import hashlib
import sys
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..cache import cache_dir, write_file
from .corpora import find_corpus
from .vocabulary import Vocab, fitting_min_freq
from .wikitext_format import Corpus, paragraphs


class TokenizedText(NamedTuple):
    """A text as flat arrays."""

    token_ids: Tensor  # (number of tokens,), int32
    sentence_starts: Tensor  # (number of sentences + 1,), where each begins in token_ids
    paragraph_starts: Tensor  # (number of paragraphs + 1,), number of each one's first sentence

    @classmethod
    def from_paragraphs(cls, vocab: Vocab, text: list[list[list[str]]]) -> "TokenizedText":
        """Look up every token of a text that `paragraphs` has cut."""
        sentences = list(chain.from_iterable(text))
        token_ids = torch.tensor(vocab[chain.from_iterable(sentences)], dtype=torch.int32)
        starts = (torch.tensor([0, *map(len, parts)]).cumsum(0) for parts in (sentences, text))
        return cls(token_ids, *starts)


class TokenizedCorpus(NamedTuple):
    """Both parts of a corpus as token ids, and the vocabulary of the training part."""

    train: TokenizedText
    valid: TokenizedText
    vocab: Vocab


def tokenize_corpus(
    corpus: str | Path | Corpus = "bundled", min_freq: int | None = None
) -> TokenizedCorpus:
    """Read a corpus and look up all its tokens; but for the bundled one, the cache keeps them.

    Args:
        corpus: As in `read_text`.
        min_freq: Rarer tokens become `<unk>`; None for the corpus's own number, or a higher one
            where that leaves more words than can be trained with (`fitting_min_freq`).
    """
    entry = find_corpus(corpus)
    corpus = entry.read()
    if corpus.name == "bundled":
        return _look_up(corpus, min_freq, entry.min_freq)
    key = f"format 5, min_freq {min_freq}, {entry.min_freq}\n{corpus.train}\n{corpus.valid}"
    path = cache_dir() / "tokenized" / hashlib.sha256(key.encode()).hexdigest()[:32]
    with suppress(Exception):  # whatever is wrong with a cached file, the text itself is at hand
        return _load(path)
    if (megabytes := len(corpus.train) / 1e6) > 5:
        print(f"cutting {megabytes:.0f} MB of text into words; this is done once", file=sys.stderr)
    found = _look_up(corpus, min_freq, entry.min_freq)
    with suppress(OSError):  # a cache that cannot be written costs a second each time, no more
        _save(path, found)
    return found


def _look_up(corpus: Corpus, min_freq: int | None, least: int) -> TokenizedCorpus:
    train, valid = paragraphs(corpus.train), paragraphs(corpus.valid)
    frequencies = Counter(chain.from_iterable(chain.from_iterable(train)))
    min_freq = min_freq or fitting_min_freq(frequencies, least)
    vocab = Vocab(frequencies.elements(), min_freq)
    if not len(vocab.word_ids):
        raise ValueError(f"no word occurs {min_freq} times: a smaller min_freq leaves some")
    parts = (TokenizedText.from_paragraphs(vocab, part) for part in (train, valid))
    return TokenizedCorpus(*parts, vocab)


def _save(path: Path, corpus: TokenizedCorpus) -> None:
    words = torch.tensor(list("\n".join(corpus.vocab.itos).encode()), dtype=torch.uint8)
    tensors = [*corpus.train, *corpus.valid, words, torch.tensor(corpus.vocab.counts)]
    content = save({str(number): tensor for number, tensor in enumerate(tensors)})
    write_file(path, hashlib.sha256(content).digest() + content)  # any damage is noticed


def _load(path: Path) -> TokenizedCorpus:
    whole = path.read_bytes()
    if hashlib.sha256(whole[32:]).digest() != whole[:32]:
        raise ValueError(f"{path} is damaged")
    tensors = load(whole[32:])
    *texts, words, counts = (tensors[str(number)] for number in range(8))
    vocab = Vocab.from_counts(bytes(words.tolist()).decode().split("\n"), counts.tolist())
    return TokenizedCorpus(TokenizedText(*texts[:3]), TokenizedText(*texts[3:]), vocab)
