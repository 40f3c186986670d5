"""A text as one flat tensor of token ids, and the cache that keeps it."""

import hashlib
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..cache import cache_dir, read_safetensors, write_safetensors
from .corpora import find_corpus
from .vocabulary import Vocab
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
        min_freq: Rarer tokens become `<unk>`; None for the corpus's own number.

    Returns:
        Both parts and their vocabulary.

    Raises:
        ValueError: No word is frequent enough; or see `read_text`.
        OSError: See `read_text`.
    """
    entry = find_corpus(corpus)
    corpus, min_freq = entry.read(), min_freq or entry.min_freq
    if corpus.name == "bundled":
        return _look_up(corpus, min_freq)
    key = f"format 2, min_freq {min_freq}\n{corpus.train}\n{corpus.valid}"
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    path = cache_dir() / "tokenized" / f"{name}.safetensors"
    try:
        return _load(path)
    except (FileNotFoundError, SafetensorError):
        found = _look_up(corpus, min_freq)
        try:
            _save(path, found)
        except OSError:
            pass  # A cache that cannot be written costs a second each time, nothing more.
        return found


def _look_up(corpus: Corpus, min_freq: int) -> TokenizedCorpus:
    train, valid = paragraphs(corpus.train), paragraphs(corpus.valid)
    vocab = Vocab(chain.from_iterable(chain.from_iterable(train)), min_freq)
    if not len(vocab.word_ids):
        raise ValueError(f"no word occurs {min_freq} times: a smaller min_freq leaves some")
    parts = (TokenizedText.from_paragraphs(vocab, part) for part in (train, valid))
    return TokenizedCorpus(*parts, vocab)


def _save(path: Path, corpus: TokenizedCorpus) -> None:
    parts = {"train": corpus.train, "valid": corpus.valid}
    tensors = {f"{p}.{name}": t for p, text in parts.items() for name, t in text._asdict().items()}
    write_safetensors(path, tensors, {"itos": corpus.vocab.itos, "counts": corpus.vocab.counts})


def _load(path: Path) -> TokenizedCorpus:
    tensors, about = read_safetensors(path)
    vocab = Vocab.from_counts(about["itos"], about["counts"])
    fields = TokenizedText._fields
    parts = (
        TokenizedText(*(tensors[f"{p}.{name}"] for name in fields)) for p in ("train", "valid")
    )
    return TokenizedCorpus(*parts, vocab)
