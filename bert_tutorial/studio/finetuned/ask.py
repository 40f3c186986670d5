"""What somebody types, for networks and their controls alike; and which words count for a label."""

import numpy as np

from ...finetuning.controls import Predict
from ...finetuning.labelled import Labelled, Text
from ...text.vocabulary import MASK
from .tasks import words_of


def typed(like: Labelled, *said: str) -> Labelled:
    """What somebody typed, as a task has it: a text, a pair, or each word that has senses.

    Its labels are not known; they are all 0. A ValueError says what to type in its place.
    """
    texts, which = [words_of(text) for text in said[: len(like.texts[0])]], ("first ", "second ")
    for words, place in zip(texts, which if len(texts) > 1 else [""], strict=True):
        if not words:
            raise ValueError(f"the {place}text has no word in it: type a sentence")
    rows = [tuple(Text(words) for words in texts)]
    if like.kind == "tagging":
        known = dict.fromkeys(name.split(":")[0] for name in like.names)
        rows = [(Text(texts[0], place),) for place, word in enumerate(texts[0]) if word in known]
        if not rows:
            raise ValueError(f"no word of it has two senses here: type one with {', '.join(known)}")
    elif like.kind == "two uses":
        known = sorted({row[0].words[row[0].place] for row in like.texts})
        shared = [word for word in texts[0] if word in texts[1]]
        word = next((word for word in shared if word in known), next(iter(shared), ""))
        if not word:
            some = ", ".join(known)
            raise ValueError(f"the two texts share no word: type one of these in both: {some}")
        rows = [tuple(Text(words, words.index(word)) for words in texts)]
    return Labelled(like.names, np.zeros(len(rows), np.int64), rows)


def word_effects(predict: Predict, asked: Labelled) -> list[float]:
    """What each word of one text, and of its second, does for the likeliest label.

    That is how many nats its log-probability loses where the word is hidden.
    """
    (texts, *_), rows = asked.texts, asked.texts[:1]
    for number, (words, place) in enumerate(texts):
        for i in range(len(words)):
            hidden = Text([*words[:i], MASK, *words[i + 1 :]], place)
            rows = [*rows, (*texts[:number], hidden, *texts[number + 1 :])]
    scores = predict(Labelled(asked.names, np.zeros(len(rows), int), rows))
    return (scores[0] - scores[1:])[:, scores[0].argmax()].tolist()
