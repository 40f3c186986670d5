"""What the sentence lab asks: a network, its untrained twin, a bag of words, and a corpus."""

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from ...network.config import BERTConfig
from ...network.model import BERTModel, in_mode
from ...pretraining.evaluation import Between
from ...representation.occurrences import windows
from ...representation.pseudowords import labels_for
from ...representation.readings import MOST
from ...text.corpora import CORPORA, read_text
from ...text.tokenized import TokenizedText
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus, paragraphs
from ..published.bert import is_hub_name
from ..published.checkpoints import SHIPPED, load_pretrained, trained_path
from .similarity import Background
from .uses import FEWEST, NEAR, WordUses

NETWORKS = ("network", "untrained")
MAX_WORDS = 40  # of a sentence; more nobody can compare
MOST_USES, MOST_KNOWN = 64, 500  # words whose uses are kept, and results that are remembered,
MEMORY = 512 * 2**20  # but of wide networks fewer: so many bytes each, about
DROPOUT = 0.1  # BERT's, for the spread that it makes


class LabNetwork:
    """A network, its untrained twin, and what both make of a corpus.

    Args:
        net, vocab: Network and vocabulary.
        corpus: What its words are looked up in.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, corpus: Corpus):
        self.vocab, self.corpus, self.labels = vocab, corpus, lru_cache(labels_for(corpus))
        untrained = _of_these_sizes(net, net.config)
        untrained.reset(torch.Generator().manual_seed(0))
        self.nets = {"network": net, "untrained": untrained.eval()}
        self._known: dict[tuple, Any] = {}
        self._most_known, most_uses = most_remembered(net.config)
        self.was_read: set[str] = set()  # words whose uses are in the cache
        self.uses = lru_cache(maxsize=most_uses)(self._uses)
        self.background = lru_cache(self._background)
        self.between = lru_cache(self._between)
        self.bag = lru_cache(maxsize=64)(self._bag)
        self.shaken = lru_cache(self._shaken)
        self.key = lru_cache(maxsize=4096)(self._key)

    def twin(self) -> "LabNetwork":
        """The untrained network in the place of the trained one; beside it stands the same."""
        return LabNetwork(self.nets["untrained"], self.vocab, self.corpus)

    def remember(self, key: tuple, make: Callable[[], Any]) -> Any:
        """What was computed before for this key; of two sentences mostly one is the same."""
        if key not in self._known:
            if len(self._known) >= self._most_known:
                self._known.clear()
            self._known[key] = make()
        return self._known[key]

    def _key(self, word: str) -> str:
        """Under which name two senses of a word are known: its own, its hidden pair's, or ""."""
        labelled = self.labels(self.corpus.train)
        pairs = (key for key in labelled if "/" in key and word in key.split("/"))
        key = word if word in labelled else next(pairs, "")
        found = labelled.get(key, [])
        is_double = len(found) >= FEWEST and len({occurrence.sense for occurrence in found}) == 2
        return key if is_double and key in self.labels(self.corpus.valid) else ""

    def _uses(self, word: str, which: str) -> WordUses:
        self.was_read.add(word)
        return WordUses(self.nets[which], self.vocab, self.corpus, word, self.labels)

    def _background(self, which: str) -> Background:
        return Background(self.nets[which], self.vocab, self.corpus.train)

    def _between(self) -> Between:
        text = TokenizedText.from_paragraphs(self.vocab, paragraphs(self.corpus.train))
        return Between(text, self.vocab)

    def _bag(self, word: str) -> "Bag":
        return Bag(self.corpus, word, self.labels)

    def layers(self) -> dict[str, dict[str, float]]:
        """Mean cosines by layer: one word in two sentences, and two words, in both networks."""
        series = {}
        for which in NETWORKS:
            background = self.background(which)
            numbers = range(len(background.vectors))
            for name, of in (("one", background.same_word), ("two", background.any_words)):
                label = f"{name} word{'s' if name == 'two' else ''}, {which}"
                series[label] = {str(number): of(number).mean for number in numbers}
        return series

    def _shaken(self, which: str) -> BERTModel:
        """A copy of a network that has dropout; it shares the weights."""
        net = self.nets[which]
        shaken = _of_these_sizes(net, dataclasses.replace(net.config, dropout=DROPOUT))
        shaken.load_state_dict(net.state_dict(), assign=True)
        return shaken


def _of_these_sizes(net: BERTModel, config: BERTConfig) -> BERTModel:
    """A new network; PyTorch's own generator stays as it is, also for a thread that trains."""
    with in_mode(net, net.training):  # such a thread waits meanwhile
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            return BERTModel.from_config(config)


def most_remembered(config: BERTConfig) -> tuple[int, int]:
    """How many results of a network are remembered, and of how many words its uses are kept.

    A sentence has its vectors and its attention; a word has, for each layer, its occurrences and
    the matrix that turns them (see `WordUses`).
    """
    width, layers = config.num_hiddens, 1 + config.num_layers
    sentence = layers * (MAX_WORDS * width + config.num_heads * (MAX_WORDS + 2) ** 2)
    word = layers * MOST * (2 * width + MOST)
    known, uses = (MEMORY // (4 * numbers) for numbers in (sentence, word))
    return max(8, min(MOST_KNOWN, known)), max(8, min(MOST_USES, uses))


class Bag:
    """The control that counts the words around: naive Bayes, told the same labels.

    Args:
        corpus, word, labels: As in `WordUses`.
    """

    def __init__(self, corpus: Corpus, word: str, labels: Any):
        known, asked = (labels(part)[word] for part in (corpus.train, corpus.valid))
        self.counter = CountVectorizer(analyzer=list)
        self.known = self.counter.fit_transform(_around(corpus.train, known))
        self.asked = self.counter.transform(_around(corpus.valid, asked))
        self.known_senses, self.asked_senses = (
            np.array([occurrence.sense for occurrence in part]) for part in (known, asked)
        )

        self.told = lru_cache(maxsize=16)(self._told)

    def _told(self, chosen: tuple[int, ...]) -> tuple[MultinomialNB, np.ndarray]:
        """What some labelled occurrences teach, and where held-out ones stand then."""
        some = list(chosen)
        model = MultinomialNB(alpha=0.5, fit_prior=False)
        model.fit(self.known[some], self.known_senses[some])
        return model, _log_odds(model, self.asked)

    def place(
        self, tokens: list[str], place: int, chosen: tuple[int, ...]
    ) -> tuple[float, int, int]:
        """A position from -1 to 1; held-out occurrences near it, and those of the same sense."""
        model, of_asked = self.told(chosen)
        asked = self.counter.transform([tokens[:place] + tokens[place + 1 :]])
        log_odds = float(_log_odds(model, asked)[0])
        nearest = np.argsort(np.abs(of_asked - log_odds))[:NEAR]
        sense, position = model.classes_[int(log_odds > 0)], float(np.tanh(log_odds / 2))
        return position, len(nearest), int((self.asked_senses[nearest] == sense).sum())


def _log_odds(model: MultinomialNB, counts: Any) -> np.ndarray:
    """How many nats the second sense is ahead of the first: (n, V) -> (n,)."""
    return np.subtract(*model.predict_joint_log_proba(counts).T[::-1])


def _around(text: str, occurrences: list) -> list[list[str]]:
    read = windows(text, occurrences)
    return [tokens[:place] + tokens[place + 1 :] for tokens, place in read]


def other_networks(corpus: str | Path = "bundled") -> dict[str, Callable[[], LabNetwork]]:
    """The networks that there are beside one, each loaded when it is asked for.

    Args:
        corpus: Whose network of notebook 2 is among them, if there is one.
    """

    def load(name: str | Path, prefer: str) -> LabNetwork:
        net, vocab, _ = load_pretrained(name, prefer)
        return LabNetwork(net, vocab, read_text(name))

    found = {
        f"in the package, {name}": partial(load, name, "shipped")
        for name in CORPORA
        if (SHIPPED / f"{name}.safetensors").is_file()
    }
    if trained_path(corpus).is_file():
        found[f"trained in notebook 2, {corpus}"] = partial(load, corpus, "trained")
    return found


def published(folder: str) -> LabNetwork:
    """A published BERT, from a folder or by its name at a hub, beside the bundled corpus.

    Raises:
        ValueError: It is neither.
    """
    if not Path(folder[:255]).expanduser().is_dir() and not is_hub_name(folder):
        raise ValueError(
            f"{folder[:80]!r} is no folder, and no name at a hub, which is like owner/name"
        )
    net, vocab, _ = load_pretrained(folder)
    return LabNetwork(net, vocab, read_text("bundled"))
