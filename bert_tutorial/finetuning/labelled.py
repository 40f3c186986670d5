"""Labelled texts: what a task learns from, and what it is tested with.

Shapes: N texts, C labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

ALL = 10**9  # labels of each class: as many as there are


class Text(NamedTuple):
    """Words, and which of them is asked about, if one is."""

    words: list[str]
    place: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """Texts, or pairs of texts, with one label each; for tagging, it is of one word of a text."""

    names: Sequence[str]  # of the C labels
    labels: np.ndarray  # (N,), int64, the number of a name for each text
    texts: list[tuple[Text, ...]]  # N rows of one text, or of two

    @classmethod
    def of(cls, names: Sequence[str], rows: Iterable[tuple[str, *tuple[Text, ...]]]) -> "Labelled":
        """Rows of the name of a label and its text or texts."""
        rows = list(rows)
        labels = np.array([list(names).index(row[0]) for row in rows], np.int64)
        return cls(names, labels, [row[1:] for row in rows])

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        return f"{type(self).__name__}({len(self):,} texts, {len(self.names)} labels)"

    @property
    def kind(self) -> str:
        """What a label is of: a "text" (or a pair), a word ("tagging"), "two uses" of a word."""
        asked = [text.place for text in self.texts[0] if text.place is not None]
        return ("text", "tagging", "two uses")[len(asked)]

    def take(self, numbers: Iterable[int]) -> "Labelled":
        """The texts of these numbers, in their order."""
        numbers = list(numbers)
        return Labelled(self.names, self.labels[numbers], [self.texts[i] for i in numbers])

    def subset(self, labels_per_class: int, seed: int) -> "Labelled":
        """So many texts of each label, or as many as there are; a larger one holds the smaller."""
        drawn = []
        for label in range(len(self.names)):
            of_label = np.flatnonzero(self.labels == label)
            order = np.random.default_rng([seed, label]).permutation(of_label)
            drawn += order[:labels_per_class].tolist()
        return self.take(drawn)

    def allowed(self) -> np.ndarray:
        """Which labels a text can have, (N, C): when tagging, the senses of its word only."""
        if self.kind != "tagging":
            return np.ones((len(self), len(self.names)), dtype=bool)
        words = [text.words[text.place] for (text,) in self.texts]
        return np.array(words)[:, None] == [name.split(":")[0] for name in self.names]


class Task(NamedTuple):
    """What to learn from, and what to be tested with."""

    name: str
    train: Labelled
    test: Labelled
