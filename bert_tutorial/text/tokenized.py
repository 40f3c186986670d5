"""A text as one flat tensor of token ids, and the cache that keeps it."""

import hashlib
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from ..cache import cache_dir, write_file
from .corpora import find_corpus
from .own_file import is_large
from .token_files import read_token_files
from .vocabulary import Vocab, vocab_of
from .wikitext_format import Corpus, paragraphs

BEGINNING = 2**21  # tokens of a large text that are enough to count neighbours in


class TokenizedText(NamedTuple):
    """A text as flat arrays; those of a large one lie on disk."""

    token_ids: Tensor  # (number of tokens,), int32, of a large text also uint16
    sentence_starts: Tensor  # (number of sentences + 1,), where each begins in token_ids
    paragraph_starts: Tensor  # (number of paragraphs + 1,), number of each one's first sentence

    @classmethod
    def from_paragraphs(cls, vocab: Vocab, text: list[list[list[str]]]) -> "TokenizedText":
        """Look up every token of a text that `paragraphs` has cut."""
        tokens_of = cache(vocab.pieces)  # of a word
        sentences = [
            list(chain.from_iterable(map(tokens_of, words))) for words in chain.from_iterable(text)
        ]
        token_ids = torch.tensor(vocab[chain.from_iterable(sentences)], dtype=torch.int32)
        starts = (torch.tensor([0, *map(len, parts)]).cumsum(0) for parts in (sentences, text))
        return cls(token_ids, *starts)

    def cuts(self, size: int) -> list[int]:
        """Paragraphs at which blocks of at most `size` tokens, about, begin, and the last one ends.

        The blocks are about equally long, and have two paragraphs at least.
        """
        number = -(-len(self.token_ids) // size)
        wanted = torch.arange(1, number) * len(self.token_ids) // max(1, number)
        sentences = torch.searchsorted(self.sentence_starts, wanted)
        cuts, last = [0], len(self.paragraph_starts) - 1
        for cut in torch.searchsorted(self.paragraph_starts, sentences).tolist():
            if cuts[-1] + 2 <= cut <= last - 2:
                cuts.append(cut)
        return [*cuts, last]

    def block(self, first: int, last: int) -> "TokenizedText":
        """Paragraphs from `first` up to `last`, which is not among them, as a text of their own."""
        of_sentences = self.paragraph_starts[first : last + 1]
        begin, end = of_sentences[0], of_sentences[-1]
        of_tokens = self.sentence_starts[begin : end + 1]
        ids = self.token_ids[of_tokens[0] : of_tokens[-1]]
        return TokenizedText(ids, of_tokens - of_tokens[0], of_sentences - begin)

    def beginning(self) -> "TokenizedText":
        """The first block of about `BEGINNING` tokens: of most texts the whole."""
        return self.block(0, self.cuts(BEGINNING)[1])


class TokenizedCorpus(NamedTuple):
    """Both parts of a corpus as token ids, and the vocabulary of the training part."""

    train: TokenizedText
    valid: TokenizedText
    vocab: Vocab


def tokenize_corpus(
    corpus: str | Path | Corpus = "bundled",
    min_freq: int | None = None,
    vocab: Vocab | None = None,
) -> TokenizedCorpus:
    """Read a corpus and look up all its tokens; but for the bundled one, the cache keeps them.

    A large text (`is_large`) stays on disk (`read_token_files`).

    Args:
        corpus: As in `read_text`, and texts of any size.
        min_freq: Rarer tokens become `<unk>`; None for the corpus's own number, or a higher one
            where that leaves more words than can be trained with (`fitting_min_freq`).
        vocab: A vocabulary to take instead of the corpus's own words, such as word pieces; it comes
            back as a copy that has the counts of this text.
    """
    entry = find_corpus(corpus)
    if is_large(entry.files):
        fields, vocab = read_token_files(entry.files, min_freq, entry.min_freq, vocab)
        return TokenizedCorpus(TokenizedText(*fields[:3]), TokenizedText(*fields[3:]), vocab)
    corpus = entry.read()
    if corpus.name == "bundled" or vocab is not None:
        return _look_up(corpus, min_freq, entry.min_freq, vocab)
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


def _look_up(
    corpus: Corpus, min_freq: int | None, least: int, vocab: Vocab | None = None
) -> TokenizedCorpus:
    train, valid = paragraphs(corpus.train), paragraphs(corpus.valid)
    words = Counter(chain.from_iterable(chain.from_iterable(train))) if vocab is None else None
    known = vocab or vocab_of(words, min_freq, least)
    parts = [TokenizedText.from_paragraphs(known, part) for part in (train, valid)]
    if vocab is not None:
        known = vocab.counted(parts[0].token_ids.bincount(minlength=len(vocab)).tolist())
    return TokenizedCorpus(*parts, known)


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
