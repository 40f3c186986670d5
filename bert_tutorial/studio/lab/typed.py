"""Which senses does a network tell in sentences that somebody typed?

Their writer had not read the corpus, and no recipe was chosen by them.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ...notebook import track
from ...representation.encoding import cosine_similarity
from .lab import BAG, NETWORKS, Lab

TYPED = Path(__file__).parents[2] / "data" / "typed" / "senses.tsv"


class TypedSense(NamedTuple):
    """A sentence, and the sense of one of its words."""

    word: str
    sense: str
    sentence: str


def typed_senses(path: Path = TYPED) -> list[TypedSense]:
    """The 320 sentences, ten a word, five a sense."""
    return [TypedSense(*line.split("\t")) for line in path.read_text("utf-8").splitlines()]


class TypedScore(NamedTuple):
    """What is right, from 0 to 1."""

    senses: dict[str, float]  # told by the network, the untrained one, a bag of words
    cosine: float  # area under the curve: pairs of one sense above pairs of two, by plain cosine
    alike: float  # the same by the cosine along the main directions of the word


def score_typed(lab: Lab, typed: list[TypedSense], layer: int = -1) -> TypedScore:
    """Ask about typed sentences as the sentence lab does, with all labels told.

    The corpus of the lab must know the senses of these words.
    """
    right: dict[str, list[bool]] = {name: [] for name in (*NETWORKS, BAG)}
    same, plain, alike = [], [], []
    for word in track(sorted({row.word for row in typed}), "reading words in their sentences"):
        wanted = np.array([row.sense for row in typed if row.word == word])
        read = [lab.words(row.sentence)[0] for row in typed if row.word == word]
        at = [(words, words.index(word)) for words in read]
        same += _pairs(wanted[:, None] == wanted)
        positions = {BAG: [lab.bag(word).place(*one)[0] for one in at]}
        for which in NETWORKS:
            uses = lab.uses(word, which)
            vectors = np.stack([lab.use(which, *one, False)[layer] for one in at])
            positions[which] = uses.positions(vectors, uses.means(layer))
            if which == "network":
                alike += _pairs(uses.cosines(vectors, vectors, layer))
                standing = torch.from_numpy(vectors[:, : vectors.shape[1] // 2])
                plain += _pairs(cosine_similarity(standing, standing).numpy())
        for name, found in positions.items():
            sides = np.array(found) > 0
            right[name] += (np.array(uses.senses)[sides.astype(int)] == wanted).tolist()
    senses = {name: float(np.mean(values)) for name, values in right.items()}
    return TypedScore(senses, *(float(roc_auc_score(same, of)) for of in (plain, alike)))


def _pairs(table: np.ndarray) -> list:
    """What a symmetric table says of each pair."""
    return table[np.triu_indices(len(table), 1)].tolist()
