"""Labelled texts from elsewhere: a file of your own, and d2l's SNLI."""

import csv
import hashlib
import io
import json
import os
import re
import zipfile
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ..cache import cache_dir, write_file
from ..text.own_file import _decode
from ..text.wikitext2 import fetch, kept
from .tasks import Labelled, Task, labelled, split_rows, words_of

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
    rows = check_rows(path, _json_rows(path) if "json" in path.suffix.lower() else _csv_rows(path))
    counts = Counter(row["label"] for row in rows)
    if len(counts) < 2:
        raise ValueError(
            f"all rows of {path} have the label {next(iter(counts), '')!r}: two labels are needed"
        )
    if "part" in rows[0]:
        parts = [[row for row in rows if row["part"] == part] for part in ("train", "test")]
        known, asked = ({row["label"] for row in part} for part in parts)
        for part, some in zip(("train", "test"), parts, strict=True):
            if not some:
                raise ValueError(f"no row of {path} has the part {part}: some must have it")
        for name in sorted(asked - known):
            raise ValueError(
                f"only test rows of {path} have the label {name!r}: give some train rows it too"
            )
    else:
        for name, number in counts.items():
            if number < FEWEST:
                raise ValueError(
                    f"{path} has {number} rows with the label {name!r}, but {FEWEST} are needed: "
                    "four to learn from and one to test with"
                )
        parts = split_rows(rows, lambda row: row["label"])
    names = sorted(counts)
    return Task(path.stem, *(_as_labelled(names, part) for part in parts))


def _as_labelled(names: list[str], rows: list[dict[str, str]]) -> Labelled:
    columns = [[words_of(row[c]) for row in rows] for c in ("text", "second") if c in rows[0]]
    return labelled(names, [row["label"] for row in rows], *columns)


def check_rows(path: Path, rows: list[tuple[int, dict]]) -> list[dict[str, str]]:
    """Rows with the columns that are used and no other; a ValueError names the first bad line."""
    columns = {column for _, row in rows for column in row}
    if missing := {"text", "label"} - columns:
        found = ", ".join(sorted(str(column) for column in columns)[:9]) or "no rows"
        raise ValueError(
            f"{path} has no column {' and no column '.join(sorted(missing))}, but {found}: name "
            "the columns text and label in its first line, and second where rows are pairs"
        )
    used, seen = [c for c in ("text", "second", "label", "part") if c in columns], {}
    for number, row in rows:
        row = {c: "" if row.get(c) is None else str(row[c]).strip() for c in used}
        where = f"line {number} of {path}"
        for column in used:
            if not row[column] or (column in ("text", "second") and not words_of(row[column])):
                raise ValueError(f"{where} has no {column}: write one, or leave the line out")
        if row.get("part", "test") not in ("train", "test"):
            raise ValueError(f"{where} has the part {row['part'][:50]!r}: write train or test")
        before, first = seen.setdefault((row["text"], row.get("second")), (number, row))
        if first != row:
            raise ValueError(
                f"{where} has the text of line {before}, but another label or part: keep one"
            )
    return [row for _, row in seen.values()]


def _csv_rows(path: Path) -> list[tuple[int, dict]]:
    text = _decode(path)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader, found = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), []
    try:
        for row in reader:
            if None in row:
                raise csv.Error("more columns than the first line")
            found.append((reader.line_num, row))
    except csv.Error as error:
        raise ValueError(
            f"line {reader.reader.line_num} of {path} is not CSV ({error}): put a text with commas or "
            "quotation marks in it between quotation marks, and double those in it"
        ) from error
    return found


def _json_rows(path: Path) -> list[tuple[int, dict]]:
    found = []
    for number, line in enumerate(_decode(path).split("\n"), 1):
        if line.strip():
            try:
                found.append((number, dict(**json.loads(line))))
            except (ValueError, TypeError) as error:
                must = 'must be an object of JSON, as in {"text": "...", "label": "..."}'
                raise ValueError(f"line {number} of {path} {must}") from error
    return found


def read_snli(most: int = 50_000) -> Task:
    """d2l's pairs for natural language inference, downloaded once; the first `most` to learn from.

    Does the first sentence imply the second, contradict it, or neither?

    Source: Bowman et al. 2015, "A large annotated corpus for learning natural language inference".
    """
    folder = cache_dir() / "snli"
    (archive,) = kept(folder, "SNLI", _cached_snli, _download_snli)
    parts = []
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        for part, number in (("train", most), ("test", None)):
            with members.open(f"snli_1.0/snli_1.0_{part}.txt") as file:
                text = io.TextIOWrapper(file, "utf-8", newline="")
                table = csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
                # Where its annotators did not agree, the label is "-".
                agreed = (row for row in table if row["gold_label"] in SNLI_LABELS)
                rows = [
                    {"text": r["sentence1"], "second": r["sentence2"], "label": r["gold_label"]}
                    for r in islice(agreed, number)
                ]
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
        source = re.sub(r"(?<=//)[^/@]*@", "", source)  # no password
        raise ConnectionError(
            f"SNLI is not in {folder} and could not be downloaded ({source}: {error}): take a task "
            "of the package or a file of yours, or set BERT_TUTORIAL_SNLI_URL to another address "
            "of snli_1.0.zip"
        ) from error
    write_file(folder / "snli_1.0.zip", archive)
    return [archive]
