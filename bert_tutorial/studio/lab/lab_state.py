"""What the sentence lab shows, as plain numbers: a state without widgets.

Everything stands beside a control: the same network untrained, a bag of words, word frequencies.

Shapes: n words of the first sentence, m of the second.
"""

import numpy as np
import torch
from torch import Tensor

from ...representation.encoding import get_layers
from ...representation.fill_mask import Guess, fill_mask
from ...representation.occurrences import as_pieces
from ...representation.readings import read_use, shaken_uses
from .lab import MAX_WORDS, NETWORKS, LabNetwork
from .uses import WordUses

MOST_PLACES = 6  # of words between their senses, in a sentence: each is read many times


def whole_characters(text: str) -> str:
    r"""What somebody typed, with "�" for halves of characters: no file and no picture takes them.

    >>> whole_characters("a crane \ud83e")
    'a crane �'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class LabState:
    """Two sentences and a network, and all that is asked of them.

    Args:
        lab: The network.
        text_a, text_b: What somebody typed.

    Attributes:
        words: The words of each sentence.

    Raises:
        ValueError: A sentence without a word, or with more than `MAX_WORDS`.
    """

    def __init__(self, lab: LabNetwork, text_a: str, text_b: str):
        self.lab, self.words = lab, []
        for name, text in (("first", text_a), ("second", text_b)):
            tokens = lab.vocab.tokenize(whole_characters(text))
            words = [word.text for word in lab.vocab.words(tokens)]
            if not words:
                raise ValueError(
                    f"the {name} text has no word in it: type a sentence, for example: a crane is "
                    "flying"
                )
            if len(words) > MAX_WORDS:
                raise ValueError(f"the {name} text has {len(words)} words: at most {MAX_WORDS}")
            self.words.append(words)
        self._layers = {which: [self._read(which, w) for w in self.words] for which in NETWORKS}

    def _read(self, which: str, words: list[str]) -> tuple[Tensor, Tensor]:
        """Vectors (1 + layers, n, D) of a sentence's words, and attention of its tokens."""
        return self.lab.remember((which, *words), lambda: self._read_anew(which, words))

    def _read_anew(self, which: str, words: list[str]) -> tuple[Tensor, Tensor]:
        pieces, spans = as_pieces(self.lab.vocab, words)
        found = get_layers(self.lab.nets[which], self.lab.vocab, pieces)
        inside = found.vectors[:, 1:-1].cpu()
        vectors = torch.stack([inside[:, a:b].mean(1) for a, b in spans], dim=1)
        return vectors, found.attention.cpu()

    def count(self, word: str) -> int | None:
        """How often a word occurs in the training text; None for one that is not in it."""
        vocab = self.lab.vocab
        if word not in vocab or not any(vocab.counts):
            return None
        return vocab.counts[vocab[word]]

    def is_unknown(self, word: str) -> bool:
        """Whether the network reads `<unk>` in the place of a word."""
        return bool(self.lab.vocab.unknown(as_pieces(self.lab.vocab, [word])[0]))

    def with_senses(self) -> list[tuple[int, int]]:
        """Sentence and place of the words whose two senses the corpus knows.

        Of each sentence the first `MOST_PLACES`; `has_more_senses` says whether there are more.
        """
        places = (places[:MOST_PLACES] for places in self._places_with_senses())
        return [(sentence, place) for sentence, some in enumerate(places) for place in some]

    def has_more_senses(self) -> bool:
        """Whether `with_senses` leaves words out."""
        return any(len(places) > MOST_PLACES for places in self._places_with_senses())

    def _places_with_senses(self) -> list[list[int]]:
        return [[i for i, word in enumerate(words) if self.lab.key(word)] for words in self.words]

    def unread(self) -> list[str]:
        """Words with senses whose uses in the corpus are still to be read, which takes a second."""
        keys = {self.lab.key(self.words[sentence][place]) for sentence, place in self.with_senses()}
        return sorted(keys - self.lab.was_read)

    def same_word(self) -> tuple[int, int]:
        """Places of a word that both sentences have, one with senses if there is one; or (0, 0)."""
        both = [
            (i, j)
            for i, word in enumerate(self.words[0])
            for j, other in enumerate(self.words[1])
            if word == other
        ]
        return min(both, key=lambda pair: not self.lab.key(self.words[0][pair[0]]), default=(0, 0))

    def use(self, which: str, sentence: int, place: int, uses: WordUses, layer: int) -> np.ndarray:
        """A word's use in a sentence: (2 D,)."""
        net, words = self.lab.nets[which], self.words[sentence]
        return read_use(net, self.lab.vocab, words, place, uses.is_hidden)[layer].numpy()

    def similarity(self, layer: int, is_raw: bool = False, which: str = "network") -> Tensor:
        """Cosines of the words of both sentences, the common direction taken out: (n, m)."""
        vectors = [vectors[layer] for vectors, _ in self._layers[which]]
        return self.lab.background(which).cosines(*vectors, layer, is_raw)

    def alike(self, place_a: int, place_b: int, layer: int) -> tuple[float, float, float] | None:
        """How alike one word is used in both sentences: a cosine along its main directions.

        Returns:
            The cosine, and its median over held-out uses of one sense, and of two senses; None if
            the words differ, or the senses of the word are not known.
        """
        word = self.words[0][place_a]
        if word != self.words[1][place_b] or not (key := self.lab.key(word)):
            return None
        uses = self.lab.uses(key, "network")
        if (known := uses.alike(layer)) is None:
            return None
        one, other = (
            self.use("network", sentence, place, uses, layer)[None]
            for sentence, place in ((0, place_a), (1, place_b))
        )
        return float(uses.cosines(one, other, layer)[0, 0]), *known

    def dropout_cosine(self, sentence: int, place: int, layer: int) -> float:
        """The mean cosine of a word with itself, where only dropout differs."""
        words = self.words[sentence]
        noisy = self.lab.remember(
            ("shaken", place, *words),
            lambda: shaken_uses(self.lab.shaken("network"), self.lab.vocab, words, place),
        )
        size = noisy.shape[2] // 2
        rows = noisy[layer, :, :size]
        half = len(rows) // 2
        found = self.lab.background("network").cosines(rows[:half], rows[half:], layer)
        return found.diagonal().mean().item()

    def attention(self, sentence: int, which: str) -> tuple[list[str], Tensor]:
        """The tokens of a sentence, and their attention: (number of layers, H, L, L)."""
        cls, sep = self.lab.vocab.to_tokens([self.lab.vocab.cls_id, self.lab.vocab.sep_id])
        pieces, _ = as_pieces(self.lab.vocab, self.words[sentence])
        return [cls, *pieces, sep], self._layers[which][sentence][1]

    def guesses(self, sentence: int, place: int, number: int = 10) -> dict[str, list[Guess]]:
        """The likeliest words where one is hidden: both networks, counted neighbours, frequencies.

        Raises:
            ValueError: The network has no masked-word head.
        """
        vocab, words = self.lab.vocab, list(self.words[sentence])
        mask = vocab.to_tokens(vocab.mask_id)
        which_mask, words[place] = words[:place].count(mask), mask
        number, found = min(number, len(vocab.word_ids)), {}
        for which in NETWORKS:
            found[which] = fill_mask(self.lab.nets[which], vocab, " ".join(words), number)
            found[which] = found[which][which_mask]
        if any(vocab.counts):
            around = vocab[[vocab.to_tokens(vocab.sep_id), *words]]
            around = [*around, vocab.sep_id]
            left, right = (torch.tensor([around[1 + place + step]]) for step in (-1, 1))
            between = self.lab.between()
            for name, p in (
                ("two neighbours, counted", between(left, right)[0]),
                ("word frequencies", between.unigram.clone()),
            ):
                p[list(vocab.special_ids)] = 0
                best = (p / p.sum()).topk(number)
                tokens = vocab.to_tokens(best.indices.tolist())
                found[name] = [
                    Guess(*pair) for pair in zip(tokens, best.values.tolist(), strict=True)
                ]
        return found

    def probability(self, sentence: int, place: int, word: str) -> float | None:
        """How probable the network finds a word in that place; None for one it does not know."""
        vocab, words = self.lab.vocab, list(self.words[sentence])
        mask = vocab.to_tokens(vocab.mask_id)
        which_mask, words[place] = words[:place].count(mask), mask
        every = fill_mask(self.lab.nets["network"], vocab, " ".join(words), len(vocab.word_ids))
        return next((g.probability for g in every[which_mask] if g.token == word), None)
