"""What fine-tuning is compared with: word counts, word vectors, a network that was not pretrained.

Each learns from labelled texts, and then says of any text how probable each label is.

Shapes: N texts, C labels, D numbers of a text.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..network.model import BERTModel
from ..pretraining.cooccurrence import word_vectors
from ..pretraining.run import Settings
from ..representation.encoding import encode
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs
from .heads import FineTuned
from .tasks import Labelled
from .train import fine_tune_steps, log_probabilities, to_rows

Predict = Callable[[Labelled], np.ndarray]  # texts -> log-probabilities (N, C), in nats
Fit = Callable[[Labelled, int], Predict]  # texts to learn from, and a seed


def accuracy(predict: Predict, data: Labelled) -> float:
    """How many texts get their label; when tagging, of the senses of the word."""
    scores = np.where(data.allowed(), predict(data), -np.inf)
    return float((scores.argmax(1) == data.labels).mean())


def most_frequent(train: Labelled, seed: int) -> Predict:
    """The label that was there most often, whatever the text; when tagging, of the word's."""
    counts = np.bincount(train.labels, minlength=len(train.names))
    return lambda data: np.tile(np.log((counts + 1) / (counts + 1).sum()), (len(data), 1))


def fit_model(model: Any, features: Callable[[Labelled], Any], train: Labelled) -> Predict:
    """Let a model of scikit-learn learn from features (N, D); labels never seen get -inf."""
    model.fit(features(train), train.labels)

    def predict(data: Labelled) -> np.ndarray:
        scores = np.full((len(data), len(train.names)), -np.inf)
        scores[:, model.classes_] = model.predict_log_proba(features(data))
        return scores

    return predict


def count_words(train: Labelled) -> Callable[[Labelled], Any]:
    """Features (N, D): how often each word is in a text; of a pair in each, and in both."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer

    known = CountVectorizer(analyzer=list).fit(chain(train.texts, train.seconds or ()))

    def features(data: Labelled) -> Any:
        counts = known.transform(data.texts)
        if data.seconds is None:
            return counts
        others = known.transform(data.seconds)
        return hstack([counts, others, counts.minimum(others)], "csr")

    return features


def naive_bayes(train: Labelled, seed: int) -> Predict:
    """Naive Bayes on word counts."""
    from sklearn.naive_bayes import MultinomialNB

    return fit_model(MultinomialNB(alpha=0.5), count_words(train), train)


def regression(strength: float) -> Any:
    """Logistic regression on numbers brought to one scale; a higher strength regularises less."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, max_iter=1000)


def count_regression(train: Labelled, seed: int) -> Predict:
    """Logistic regression on word counts."""
    return fit_model(regression(0.3), count_words(train), train)


def of_texts(vectors: list[np.ndarray]) -> np.ndarray:
    """One vector for a text; for a pair both, how far they are apart and how much they share."""
    if len(vectors) == 1:
        return vectors[0]
    one, other = vectors
    return np.concatenate([one, other, np.abs(one - other), one * other])


def averaged(vectors: Tensor, vocab: Vocab, data: Labelled) -> np.ndarray:
    """The mean of the word vectors (V, D) of each text, without the word that is tagged."""
    table, found = vectors.numpy(), []
    for number, words in enumerate(data.texts):
        place = None if data.places is None else data.places[number]
        texts = [[word for i, word in enumerate(words) if i != place]]
        texts += [data.seconds[number]] if data.seconds else []
        found.append(of_texts([table[vocab[text] or [vocab.pad_id]].mean(0) for text in texts]))
    return np.stack(found)


def encoded(net: BERTModel, vocab: Vocab, data: Labelled) -> np.ndarray:
    """The mean of a network's last-layer vectors of each text, or the tagged word's own vector."""
    rows, positions = to_rows(vocab, data, net.config.max_len)
    found = []
    for (_, segments), position, layers in zip(rows, positions, encode(net, vocab, rows), strict=True):
        last, segments = layers[-1].cpu().float().numpy(), np.array(segments)
        parts = [last[segments == n].mean(0) for n in np.unique(segments)]
        found.append(last[position] if data.places is not None else of_texts(parts))
    return np.stack(found)


def once(read: Callable[[Labelled], np.ndarray]) -> Callable[[Labelled], np.ndarray]:
    """The same features, computed once for each text."""
    known = {}

    def features(data: Labelled) -> np.ndarray:
        columns = [c or [None] * len(data) for c in (data.texts, data.seconds, data.places)]
        keys = [str(row) for row in zip(*columns, strict=True)]
        new = [number for number, key in enumerate(keys) if key not in known]
        if new:
            known.update(zip((keys[i] for i in new), read(data.take(new)), strict=True))
        return np.stack([known[key] for key in keys])

    return features


def vector_regression(read: Callable[[Labelled], np.ndarray], strength: float) -> Fit:
    """Logistic regression on vectors of texts: a linear head on what stays as it is."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = once(read)
    return lambda train, seed: fit_model(
        make_pipeline(StandardScaler(), regression(strength)), features, train
    )


def fine_tuning(net: BERTModel, vocab: Vocab, settings: Settings, pretrained: bool = True) -> Fit:
    """A copy of a network with a head, all of it trained; or the same drawn anew."""

    def fit(train: Labelled, seed: int) -> Predict:
        tuned = FineTuned.on(net, len(train.names), train.places is not None, seed, pretrained)
        for _ in fine_tune_steps(tuned, vocab, train, replace(settings, seed=seed)):
            pass
        return partial(log_probabilities, tuned, vocab)

    return fit
