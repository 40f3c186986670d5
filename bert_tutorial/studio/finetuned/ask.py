"""What somebody types, for networks and their controls alike; and which words count for a label."""

import numpy as np

from ...finetuning.controls import Predict
from ...finetuning.tasks import Labelled, words_of
from ...text.vocabulary import MASK


def typed(like: Labelled, text: str, second: str = "") -> Labelled:
    """What somebody typed, as a task has it: a text, a pair, or each word that has senses.

    Its labels are not known; they are all 0. A ValueError says what to type in its place.
    """
    words, others = words_of(text), words_of(second)
    if not words or (like.seconds is not None and not others):
        which = f"{'second' if words else 'first'} text" if like.seconds is not None else "text"
        raise ValueError(f"the {which} has no word in it: type a sentence")
    rest = [others] if like.seconds is not None else None
    if like.places is None:
        return Labelled(like.names, np.zeros(1, np.int64), [words], rest)
    known = dict.fromkeys(name.split(":")[0] for name in like.names)
    places = [place for place, word in enumerate(words) if word in known]
    if not places:
        raise ValueError(f"no word of it has two senses here: type one with {', '.join(known)}")
    labels = np.zeros(len(places), np.int64)
    return Labelled(like.names, labels, [words] * len(places), None, places)


def word_effects(predict: Predict, asked: Labelled) -> list[float]:
    """What each word of one text, and of its second, does for the likeliest label.

    That is how many nats its log-probability loses where the word is hidden.
    """
    size, places = len(asked.texts[0]), asked.places
    words = asked.texts[0] + (asked.seconds[0] if asked.seconds else [])
    rows = [words] + [[*words[:i], MASK, *words[i + 1 :]] for i in range(len(words))]
    seconds = [row[size:] for row in rows] if asked.seconds else None
    labels, places = np.zeros(len(rows), int), places[:1] * len(rows) if places else None
    scores = predict(Labelled(asked.names, labels, [row[:size] for row in rows], seconds, places))
    return (scores[0] - scores[1:])[:, scores[0].argmax()].tolist()
