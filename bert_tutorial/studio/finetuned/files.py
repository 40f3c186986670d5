"""Labelled texts from elsewhere: a file of your own, and d2l's SNLI."""

import csv
import hashlib
import io
import json
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ...cache import cache_dir, write_file
from ...finetuning.labelled import Labelled, Task, Text
from ...text.own_file import _decode
from ...text.wikitext2 import fetch, kept
from .tasks import split_rows, words_of

COLUMNS = "text", "second", "label", "part"
FEWEST = 5  # rows of each label: one is tested with
# d2l's address and hash; no longer hash is known. SHA-1 finds damage, but no careful forger.
SNLI = "https://nlp.stanford.edu/projects/snli/snli_1.0.zip"
SNLI_SHA1 = "9fcde07509c7e87ec61c640c1b2753d9041758e4"
SNLI_LARGEST = 120_000_000  # bytes, more than it has
SNLI_LABELS = ["entailment", "contradiction", "neutral"]  # in d2l's order


def read_labelled(path: str | Path) -> Task:
    """A file of your own: CSV or JSON Lines with the columns text and label.

    A column `second` makes each row a pair of texts. A column `part` says train or test of each
    row; without it every fifth row of each label is tested with. A row that comes again is left
    out.

    Raises:
        OSError: The file cannot be read.
        ValueError: It cannot be used; the message says what would be right.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: give the path of CSV or JSON Lines")
    rows = checked_rows(path, [*(_json_rows if "json" in path.suffix.lower() else _csv_rows)(path)])
    counts, has_parts = Counter(row["label"] for row in rows), "part" in rows[0]
    parts = split_rows(rows, lambda row: row["label"])
    if has_parts:
        parts = [[row for row in rows if row["part"] == part] for part in ("train", "test")]
    known, asked = ({row["label"] for row in part} for part in parts)
    rare, name = min((number, name) for name, number in counts.items())
    wrong = ""
    if len(counts) < 2:
        wrong = f"has no label but {name!r}: two are needed"
    elif not has_parts and rare < FEWEST:
        wrong = f"has {name!r} in {rare} of its rows, but {FEWEST} are needed: one is tested with"
    elif not known or not asked:
        wrong = f"has no row with the part {'test' if known else 'train'}: give it to some"
    elif new := sorted(asked - known):
        wrong = f"has the label {new[0]!r} in test rows only: give it to some train rows"
    if wrong:
        raise ValueError(f"{path} {wrong}")
    return Task(path.stem, *(_as_labelled(sorted(counts), part) for part in parts))


def _as_labelled(names: list[str], rows: list[dict[str, str]]) -> Labelled:
    texts = [[Text(words_of(row[c])) for c in COLUMNS[:2] if c in row] for row in rows]
    return Labelled.of(names, [(r["label"], *some) for r, some in zip(rows, texts, strict=True)])


def checked_rows(path: Path, rows: list[tuple[int, dict]]) -> list[dict[str, str]]:
    """Rows with the columns that are used, each once; a ValueError names the first bad line."""
    rows = [(n, {str(c).strip().lower(): value for c, value in row.items()}) for n, row in rows]
    columns, seen = dict.fromkeys(column for _, row in rows for column in row), {}
    if not {"text", "label"} <= columns.keys():
        raise ValueError(
            f"{path} has the columns {', '.join(columns)[:200] or '(none, or no rows)'}, but text "
            "and label are needed: name them in its first line, and second where rows are pairs"
        )
    for number, row in rows:
        read = {c: row.get(c) for c in COLUMNS if c in columns}
        row = {c: "" if value is None else str(value).strip() for c, value in read.items()}
        where = f"line {number} of {path}"
        for column, value in row.items():
            if not (words_of(value) if column in COLUMNS[:2] else value):
                raise ValueError(f"{where} has no {column}: write one, or leave the line out")
        if row.get("part", "test") not in ("train", "test"):
            raise ValueError(f"{where} has the part {row['part'][:50]!r}: write train or test")
        before, first = seen.setdefault((row["text"], row.get("second")), (number, row))
        if first != row:
            other = f"{where} has the text of line {before}, but another label or part"
            raise ValueError(f"{other}: keep one of the two")
    return [row for _, row in seen.values()]


def _csv_rows(path: Path) -> Iterator[tuple[int, dict]]:
    text = _decode(path.read_bytes(), path, 0)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in table:
            if None in row:
                raise csv.Error("more columns than the first line")
            yield table.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"line {table.reader.line_num} of {path} is not CSV ({error}): put a text with commas "
            "or quotation marks in it between quotation marks, and double those in it"
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(_decode(path.read_bytes(), path, 0).split("\n"), 1):
        if line.strip():
            try:
                yield number, dict(**json.loads(line))
            except (ValueError, TypeError) as error:
                must = 'must be one object of JSON, as in {"text": "...", "label": "..."}'
                raise ValueError(f"line {number} of {path} {must}") from error


def read_snli(most: int = 50_000) -> Task:
    """d2l's pairs for natural language inference, downloaded once; the first `most` to learn from.

    Does the first sentence imply the second, contradict it, or neither?

    Source: Bowman et al. 2015, "A large annotated corpus for learning natural language inference".
    """
    (archive,) = kept(cache_dir() / "snli", "SNLI", _cached_snli, _download_snli)
    parts = []
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        for part, number in (("train", most), ("test", None)):
            text = members.read(f"snli_1.0/snli_1.0_{part}.txt").decode("utf-8")
            table = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
            # Where its annotators did not agree, the label is "-".
            agreed = (row for row in table if row["gold_label"] in SNLI_LABELS)
            names = {"sentence1": "text", "sentence2": "second", "gold_label": "label"}
            rows = [{n: row[c] for c, n in names.items()} for row in islice(agreed, number)]
            parts.append(_as_labelled(SNLI_LABELS, rows))
    return Task("SNLI", *parts)


def _cached_snli(folder: Path) -> list[bytes] | None:
    with suppress(OSError, ValueError):  # missing, not to be read, or damaged: to be written anew
        return [_checked((folder / "snli_1.0.zip").read_bytes())]


def _checked(archive: bytes) -> bytes:
    if hashlib.sha1(archive).hexdigest() != SNLI_SHA1:
        raise ValueError("other bytes than SNLI's")
    return archive


def _download_snli(folder: Path) -> list[bytes]:
    source = os.environ.get("BERT_TUTORIAL_SNLI_URL", SNLI)
    try:
        archive = _checked(fetch(source, "SNLI", SNLI_LARGEST))
    except ValueError as error:
        raise ConnectionError(
            f"SNLI could not be downloaded ({re.sub(r'(?<=//)[^/@]*@', '', source)}: {error}): "
            "take another task, or set BERT_TUTORIAL_SNLI_URL to an address of snli_1.0.zip"
        ) from error
    write_file(folder / "snli_1.0.zip", archive)
    return [archive]
