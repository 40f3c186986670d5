"""A text as one flat tensor of token ids, and the cache that keeps it."""

import hashlib
import json
import sys
from collections import Counter
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from ..cache import cache_dir, read_safetensors, write_safetensors
from .corpora import find_corpus
from .vocabulary import LARGEST, Vocab, fitting_min_freq
from .wikitext_format import Corpus, paragraphs


class TokenizedText(NamedTuple):
    """A text as flat arrays."""

    token_ids: Tensor  # (number of tokens,), int32
    sentence_starts: Tensor  # (number of sentences + 1,), where each sentence begins in token_ids
    paragraph_starts: (
        Tensor  # (number of paragraphs + 1,), number of each paragraph's first sentence
    )

    @classmethod
    def from_paragraphs(cls, vocab: Vocab, text: list[list[list[str]]]) -> "TokenizedText":
        """Look up every token of a text that `paragraphs` has cut."""
        sentences = list(chain.from_iterable(text))
        lengths = torch.tensor([0] + [len(sentence) for sentence in sentences])
        counts = torch.tensor([0] + [len(paragraph) for paragraph in text])
        token_ids = torch.tensor(vocab[chain.from_iterable(sentences)], dtype=torch.int32)
        return cls(token_ids, lengths.cumsum(0), counts.cumsum(0))


class TokenizedCorpus(NamedTuple):
    """Both parts of a corpus as token ids, and the vocabulary of the training part."""

    train: TokenizedText
    valid: TokenizedText
    vocab: Vocab


def tokenize_corpus(
    corpus: str | Path | Corpus = "bundled", min_freq: int | None = None
) -> TokenizedCorpus:
    """Read a corpus and look up all its tokens.

    WikiText-2 takes seconds to cut up, so the result is kept in the cache, under a name that
    follows from the text itself.

    Args:
        corpus: As in `read_text`.
        min_freq: Rarer tokens become `<unk>`; None for the corpus's own number, or a higher one
            where that leaves more entries than can be trained with (`fitting_min_freq`).

    Returns:
        Both parts and their vocabulary.

    Raises:
        ValueError: No word is frequent enough; or see `read_text`.
        OSError: See `read_text`.
    """
    entry = find_corpus(corpus)
    corpus, least = entry.read(), min_freq or entry.min_freq
    largest = LARGEST if min_freq is None else None
    if corpus.name == "bundled":
        return _look_up(corpus, least, largest)
    key = f"format 3, min_freq {least}, largest {largest}\n{corpus.train}\n{corpus.valid}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = cache_dir() / "tokenized" / f"{name}.safetensors"
    with suppress(Exception):  # Whatever is wrong with a cached file, the text itself is at hand.
        return _load(path)
    megabytes = len(corpus.train) / 1e6
    if megabytes > 5:
        print(f"cutting {megabytes:.0f} MB of text into words; this is done once", file=sys.stderr)
    found = _look_up(corpus, least, largest)
    with suppress(OSError):  # A cache that cannot be written costs a second each time, no more.
        _save(path, found)
    return found


def _look_up(corpus: Corpus, min_freq: int, largest: int | None) -> TokenizedCorpus:
    train, valid = paragraphs(corpus.train), paragraphs(corpus.valid)
    frequencies = Counter(chain.from_iterable(chain.from_iterable(train)))
    if largest is not None:
        min_freq = fitting_min_freq(frequencies, min_freq, largest)
    vocab = Vocab(frequencies.elements(), min_freq)
    if not len(vocab.word_ids):
        raise ValueError(f"no word occurs {min_freq} times: a smaller min_freq leaves some")
    parts = (TokenizedText.from_paragraphs(vocab, part) for part in (train, valid))
    return TokenizedCorpus(*parts, vocab)


def _save(path: Path, corpus: TokenizedCorpus) -> None:
    parts = {"train": corpus.train, "valid": corpus.valid}
    tensors = {f"{p}.{name}": t for p, text in parts.items() for name, t in text._asdict().items()}
    about = {"itos": corpus.vocab.itos, "counts": corpus.vocab.counts}
    write_safetensors(path, tensors, about | {"sha256": _sha256(tensors, about)})


def _load(path: Path) -> TokenizedCorpus:
    tensors, about = read_safetensors(path)
    if about.pop("sha256") != _sha256(tensors, about):
        raise ValueError(f"{path} is damaged")
    vocab = Vocab.from_counts(about["itos"], about["counts"])
    fields = TokenizedText._fields
    parts = (
        TokenizedText(*(tensors[f"{p}.{name}"] for name in fields)) for p in ("train", "valid")
    )
    return TokenizedCorpus(*parts, vocab)


def _sha256(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """Of all that a cached file holds; any damage changes it."""
    return hashlib.sha256(save(tensors, {"about": json.dumps(about, sort_keys=True)})).hexdigest()
