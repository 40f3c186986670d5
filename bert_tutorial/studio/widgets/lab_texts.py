"""What the sentence lab says: pairs of sentences to begin with, notices, captions."""

from collections.abc import Sequence
from typing import Any

from ...representation.few_labels import EVERY
from ..lab.lab_senses import MeterRow
from ..lab.lab_state import MOST_PLACES, LabState
from .parts import LONGEST_TEXT

# One word, two senses.
EXAMPLES = {
    "crane: bird, machine": (
        "the crane stood on one leg in the pond",
        "a tall crane stands at the building site",
    ),
    "crane: bird, bird": (
        "the crane stood on one leg in the pond",
        "a crane laid two eggs in its nest",
    ),
    "bank: money, river": ("she took her coins to the bank", "reeds grow on the bank of the river"),
    "bark: dog, tree": ("the bark of the dog was loud", "the bark of the old oak is thick"),
    "bat: animal, sport": ("a bat sleeps in the cave", "he hit the ball with his bat"),
    "mouse: animal, computer": (
        "the cat caught a mouse",
        "click with the left button of the mouse",
    ),
    "palm: hand, tree": ("she held a coin in her palm", "a palm gives shade on the beach"),
    "port: harbour, wine": ("the ship left the port at night", "he drank a glass of old port"),
    "spring: coil, season": (
        "the spring in the clock is broken",
        "in spring the trees have flowers",
    ),
    "star: film, sky": ("the star of the film was ill", "a bright star shone in the sky"),
    "virus: biology, computer": ("the virus made many people ill", "a virus deleted all the files"),
    "order of words": ("the dog bit the man", "the man bit the dog"),
}


def chip(state: LabState, word: str) -> dict[str, Any]:
    """A word as `TokenChips` wants it: with how often it occurs, or that it is unknown."""
    is_unknown, count, vocab = state.is_unknown(word), state.count(word), state.lab.vocab
    known = "" if count is None else f"{count:,}×"
    note = f"→ {vocab.to_tokens(vocab.unk_id)}" if is_unknown else known
    return {"text": word, "note": note, "is_unknown": is_unknown}


def notice(state: LabState, is_cut: bool) -> str:
    """What is to be said of the two texts."""
    vocab = state.lab.vocab
    cut = f"Only the first {LONGEST_TEXT:,} characters are read. " if is_cut else ""
    unknown = dict.fromkeys(w for words in state.words for w in words if state.is_unknown(w))
    unk = vocab.to_tokens(vocab.unk_id)
    if unknown:
        return f"{cut}Not in the vocabulary, so read as {unk}: {', '.join(unknown)}."
    return f"{cut}All words are in the vocabulary."


def meter_caption(state: LabState, rows: Sequence[MeterRow], layer: int, number: int) -> str:
    """What the meter shows; or which words it could show."""
    if not rows:
        lab = state.lab
        known = [key for key in lab.labels(lab.corpus.train) if lab.key(key.split("/")[0]) == key]
        some = ", ".join(known[:5]) or "there are none in this corpus"
        return f"No word here has two senses that the corpus knows, as these have: {some}."
    told = "all labels"
    if number != EVERY:
        told = f"up to {number} of each sense (the networks' also from uses without a label)"
    more = f"; only the first {MOST_PLACES} such words of a sentence stand here"
    return (
        f"Between two senses, layer {layer}, means from {told}; beside it, of the nearest held-out "
        f"uses, how many have this sense{more if state.has_more_senses() else ''}"
    )
