"""Exercise 1: why is the masked-word loss so far above the next-sentence loss?

The same network is trained on the same text, but with fewer possible answers. Losses are in nats.
"""

import torch
from torch import Tensor

from ..pretraining.evaluation import Evaluation
from ..text.examples import PretrainingExamples
from ..text.tokenized import TokenizedCorpus
from ..text.vocabulary import SPECIAL_TOKENS, Vocab
from .short_runs import short_training, with_held_out


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
    return short_training(train_iter, num_steps), frequency_loss(train_iter)


def frequency_loss(train_iter: PretrainingExamples) -> float:
    """What knowing only the frequency of each word loses on the held-out questions, in nats."""
    counts = torch.tensor(train_iter.vocab.counts, dtype=torch.float64) + 1
    log_probability = counts.log() - counts.sum().log()
    labels = [batch.mlm_labels[batch.mlm_weights == 1] for batch in train_iter.valid]
    return -log_probability[torch.cat(labels)].mean().item()


def say_prediction(prediction: float | None, truth: float, within: float, unit: str = "") -> str:
    """Compare a prediction, None if there is none yet, with what came."""
    if prediction is None:
        return "No prediction yet: replace None in the cell above, and run both cells again."
    said = f"predicted {prediction:.3g}{unit}, found {truth:.3g}{unit}"
    return f"{said}: {'close' if abs(prediction - truth) <= within else 'a surprise'}"
