"""The sentence lab without its widgets: what a network makes of two sentences and of a corpus.

Everything stands beside a control: the same network untrained, a bag of words, word frequencies.
The meter's numbers come from `Lab.meter`.
"""

import dataclasses
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...network.config import BERTConfig
from ...network.model import BERTModel
from ...pretraining.evaluation import Between
from ...representation import encoding
from ...representation.encoding import Layers, Window, hide
from ...representation.fill_mask import mask_probabilities
from ...representation.occurrences import MOST, labels_for
from ...representation.senses import EVERY
from ...text.corpora import CORPORA, read_text
from ...text.tokenized import TokenizedText
from ...text.vocabulary import Vocab
from ...text.wikitext_format import Corpus, paragraphs
from ..published.bert import check_name, is_hub_name
from ..published.checkpoints import SHIPPED, load_pretrained, trained_path
from .similarity import Background
from .uses import FEWEST, Bag, Use, WordUses

NETWORKS, BAG = ("network", "untrained"), "bag of words"
MAX_WORDS = 40  # of a sentence; more nobody can compare
MOST_PLACES = 6  # of words between their senses, in a sentence: each is read many times
MOST_SENTENCES, MOST_USES = 100, 64  # that are remembered: sentences, and words with their uses
MEMORY = 512 * 2**20  # bytes for those uses, about
PLURALS = {"mice": "mouse"}  # those that do not end in s
DROPOUT, REPEATS = 0.1, 20  # BERT's, for the spread that it makes; and how often a use is read

Words = tuple[str, ...]  # of a sentence
Row = dict[str, Any]  # what a view shows at one place


class Lab:
    """A network, the same network untrained, and what both make of sentences and of a corpus.

    What was computed is remembered: of two sentences mostly one is the same as before.
    `missing` says why the corpus is empty: then what needs no text is still to be had.
    """

    def __init__(self, net: BERTModel, vocab: Vocab, corpus: Corpus, missing: str = ""):
        self.vocab, self.corpus, self.labels = vocab, corpus, lru_cache(labels_for(corpus))
        self.missing = missing
        untrained = _without_weights(net.config).to_empty(device="cpu").eval()
        untrained.reset(torch.Generator().manual_seed(0))
        self.nets = {"network": net, "untrained": untrained}
        self.was_read: set[str] = set()  # words whose uses have been read
        self.key = lru_cache(maxsize=4096)(self._key)
        self.read = lru_cache(maxsize=MOST_SENTENCES)(self._read)
        self.use = lru_cache(maxsize=MOST_SENTENCES)(self._use)
        self.noisy_uses = lru_cache(maxsize=MOST_SENTENCES)(self._noisy_uses)
        self.uses = lru_cache(maxsize=most_uses(net.config))(self._uses)
        self.bag = lru_cache(maxsize=MOST_USES)(partial(Bag, corpus, labels=self.labels))
        some = corpus.train or read_text("bundled").train
        self.background = lru_cache(lambda of: Background(self.nets[of], vocab, some))
        self.with_dropout = lru_cache(self._with_dropout)
        text = partial(TokenizedText.from_paragraphs, vocab)
        self.between = lru_cache(lambda: Between(text(paragraphs(corpus.train)), vocab))

    def untrained(self) -> "Lab":
        """The untrained network in the place of the trained one; beside it stands the same."""
        return Lab(self.nets["untrained"], self.vocab, self.corpus, self.missing)

    def words(self, *texts: str) -> list[Words]:
        """The words of two sentences that somebody typed; a ValueError for none, or too many."""
        found = []
        for which, text in zip(("first", "second"), texts, strict=False):
            tokens = encoding.cut_typed(self.vocab, whole_characters(text), which)
            found.append(tuple(word.text for word in self.vocab.words(tokens)))
            if (number := len(found[-1])) > MAX_WORDS:
                raise ValueError(f"the {which} text has {number} words: at most {MAX_WORDS}")
        return found

    def count(self, word: str) -> int | None:
        """How often a word occurs in the training text; None for one that is not in it."""
        if word not in self.vocab or not any(self.vocab.counts):
            return None
        return self.vocab.counts[self.vocab[word]]

    def is_unknown(self, word: str) -> bool:
        """Whether the network reads `<unk>` in the place of a word."""
        return bool(self.vocab.unknown(self.vocab.pieces(word)))

    def one(self, word: str) -> str:
        """The word that is asked about: of a plural its singular, if the corpus labels that."""
        forms = word, PLURALS.get(word, ""), word.removesuffix("s"), word.removesuffix("es")
        return next((form for form in forms if form in self.labels(self.corpus.train)), word)

    def _key(self, word: str) -> str:
        """Under which name two senses of a word are known: its own, its hidden pair's, or ""."""
        labelled, held_out = self.labels(self.corpus.train), self.labels(self.corpus.valid)
        word = self.one(word)
        pairs = (key for key in labelled if word in key.split("/"))
        key = word if word in labelled else next(pairs, "")
        senses = [use.sense for use in labelled.get(key, []) if key in held_out]
        return key if len(senses) >= FEWEST and len(set(senses)) == 2 else ""

    def two_senses(self) -> list[str]:
        """All words, or hidden pairs, whose two senses the corpus knows."""
        return [k for k in self.labels(self.corpus.train) if self.key(k.split("/")[0]) == k]

    def with_senses(self, sentences: list[Words], most: int = MOST_PLACES) -> list[tuple[int, int]]:
        """Sentence and place of words whose two senses the corpus knows, the first in each."""
        places = ([i for i, word in enumerate(words) if self.key(word)] for words in sentences)
        return [(number, place) for number, some in enumerate(places) for place in some[:most]]

    def same_word(self, sentences: list[Words]) -> tuple[int, int]:
        """Places of a word of both with senses; else of the first such in each; else a rare one."""

        def rank(at: tuple[int, int]) -> tuple[bool, float]:
            word = sentences[0][at[0]]
            count = self.count(word) or 0
            return not self.key(word), count if count >= FEWEST else float("inf")

        i, j = min(self.same_words(sentences), key=rank, default=(0, 0))
        known = self.with_senses(sentences)
        if (0, i) in known and (1, j) in known:
            return i, j
        first = dict(reversed(known))  # in each sentence
        return first.get(0, i), first.get(1, j)

    def same_words(self, sentences: list[Words]) -> list[tuple[int, int]]:
        """Where both sentences have the same word, or its plural: a place in each."""
        one, two = ([*map(self.one, words)] for words in sentences)
        return [
            (i, j) for i, word in enumerate(one) for j, other in enumerate(two) if word == other
        ]

    def _read(self, which: str, words: Words) -> Layers:
        """A sentence with one vector for each word, and the attention of its tokens."""
        pieces, spans = encoding.as_pieces(self.vocab, words)
        found = encoding.get_layers(self.nets[which], self.vocab, pieces)
        inside = found.vectors[:, 1:-1].cpu()
        vectors = torch.stack([inside[:, a:b].mean(1) for a, b in spans], dim=1)
        return Layers(found.tokens, vectors, found.attention.cpu())

    def _uses(self, word: str, which: str) -> WordUses:
        if self.missing:
            raise ValueError(f"this needs the text: {self.missing}")
        self.was_read.add(word)
        return WordUses(self.nets[which], self.vocab, self.corpus, word, self.labels)

    def _window(self, words: Words, place: int, is_hidden: bool) -> Window:
        window = Window([*words[:place], self.one(words[place]), *words[place + 1 :]], place)
        return hide(self.vocab, window) if is_hidden else window

    def _use(self, which: str, *where: Any) -> np.ndarray:
        """A word's use in a sentence, see `_window`: (1 + layers, 2 D)."""
        return encoding.read_use(self.nets[which], self.vocab, self._window(*where)).numpy()

    def _noisy_uses(self, which: str, *where: Any) -> Tensor:
        """The same use with dropout: (1 + layers, repeats, 2 D)."""
        window = self._window(*where)
        readings = [window] * REPEATS + [hide(self.vocab, window)] * REPEATS
        read = partial(encoding.encode_with_dropout, at_once=REPEATS)
        vectors = encoding.use_vectors(self.with_dropout(which), self.vocab, readings, read)
        return torch.cat(vectors.split(REPEATS, dim=1), dim=2)

    def _with_dropout(self, which: str) -> BERTModel:
        """A copy of a network that has dropout; it shares the weights."""
        net = self.nets[which]
        copy = _without_weights(dataclasses.replace(net.config, dropout=DROPOUT))
        copy.load_state_dict(net.state_dict(), assign=True)
        return copy

    def meter(self, sentences: list[Words], layer: int, number: int = EVERY) -> list[Row]:
        """Where each word with senses stands between them, told `number` labels of each sense.

        For each word three rows as `widgets.views.Meter` wants them: of the network, of the
        untrained one, of a bag of words. From `low` to `high` is the spread by dropout; where that
        crosses the middle, or the held-out uses near it disagree, the row `is_undecided`.
        """
        rows = []
        for sentence, place in self.with_senses(sentences):
            words, key = sentences[sentence], self.key(sentences[sentence][place])
            which_one = f" (word {place + 1})" if words.count(words[place]) > 1 else ""
            one = "" if self.one(words[place]) == words[place] else f" (as {key})"
            row = {"label": f"{words[place]}{one}{which_one}, sentence {sentence + 1}"}
            for which in NETWORKS:
                uses = self.uses(key, which)
                row |= dict(zip(("left", "right"), uses.senses, strict=True))
                asked = which, words, place, uses.is_hidden
                noisy = self.noisy_uses(*asked)[layer].numpy()
                spread = uses.positions(noisy, uses.means(layer, number)).std()
                found = uses.place(self.use(*asked)[layer], layer, number, spread)
                ends = np.array([0, -spread, spread]) + found.position
                at, low, high = np.clip(ends, -1, 1).tolist()
                told = found._asdict() | dict(position=at, low=low, high=high, source=which)
                rows.append(row | told)
            told = self.bag(key).place(words, place, number)._asdict()
            rows.append(row | told | dict(low=None, high=None, source=BAG))
        return rows

    def similarity(
        self, sentences: list[Words], layer: int, is_raw: bool = False, which: str = "network"
    ) -> Tensor:
        """Cosines of the words of both sentences, the common direction taken out: (n, m)."""
        vectors = [self.read(which, words).vectors[layer] for words in sentences]
        return self.background(which).cosines(*vectors, layer, is_raw)

    def dropout_cosine(self, words: Words, place: int, layer: int) -> float:
        """The mean cosine of a word with itself, where only dropout differs."""
        noisy = self.noisy_uses("network", words, place, False)[layer]
        standing = noisy[:, : noisy.shape[1] // 2]
        found = self.background("network").cosines(*standing.chunk(2), layer)
        return found.diagonal().mean().item()

    def alike(
        self, sentences: list[Words], places: tuple[int, int], layer: int, which: str = "network"
    ) -> tuple[float, float, float] | None:
        """How alike one word is used in both sentences, by its main directions; None if unknown.

        The cosine, and its medians over held-out uses of one sense, and of two.
        """
        asked = list(zip(sentences, places, strict=True))
        word, other = (words[place] for words, place in asked)
        if self.one(word) != self.one(other) or not self.key(word):
            return None
        uses = self.uses(self.key(word), which)
        one, two = (self.use(which, *at, uses.is_hidden)[layer][None] for at in asked)
        known = uses.alike(layer)
        return known and (float(uses.cosines(one, two, layer)[0, 0]), *known)

    def nearest(self, words: Words, place: int, layer: int, which: str = "network") -> list[Use]:
        """The five occurrences in the corpus that are used most as this word is here."""
        uses = self.uses(self.key(words[place]) or words[place], which)
        return uses.nearest(self.use(which, words, place, uses.is_hidden)[layer], layer)

    def map(
        self, sentences: list[Words], word: str, layer: int, number: int, which: str
    ) -> tuple[list[Row], tuple[str, str], float | None]:
        """All uses of a word in the corpus, and those in the two sentences, in a plane.

        Points as `widgets.views.PointMap` wants them; the names of the axes; how many held-out uses
        stand on the side of their own sense, None if the senses are not known.
        """
        uses = self.uses(self.key(word) or word, which)
        word = self.one(word)
        same = uses.senses if uses.is_hidden else [word]  # of a hidden pair both words
        every = [(i, j) for i, words in enumerate(sentences) for j in range(len(words))]
        yours = [(i, j) for i, j in every if self.one(sentences[i][j]) in same]
        typed = [self.use(which, sentences[i], j, uses.is_hidden)[layer] for i, j in yours]
        places, names = uses.map(layer, number, typed)
        known = zip(uses.occurrences, uses.sentences, strict=True)
        told = [("corpus", o.sense or word, "", sentence) for o, sentence in known]
        told += [("typed", "yours", f"sentence {i + 1}", sentences[i]) for i, _ in yours]
        points = [
            {"x": x, "y": y, "kind": kind, "group": group, "label": label, "text": " ".join(text)}
            for (x, y), (kind, group, label, text) in zip(places, told, strict=True)
        ]
        return points, names, uses.accuracy(layer, number)

    def layers(self) -> dict[str, dict[str, float]]:
        """Mean cosines by layer: one word in two sentences, and two words, in both networks."""
        layers, series = range(1 + self.nets["network"].config.num_layers), {}
        for which in NETWORKS:
            spreads = [self.background(which).spreads(layer) for layer in layers]
            for number, name in enumerate(("one word", "two words")):
                series[f"{name}, {which}"] = {str(i): spreads[i][number][0] for i in layers}
        return series

    def guesses(self, words: Words, place: int) -> dict[str, Tensor]:
        """How probable each entry of the vocabulary is where a word is hidden, (V,) each.

        By both networks, and without one: by counted neighbours, by word frequencies.
        """
        vocab, found = self.vocab, {}
        hidden = hide(vocab, Window(list(words), place)).tokens
        pieces, spans = encoding.as_pieces(vocab, hidden)
        for which, net in self.nets.items():
            found[which] = mask_probabilities(net, vocab, pieces, [spans[place][0]])[0].cpu()
        if any(vocab.counts) and self.corpus.train:
            around = [vocab.sep_id, *vocab[words], vocab.sep_id]
            left, right = (torch.tensor([around[1 + place + step]]) for step in (-1, 1))
            between = self.between()
            counted = {"two neighbours, counted": between(left, right)[0]}
            counted["word frequencies"] = between.unigram.clone()
            for name, p in counted.items():
                p[list(vocab.special_ids)] = 0
                found[name] = p / p.sum()
        return found


def whole_characters(text: str) -> str:
    """What somebody typed, with "�" for halves of characters: no file and no picture takes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _without_weights(config: BERTConfig) -> BERTModel:
    """A new network for which nothing is drawn: beside it another thread may train."""
    with torch.device("meta"):
        return BERTModel.from_config(config)


def most_uses(config: BERTConfig) -> int:
    """Of how many words the uses are remembered: of wide networks fewer."""
    numbers = (1 + config.num_layers) * MOST * (2 * config.num_hiddens + MOST)
    return min(MOST_USES, max(8, MEMORY // (4 * numbers)))


def other_networks(corpus: str | Path = "bundled") -> dict[str, Callable[[], Lab]]:
    """The networks beside one, also that of notebook 2; each is loaded when it is asked for.

    Where its text cannot be had, a network comes without it.
    """

    def load(name: str | Path, prefer: str) -> Lab:
        net, vocab, _ = load_pretrained(name, prefer)
        try:
            return Lab(net, vocab, read_text(name))
        except OSError as error:  # WikiText-2, and no network
            return Lab(net, vocab, Corpus(str(name), "", ""), str(error))

    shipped = (name for name in CORPORA if (SHIPPED / f"{name}.safetensors").is_file())
    found = {f"in the package, {name}": partial(load, name, "shipped") for name in shipped}
    if trained_path(corpus).is_file():
        found[f"trained in notebook 2, {corpus}"] = partial(load, corpus, "trained")
    return found


def published(folder: str) -> Lab:
    """A published BERT, from a folder or by its name at a hub, beside the bundled corpus."""
    check_name(folder)
    if not Path(folder[:255]).expanduser().is_dir() and not is_hub_name(folder):
        raise ValueError(
            f"{folder[:80]!r} is no folder, and no name at a hub, which is like owner/name"
        )
    return Lab(*load_pretrained(folder)[:2], read_text("bundled"))
