"""A text larger than memory as token ids on disk: written once, and read through a memory map."""

import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..cache import cache_dir, locked, writing
from .own_file import cut_paragraphs, read_chunks, too_little, total_size
from .vocabulary import Vocab, vocab_of

FORMAT = 1  # of the files; those of another one are written anew
HELD_OUT = 10_000_000  # bytes of held-out text, about, of a text of 100 MB or more
MOST_WORDS = 2**20  # different words that are counted at a time
AT_ONCE = 2**20  # tokens that are renumbered at once
SPLITS = "train", "valid"
FIELDS = "token_ids", "sentence_starts", "paragraph_starts"  # of `TokenizedText`


def read_token_files(
    files: Sequence[Path], min_freq: int | None, least: int, vocab: Vocab | None = None
) -> tuple[list[Tensor], Vocab]:
    """The fields of `TokenizedText` of training and of held-out text, and their vocabulary.

    The texts are cut into words the first time. The cache keeps a folder for each text (its paths,
    sizes and times), with `header.json` and six files of numbers: half as many bytes as the text.
    Arguments are those of `tokenize_corpus` and `vocab_of`.

    Raises:
        OSError: A file cannot be read, or the cache cannot be written.
        ValueError: A text is not UTF-8, or there is too little of it.
    """
    about = {"format": FORMAT, "min_freq": [min_freq, least], "sources": _stamps(files)}
    about["vocabulary"] = vocab and [type(vocab).__name__, *vocab.itos]
    folder = cache_dir() / "token_files" / _hash(about)[:32]
    with suppress(Exception):  # missing, or damaged: to be written anew
        return _load(folder, vocab)
    with locked(folder.parent, "cuts a large text into words"):
        with suppress(Exception):  # another process has just written them
            return _load(folder, vocab)
        for left in [folder, *folder.parent.glob("*.part")]:  # damaged, or of a killed process
            shutil.rmtree(left, ignore_errors=True)
        part = folder.with_suffix(".part")
        try:
            _write(part, files, about, vocab)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _load(folder, vocab)


def _stamps(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    found = ((file.resolve(), file.stat()) for file in files)
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]


def _load(folder: Path, vocab: Vocab | None) -> tuple[list[Tensor], Vocab]:
    header, tensors = json.loads((folder / "header.json").read_text("utf-8")), []
    size = sum((folder / name).stat().st_size for name in header["files"])
    if size > 1e9:
        print(f"checking {size / 1e6:,.0f} MB of token ids in {folder}", file=sys.stderr)
    if header.pop("sha256") != _hash(header):
        raise ValueError(f"{folder / 'header.json'} is damaged")
    for name, (dtype, length, digest) in header["files"].items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{folder / name} is damaged")
        dtype = getattr(torch, dtype)
        tensors.append(torch.from_file(str(folder / name), shared=False, size=length, dtype=dtype))
    words, counts = header["words"], header["counts"]
    return tensors, vocab.counted(counts) if vocab else Vocab.from_counts(words, counts)


def _hash(about: dict) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, files: Sequence[Path], about: dict, vocab: Vocab | None) -> None:
    """Cut the texts into words, choose a vocabulary, and renumber the words by it."""
    with writing(folder):
        folder.mkdir()
    index, counts = _cut(folder, files, vocab)
    if _stamps(files) != about["sources"]:
        raise ValueError(f"{os.path.commonpath(files)} was changed while it was read")
    new_ids = np.arange(len(counts))
    if vocab is None:
        times = counts.tolist()
        frequencies = Counter({word: times[i] for word, (i,) in index.items() if times[i]})
        vocab = vocab_of(frequencies, *about["min_freq"])
        vocab.counts[vocab.unk_id] += int(counts.sum()) - frequencies.total()  # the dropped ones
        new_ids[:], counts = vocab.unk_id, np.array(vocab.counts)
        new_ids[[i for (i,) in index.values()]] = vocab[index]
    new_ids = new_ids.astype(np.uint16 if len(vocab) <= 2**16 else np.int32)
    header = {"sources": about["sources"], "files": {}}
    for split in SPLITS:
        with (folder / f"{split}_words").open("rb") as file:
            while len(numbers := np.fromfile(file, np.int32, AT_ONCE)):
                _append(folder / f"{split}_token_ids", new_ids[numbers])
        (folder / f"{split}_words").unlink()
        for name in (f"{split}_{field}" for field in FIELDS):
            dtype = new_ids.dtype if "ids" in name else np.dtype(np.int64)
            size = (folder / name).stat().st_size // dtype.itemsize
            header["files"][name] = dtype.name, size, _digest(folder / name)
    header |= {"words": vocab.itos, "counts": counts.tolist()}
    _append(folder / "header.json", json.dumps(header | {"sha256": _hash(header)}).encode())


class _Index(dict):
    """The ids of each word: those of a vocabulary, or a new number for each word that comes."""

    def __init__(self, vocab: Vocab | None):
        self.vocab, self.total = vocab, len(vocab or ())

    def __missing__(self, word: str) -> tuple[int, ...]:
        if self.vocab is None:
            ids, self.total = (self.total,), self.total + 1
        else:
            ids = tuple(self.vocab[self.vocab.pieces(word)])
        self[word] = ids
        return ids

    def drop_rare(self, counts: np.ndarray) -> None:
        """Where there are too many words, forget at least the rarer half of what is allowed."""
        if len(self) > MOST_WORDS:
            of_word = counts[np.fromiter((ids[0] for ids in self.values()), np.int64)]
            least = np.partition(of_word, -MOST_WORDS // 2)[-MOST_WORDS // 2]
            for word in [w for w, n in zip(self, of_word.tolist(), strict=True) if n <= least]:
                del self[word]


def _cut(folder: Path, files: Sequence[Path], vocab: Vocab | None) -> tuple[_Index, np.ndarray]:
    """Cut texts into paragraphs and write the numbers of their words; gives these and their counts.

    Counted are the words of the training text. If there are more than `MOST_WORDS` different ones,
    the rarer half is dropped: such a word begins anew where it comes again, and what came before
    is read as `<unk>`.
    """
    index, size, usable, found = _Index(vocab), total_size(files), 0, 0
    counts, every = np.zeros(index.total, np.int64), max(10, size // HELD_OUT)
    for split, name in product(SPLITS, ("words", *FIELDS[1:])):
        _append(folder / f"{split}_{name}", np.zeros(int(name != "words"), np.int64))
    with tqdm(total=size, desc="cutting text into words", unit="B", unit_scale=True) as bar:
        for text in chain.from_iterable(map(read_chunks, files)):
            rows = {split: ([], [], []) for split in SPLITS}
            for sentences in cut_paragraphs(text):
                can_be_held_out = len(sentences) >= 2
                found, usable = found + 1, usable + can_be_held_out
                is_held_out = can_be_held_out and usable % every == 0
                ids, ends, paragraph_ends = rows[SPLITS[is_held_out]]
                for sentence in sentences:
                    ids.extend(chain.from_iterable(map(index.__getitem__, sentence.split())))
                    ends.append(len(ids))
                paragraph_ends.append(len(ends))
            counts = np.concatenate([counts, np.zeros(index.total - len(counts), np.int64)])
            numbers, times = np.unique(rows["train"][0], return_counts=True)
            counts[numbers.astype(np.int64)] += times
            for split in SPLITS:
                _append_rows(folder, split, *rows[split])
            index.drop_rare(counts)
            bar.update(len(text.encode()))
    if usable < 2 * every:
        raise too_little(os.path.commonpath(files), 2 * every, usable, found)
    return index, counts


def _append_rows(folder: Path, split: str, ids: list, ends: list, paragraph_ends: list) -> None:
    """Put these rows behind those that the files of a part of the text have."""
    words, sentences, paragraphs = (folder / f"{split}_{name}" for name in ("words", *FIELDS[1:]))
    num_tokens, num_sentences = words.stat().st_size // 4, sentences.stat().st_size // 8 - 1
    _append(words, np.array(ids, np.int32))
    _append(sentences, np.array(ends, np.int64) + num_tokens)
    _append(paragraphs, np.array(paragraph_ends, np.int64) + num_sentences)


def _append(path: Path, content: np.ndarray | bytes) -> None:
    with writing(path), path.open("ab") as file:
        file.write(content)
