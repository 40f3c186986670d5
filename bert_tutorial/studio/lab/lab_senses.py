"""What the sentence lab tells of senses: a meter, the nearest uses, a map.

Everything stands beside a control: the same network untrained, and a bag of words.
"""

from functools import partial
from typing import NamedTuple

from ...representation.few_labels import EVERY
from ...representation.readings import shaken_uses
from .lab import NETWORKS
from .lab_state import LabState
from .uses import WordUses


class MeterRow(NamedTuple):
    """Where a word of a sentence stands between its two senses, according to one source."""

    sentence: int  # 0 or 1
    place: int  # of the word in it
    source: str  # "network", "untrained" or "bag of words"
    senses: tuple[str, str]
    position: float  # from -1, the first sense, to 1, the second; cut off there
    low: float | None  # the position minus and plus its deviation by dropout
    high: float | None
    near: int  # held-out occurrences nearest to this place, and how many have the same sense
    right: int

    @property
    def sense(self) -> str:
        """The nearer sense."""
        if self.position == 0:
            return "neither"
        return self.senses[int(self.position > 0)]


class Use(NamedTuple):
    """An occurrence of a word in the corpus that is used much as the one that was asked for."""

    cosine: float
    tokens: list[str]
    place: int
    sense: str  # "" if nobody knows


class SenseMap(NamedTuple):
    """All uses of a word as points."""

    word: str  # or both words of a hidden pair
    points: list[dict]  # x, y, group (the sense), kind ("corpus" or "typed"), label, text
    names: tuple[str, str]  # of the axes
    accuracy: float | None  # how many held-out uses stand on the side of their own sense


def meter(state: LabState, layer: int, number: int = EVERY) -> list[MeterRow]:
    """Where each word with senses stands between them; `number` labels of each sense."""
    rows = []
    for sentence, place in state.with_senses():
        for which in NETWORKS:
            how = which, sentence, place, layer, number
            key = ("meter", *how, *state.words[sentence])
            rows.append(state.lab.remember(key, partial(_by_network, state, *how)))
        rows.append(_by_bag(state, sentence, place, number))
    return rows


def _by_network(
    state: LabState, which: str, sentence: int, place: int, layer: int, number: int
) -> MeterRow:
    lab, words = state.lab, state.words[sentence]
    uses = lab.uses(lab.key(words[place]), which)
    means = uses.means(layer, number)
    found = uses.place(state.use(which, sentence, place, uses, layer), layer, means)
    noisy = shaken_uses(lab.shaken(which), lab.vocab, words, place, uses.is_hidden)[layer]
    spread = uses.positions(noisy.numpy(), means).std()
    low, middle, high = (_cut(found.position + sign * spread) for sign in (-1, 0, 1))
    senses = tuple(uses.senses)
    return MeterRow(sentence, place, which, senses, middle, low, high, found.near, found.right)


def _by_bag(state: LabState, sentence: int, place: int, number: int) -> MeterRow:
    lab, words = state.lab, state.words[sentence]
    uses = lab.uses(key := lab.key(words[place]), "network")
    senses = tuple(uses.senses)
    position, near, right = lab.bag(key).place(words, place, tuple(uses.labelled(number)))
    return MeterRow(sentence, place, "bag of words", senses, position, None, None, near, right)


def _cut(position: float) -> float:
    return float(min(1.0, max(-1.0, position)))


def nearest(
    state: LabState, sentence: int, place: int, layer: int, which: str = "network"
) -> list[Use]:
    """The five occurrences in the corpus that are used most as this word is here.

    Raises:
        ValueError: The word is too rare.
    """
    word = state.words[sentence][place]
    uses = state.lab.uses(state.lab.key(word) or word, which)
    use = state.use(which, sentence, place, uses, layer)
    return [
        Use(cosine, *uses.window(number), str(uses.known_senses[number]))
        for number, cosine in uses.nearest(use, layer)
    ]


def _is_in(uses: WordUses, word: str) -> bool:
    """Whether a word is one of a hidden pair."""
    return uses.is_hidden and word in uses.senses


def sense_map(state: LabState, word: str, layer: int, number: int, which: str) -> SenseMap:
    """All uses of a word in the corpus as points, and those in the two sentences.

    Raises:
        ValueError: The word is too rare.
    """
    uses = state.lab.uses(state.lab.key(word) or word, which)
    means = uses.means(layer, number) if uses.senses else None
    onto = uses.map(layer, means)
    points = [
        {"x": float(x), "y": float(y), "group": str(sense) or word, "kind": "corpus"}
        | {"label": "", "text": " ".join(uses.window(i).tokens)}
        for i, ((x, y), sense) in enumerate(
            zip(onto(uses.known[layer]), uses.known_senses, strict=True)
        )
    ]
    for sentence, words in enumerate(state.words):
        for place in [i for i, other in enumerate(words) if other == word or _is_in(uses, other)]:
            use = state.use(which, sentence, place, uses, layer)
            x, y = map(float, onto(use[None])[0])
            name = f"sentence {sentence + 1}"
            points.append(
                {"x": x, "y": y, "group": "yours", "kind": "typed"}
                | {"label": name, "text": " ".join(words)}
            )
    accuracy = None if means is None else uses.accuracy(layer, means)
    return SenseMap(uses.word.replace("/", " or "), points, onto.names, accuracy)
