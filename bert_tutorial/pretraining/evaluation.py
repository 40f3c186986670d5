"""How well held-out text is predicted, by a network and by predictors without one.

Losses are in nats; accuracies go from 0 to 1.

Shapes: N places to predict, V vocabulary.
"""

import math
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..network.losses import read_out, rows_at_once
from ..network.model import BERTModel, check_vocab, in_mode
from ..text.examples import PretrainingExamples
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab
from ..text.wikitext_format import Corpus, paragraphs

DISCOUNT = 0.75  # of each count; what it frees goes to pairs that were never seen


class Evaluation(NamedTuple):
    """Held-out losses in nats, accuracies from 0 to 1."""

    mlm_loss: float
    mlm_accuracy: float
    nsp_loss: float
    nsp_accuracy: float

    def __str__(self):
        return f"{self.masked_words}, NSP loss {self.nsp_loss:.3f} ({self.nsp_accuracy:.1%} right)"

    @property
    def masked_words(self) -> str:
        """The result of the masked words alone, for a network that plays no other game."""
        return f"MLM loss {self.mlm_loss:.3f} ({self.mlm_accuracy:.1%} of masked words right)"


@torch.no_grad()
def evaluate(
    net: BERTModel, examples: PretrainingExamples, num_batches: int | None = None
) -> Evaluation:
    """Mean losses and accuracies on held-out examples, dropout off, in full precision.

    With `num_batches` on the first batches only; the network's mode is restored.
    """
    check_vocab(net, examples.vocab)
    device, dtype = net.mlm.bias.device, net.mlm.bias.dtype
    wide = torch.promote_types(dtype, torch.float32)  # sums of a bf16 network would lose digits
    totals = torch.zeros(2, 3, dtype=torch.float64)  # of words and of pairs: loss, right, number
    for index in range(min(num_batches or len(examples), len(examples))):
        batch = examples.batch(0, index).trim().to(device)
        for part in batch.split(rows_at_once(net.config, device)):
            with in_mode(net, training=False):  # between two parts others may use it
                features, nsp_logits, labels = read_out(net, part)
                mlm_logits = F.linear(features, net.word_vectors, net.mlm.bias)
            answers = (mlm_logits.to(wide), labels), (nsp_logits.to(wide), part.nsp_labels)
            for total, (logits, right) in zip(totals, answers, strict=True):
                total[0] += F.cross_entropy(logits, right, reduction="sum").item()
                total[1] += (logits.argmax(1) == right).sum().item()
                total[2] += len(right)
    return Evaluation(*(totals[:, :2] / totals[:, 2:]).flatten().tolist())


def evaluate_parts(
    net: BERTModel, examples: PretrainingExamples, corpus: Corpus
) -> dict[str, Evaluation]:
    """The same on the held-out text of each part of a corpus; {} for a corpus without parts."""
    found = {}
    for part in corpus.parts:
        text = TokenizedText.from_paragraphs(examples.vocab, paragraphs(part.valid))
        found[part.name] = evaluate(net, replace(examples, text=text))
    return found


class Baselines(NamedTuple):
    """What predictors without a network reach. One that is better has learned more."""

    uniform: float  # nats: every token of the vocabulary equally likely
    unigram: float  # nats: every token as likely as it is frequent in the training text
    unigram_accuracy: float  # always the most frequent token
    nsp: float  # nats: a coin, ln 2
    # Nats: what stood between two such neighbours, counted in the training text; of a large one in
    # its beginning.
    neighbours: float
    neighbours_accuracy: float

    def __str__(self):
        return (
            f"uniform {self.uniform:.3f}, word frequencies {self.unigram:.3f} "
            f"({self.unigram_accuracy:.1%} right), two neighbours counted {self.neighbours:.3f} "
            f"({self.neighbours_accuracy:.1%} right), NSP {self.nsp:.3f}"
        )


def baselines(train_iter: PretrainingExamples) -> Baselines:
    """Count a training text, and ask the counts about the masked tokens of its held-out text."""
    return count_baselines(train_iter.text, train_iter.vocab, train_iter.valid or train_iter)


@lru_cache(maxsize=4)  # seconds on a large vocabulary; runs on the same text share them
def count_baselines(text: TokenizedText, vocab: Vocab, examples: PretrainingExamples) -> Baselines:
    """`baselines` of a training text, by the masked tokens of some examples."""
    counts = torch.tensor(vocab.counts, dtype=torch.float64) + 1  # so that no token is impossible
    log_probability = counts.log() - counts.sum().log()
    left, right, labels = true_neighbours(vocab, examples)
    between, losses, hits = Between(text, vocab), [], []
    for some in torch.arange(len(labels))[:4096].split(128):  # places: those are enough
        p = between(left[some], right[some])
        losses.append(-p.gather(1, labels[some, None])[:, 0].log())
        hits.append(p.argmax(1) == labels[some])
    return Baselines(
        uniform=math.log(len(vocab)),
        unigram=-log_probability[labels].mean().item(),
        unigram_accuracy=(labels == counts.argmax()).double().mean().item(),
        nsp=math.log(2),
        neighbours=torch.cat(losses).mean().item(),
        neighbours_accuracy=torch.cat(hits).double().mean().item(),
    )


def true_neighbours(vocab: Vocab, examples: PretrainingExamples) -> tuple[Tensor, Tensor, Tensor]:
    """Each place's left and right neighbour (`<sep>`: a sentence's end), and the answer: (N,)."""
    found = []
    for batch in (examples.batch(0, i) for i in range(len(examples))):
        rows, used = batch.token_ids.clone(), batch.mlm_weights.bool()
        row, slot = used.nonzero(as_tuple=True)
        place, labels = batch.pred_positions[row, slot], batch.mlm_labels[row, slot]
        rows[row, place] = labels  # as the text was before it was masked
        rows[rows == vocab.cls_id] = vocab.sep_id
        found.append((rows[row, place - 1], rows[row, place + 1], labels))
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


class Between:
    """A guess from two neighbours: p(word | left) p(word | right) / p(word), no network at all.

    Args:
        text: The training text; pairs of neighbours are counted in it.
        vocab: With the counts of single words.

    Source: Ney, Essen and Kneser 1994 (absolute discounting).
    """

    def __init__(self, text: TokenizedText, vocab: Vocab):
        self.vocab = vocab
        counts = torch.tensor(vocab.counts, dtype=torch.float32) + 1
        self.unigram = counts / counts.sum()
        self.after = count_pairs(text, vocab)  # of each word (row), what comes after it
        self.before = self.after.T.coalesce()

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Neighbours, (N,) each -> probabilities of each word between them, (N, V)."""
        p_left = discounted(self.after.index_select(0, left).to_dense(), self.unigram)
        p_right = discounted(self.before.index_select(0, right).to_dense(), self.unigram)
        p = p_left * p_right / self.unigram
        p[:, self.vocab.sep_id] = 0  # a border is a neighbour, and never the answer
        return p / p.sum(1, keepdim=True)


def count_pairs(text: TokenizedText, vocab: Vocab) -> Tensor:
    """How often each word stands before each other one: sparse (V, V), borders as `<sep>`.

    Of a large text its beginning is counted, a share that fits into memory.
    """
    text = text.beginning()
    ids, starts = text.token_ids.long(), text.sentence_starts
    before = ids.roll(1)
    before[starts[:-1]] = vocab.sep_id
    ends = ids[starts[1:] - 1]
    after = torch.cat([ids, torch.full_like(ends, vocab.sep_id)])
    pairs, size = torch.stack([torch.cat([before, ends]), after]), (len(vocab), len(vocab))
    ones = torch.ones(len(after))
    return torch.sparse_coo_tensor(pairs, ones, size, check_invariants=False).coalesce()


def discounted(counts: Tensor, unigram: Tensor) -> Tensor:
    """Counts (N, V) -> probabilities (N, V): a part is taken off each, and given by frequency."""
    total = counts.sum(1, keepdim=True)
    freed = DISCOUNT * (counts > 0).sum(1, keepdim=True) / total.clamp(min=1)
    freed = freed.where(total > 0, 1.0)  # a word that was never seen says nothing
    return (counts - DISCOUNT).clamp(min=0) / total.clamp(min=1) + freed * unigram
