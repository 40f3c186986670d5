"""What fine-tuning is compared with: word counts, word vectors, a network that was not pretrained.

Each learns from labelled texts, and then says of any text how probable each label is.

Shapes: N texts, C labels, D numbers of a text.
"""

import warnings
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

from ..network.model import BERTModel
from ..pretraining.cooccurrence import word_vectors
from ..representation.encoding import encode
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs
from .heads import FineTuned
from .labelled import Labelled, Text
from .train import fine_tune_steps, log_probabilities, recipe, to_rows

warnings.filterwarnings("ignore", "The number of unique classes")  # one label each is no mistake
Predict = Callable[[Labelled], np.ndarray]  # texts -> log-probabilities (N, C), in nats
Fit = Callable[[Labelled, int], Predict]  # texts to learn from, and a seed
Features = Callable[[Labelled], Any]  # texts -> (N, D)


def accuracy(predict: Predict, data: Labelled) -> float:
    """How many texts get their label; when tagging, of the senses of the word."""
    scores = np.where(data.allowed(), predict(data), -np.inf)
    return float((scores.argmax(1) == data.labels).mean())


def most_frequent(train: Labelled, seed: int) -> Predict:
    """The label that was there most often, whatever the text; when tagging, of the word's."""
    counts = np.bincount(train.labels, minlength=len(train.names)) + 1
    return lambda data: np.tile(np.log(counts / counts.sum()), (len(data), 1))


def fit_model(model: Any, features: Features, train: Labelled) -> Predict:
    """Let a model of scikit-learn learn from features; a label that it never saw gets -inf."""
    model.fit(features(train), train.labels)

    def predict(data: Labelled) -> np.ndarray:
        scores = np.full((len(data), len(train.names)), -np.inf)
        scores[:, model.classes_] = model.predict_log_proba(features(data))
        return scores

    return predict


def count_words(train: Labelled) -> Features:
    """How often each word of the training texts is in a text; of a pair in each, and in both."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer

    words = [[text.words for text in column] for column in zip(*train.texts, strict=True)]
    known = CountVectorizer(analyzer=list).fit(chain.from_iterable(words))

    def features(data: Labelled) -> Any:
        columns = zip(*data.texts, strict=True)
        counts = [known.transform(text.words for text in column) for column in columns]
        return hstack([*counts, counts[0].minimum(counts[1])] if counts[1:] else counts, "csr")

    return features


def naive_bayes(train: Labelled, seed: int) -> Predict:
    """Naive Bayes on word counts."""
    from sklearn.naive_bayes import MultinomialNB  # here, so that importing stays fast

    return fit_model(MultinomialNB(alpha=0.2), count_words(train), train)


def count_regression(train: Labelled, seed: int) -> Predict:
    """Logistic regression on word counts."""
    from sklearn.linear_model import LogisticRegression

    return fit_model(LogisticRegression(max_iter=1000), count_words(train), train)


def vector_regression(read: Features) -> Fit:
    """Logistic regression on vectors of texts: a head on what stays as it is."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(train: Labelled, seed: int) -> Predict:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=1000))
        return fit_model(model, read, train)

    return fit


def of_pair(vectors: list[np.ndarray]) -> np.ndarray:
    """One vector for a text; of a pair how far apart both are, and how much they share."""
    if len(vectors) == 1:
        return vectors[0]
    one, other = vectors
    return np.concatenate([np.abs(one - other), one * other])


def averaged(vectors: Tensor, vocab: Vocab, data: Labelled) -> np.ndarray:
    """The mean of the word vectors (V, D) of each text, without the word that is asked about."""
    table = vectors.numpy()

    def mean(text: Text) -> np.ndarray:
        words = [word for place, word in enumerate(text.words) if place != text.place]
        return table[vocab[words] or [vocab.pad_id]].mean(0)

    return np.stack([of_pair([mean(text) for text in texts]) for texts in data.texts])


def encoded(net: BERTModel, vocab: Vocab, data: Labelled) -> np.ndarray:
    """A network's last-layer vectors of the word that is asked about, or the mean of each text."""
    read = to_rows(vocab, data, net.config.max_len)
    vectors, found = encode(net, vocab, [row for rows in read for row, _ in rows]), []
    for rows in read:
        parts = []
        for (_, segments), position in rows:
            last, segments = next(vectors)[-1].cpu().float().numpy(), np.array(segments)
            means = (last[segments == n].mean(0) for n in np.unique(segments))
            parts += [last[position]] if position else means
        found.append(of_pair(parts))
    return np.stack(found)


def fine_tuning(net: BERTModel, vocab: Vocab, pretrained: bool = True, **how: Any) -> Fit:
    """A copy of a network with a head, all of it trained, or the same drawn anew; see `recipe`."""

    def fit(train: Labelled, seed: int) -> Predict:
        tuned = FineTuned.on(net, train, seed, pretrained)
        for _ in fine_tune_steps(tuned, vocab, train, recipe(len(train), seed, pretrained, **how)):
            pass
        return partial(log_probabilities, tuned, vocab)

    return fit


def controls(
    net: BERTModel, vocab: Vocab, corpus: Corpus, published: tuple[BERTModel, Vocab] | None = None
) -> dict[str, Fit]:
    """All of them, by name; `corpus` is the text that the network was pretrained on."""
    text = TokenizedText.from_paragraphs(vocab, paragraphs(corpus.train))
    counted = word_vectors(text, vocab, window=10, size=128)
    found = {
        "most frequent label": most_frequent,
        "naive Bayes on word counts": naive_bayes,
        "logistic regression on word counts": count_regression,
        "counted word vectors": vector_regression(partial(averaged, counted, vocab)),
        "never pretrained": fine_tuning(net, vocab, pretrained=False),
        "frozen": vector_regression(partial(encoded, net, vocab)),
        "fine-tuned": fine_tuning(net, vocab),
    }
    if published is not None:
        found["published, frozen"] = vector_regression(partial(encoded, *published))
        # Turc et al. 2019, "Well-read students learn better", for small ones.
        found["published, fine-tuned"] = fine_tuning(*published, learning_rate=1e-4)
    return found
