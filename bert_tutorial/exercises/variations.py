"""What lesson 4 tries out: a text, its examples or its network changed, and trained for seconds.

Exercise 1 asks why the masked-word loss is so far above the next-sentence loss: fewer possible
answers tell. Losses are in nats. Shapes: B rows, L positions, P slots.
"""

import random
from collections import Counter
from itertools import chain
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ..network.model import BERTModel
from ..pretraining.evaluation import Evaluation, baselines, evaluate
from ..pretraining.run import Settings
from ..pretraining.training import train_steps
from ..text.corpora import read_text
from ..text.examples import HELD_OUT_BATCH_SIZE, Batch, PretrainingExamples
from ..text.masking import hide_at
from ..text.pairs import Pairs
from ..text.tokenized import TokenizedCorpus, TokenizedText
from ..text.vocabulary import SPECIAL_TOKENS, UNK, Vocab
from ..text.wikitext_format import paragraphs


def made_up_corpus() -> TokenizedCorpus:
    """A text that is learned in seconds: each paragraph has one of four topics, six words each."""
    draw = random.Random(0)

    def sentence(topic: int) -> list[str]:
        return [f"t{topic}w{int(6 * draw.random() ** 2)}" for _ in range(draw.randint(3, 9))]

    texts = []
    for num_paragraphs in (400, 60):  # to train with, and held out
        topics = [draw.randrange(4) for _ in range(num_paragraphs)]
        texts.append([[sentence(topic) for _ in range(draw.randint(2, 4))] for topic in topics])
    vocab = Vocab(word for paragraph in texts[0] for words in paragraph for word in words)
    return TokenizedCorpus(*(TokenizedText.from_paragraphs(vocab, x) for x in texts), vocab)


def with_held_out(
    kind: type[PretrainingExamples],
    corpus: TokenizedCorpus,
    batch_size: int = 128,
    max_len: int = 64,
    **settings: float,
) -> PretrainingExamples:
    """Training examples of a kind, with held-out ones of the same kind, which always hide 15 %."""
    held_out = kind(corpus.vocab, corpus.valid, HELD_OUT_BATCH_SIZE, max_len, fixed=True)
    return kind(corpus.vocab, corpus.train, batch_size, max_len, valid=held_out, **settings)


def short_training(
    train_iter: PretrainingExamples,
    num_steps: int = 60,
    *,
    settings: Settings | None = None,
    **sizes: Any,
) -> Evaluation:
    """Train a new small network, and ask it about the held-out text, `train_iter.valid`.

    `settings` say how, or else how many steps with the plain ones; `sizes` are of the network, such
    as num_heads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = BERTModel(len(train_iter.vocab), **{"dropout": 0.0, **sizes})
    for _ in train_steps(net, train_iter, settings or Settings(num_steps=num_steps)):
        pass
    return evaluate(net, train_iter.valid)


def cut_vocabulary(corpus: TokenizedCorpus, num_answers: int) -> TokenizedCorpus:
    """The same corpus with fewer words that can be hidden; all rarer ones become `<unk>`."""
    vocab, special = corpus.vocab, len(SPECIAL_TOKENS)
    most = len(vocab) - special + 1
    if not 2 <= num_answers <= most:
        raise ValueError(f"num_answers is {num_answers!r}, but must be from 2 to {most}")
    size = special + num_answers - 1
    counts = list(vocab.counts[:size])
    counts[vocab.unk_id] += sum(vocab.counts[size:])

    def cut(ids: Tensor) -> Tensor:
        return ids.masked_fill(ids >= size, vocab.unk_id)

    texts = (text._replace(token_ids=cut(text.token_ids)) for text in corpus[:2])
    return TokenizedCorpus(*texts, Vocab.from_counts(vocab.itos[:size], counts))


def train_with_cut(
    corpus: TokenizedCorpus, num_answers: int, num_steps: int = 60
) -> tuple[Evaluation, float]:
    """What the network reaches with a cut vocabulary, and what word frequencies do, in nats."""
    train_iter = with_held_out(PretrainingExamples, cut_vocabulary(corpus, num_answers))
    return short_training(train_iter, num_steps), baselines(train_iter).unigram


def prediction(value: float | None) -> float | None:
    """What somebody predicts, None for nothing yet; a ValueError for what is no number."""
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"{str(value)[:80]!r} is no number: predict one, such as 0.5")
    return value


def say_prediction(prediction: float | None, truth: float, within: float, unit: str = "") -> str:
    """Compare a prediction, None if there is none yet, with what came."""
    if prediction is None:
        return "No prediction yet: replace None above, and run that cell and this one again."
    said = f"predicted {prediction:.3g}{unit}, found {truth:.3g}{unit}"
    return f"{said}: {'close' if abs(prediction - truth) <= within else 'a surprise'}"


def wordpiece_corpus(num_entries: int = 2000, corpus: str = "bundled") -> TokenizedCorpus:
    """A corpus cut into word pieces, which are learned from its training text; takes seconds."""
    texts = [
        [[" ".join(words) for words in paragraph] for paragraph in paragraphs(part)]
        for part in read_text(corpus)[1:3]
    ]
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    how = dict(vocab_size=num_entries, special_tokens=list(SPECIAL_TOKENS), show_progress=False)
    tokenizer.train_from_iterator(chain.from_iterable(texts[0]), trainers.WordPieceTrainer(**how))

    def cut(sentence: str) -> list[str]:
        return tokenizer.encode(sentence).tokens

    texts = [[list(map(cut, paragraph)) for paragraph in text] for text in texts]
    counts = Counter(chain.from_iterable(chain.from_iterable(texts[0])))
    itos = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    vocab = Vocab.from_counts(itos, [counts[token] for token in itos])
    vocab.tokenize = cut
    return TokenizedCorpus(*(TokenizedText.from_paragraphs(vocab, x) for x in texts), vocab)


def choose_whole_words(
    vocab: Vocab, token_ids: Tensor, generator: torch.Generator, mask_rate: float, num_slots: int
) -> tuple[Tensor, Tensor]:
    """As `choose_positions`, but of a word all pieces are chosen, or none.

    Words are added while they fit, and the first one in any case.
    """
    length = token_ids.shape[1]
    is_padding = token_ids == vocab.pad_id
    can_be_chosen = ~is_padding & (token_ids != vocab.cls_id) & (token_ids != vocab.sep_id)
    wanted = ((~is_padding).sum(1, keepdim=True) * mask_rate).round().clamp(1, num_slots)
    # A random number for each word, which all its pieces share; the highest come first.
    begins = torch.tensor([not token.startswith("##") for token in vocab.itos])
    word = begins[token_ids].cumsum(1)  # (B, L), number of its word in the row
    score = torch.rand(len(word), length + 1, generator=generator).gather(1, word)
    score = score.masked_fill(~can_be_chosen, -1.0)
    order = score.argsort(dim=1, descending=True, stable=True)
    score, word = score.gather(1, order), word.gather(1, order)
    # How many positions are chosen once the word of this one is: (B, L).
    until = (score[:, None, :] >= score[:, :, None]).sum(2)
    used = (score >= 0) & ((until <= wanted) | (word == word[:, :1]))
    positions = order.masked_fill(~used, length)[:, :num_slots].sort(1).values
    used = positions < length
    return positions.masked_fill(~used, 0), used


class WholeWordExamples(PretrainingExamples):
    """Examples in which whole words are hidden; arguments as in `PretrainingExamples`.

    Source: Devlin et al., note of May 2019 at github.com/google-research/bert.
    """

    def batch(self, epoch: int, index: int) -> Batch:
        """The pairs of `PretrainingExamples`, masked anew."""
        plain = super().batch(epoch, index)
        answers = plain.mlm_labels.where(plain.mlm_weights == 1, self.vocab.cls_id)
        text = plain.token_ids.scatter(1, plain.pred_positions, answers)  # before it was masked
        draw = self.generator(0 if self.fixed else epoch, index, "whole words")
        num_slots = plain.mlm_labels.shape[1]
        chosen = choose_whole_words(self.vocab, text, draw, self.mask_rate, num_slots)
        masked = hide_at(self.vocab, text, *chosen, draw)
        return Batch(masked.token_ids, *plain[1:3], *masked[1:], plain.nsp_labels)


class SentenceOrderExamples(PretrainingExamples):
    """Two sentences in a row, in order (label 1, as often as `next_sentence_rate`) or swapped (0).

    Source: Lan et al. 2020 (ALBERT), section 3.1.
    """

    def pairs(self, epoch: int, block: int = 0) -> list[Pairs]:
        """The pairs of an epoch, none of them from elsewhere."""
        found = []
        for count, pairs in zip(self.sentence_counts, super().pairs(epoch, block), strict=True):
            both = torch.stack([pairs.first, pairs.first + count])
            found.append(Pairs(*both.where(pairs.is_next == 1, both.flip(0)), pairs.is_next))
        return found
