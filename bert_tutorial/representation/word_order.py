"""Does a network know the order of words? A bag of words cannot: a swap leaves it as it is.

Shapes: B rows, L positions.
"""

import random

import torch
from torch import nn

from ..network.model import BERTModel, check_vocab, dropout_off
from ..notebook import track
from ..text.vocabulary import Vocab
from ..text.wikitext_format import paragraphs


def word_order_accuracy(
    net: BERTModel, vocab: Vocab, text: str, num_sentences: int = 500, seed: int = 0
) -> float:
    """How often two neighbouring words are more probable in their true order than swapped.

    The two words are drawn for each sentence. Each of them is hidden in turn, in the true order and
    in the swapped one, and the network's log probabilities of what stands there are added up.
    Guessing is right half of the time.

    Args:
        net, vocab: Network and vocabulary.
        text: A text in WikiText's format, such as `read_text("bundled").valid`.
        num_sentences: How many of its sentences, drawn at random.
        seed: What the draws follow from.

    Returns:
        From 0 to 1; 0.5 is guessing.

    Raises:
        ValueError: No sentence has two known words side by side.
    """
    check_vocab(net, vocab)
    generator = random.Random(seed)
    sentences = [vocab[s] for paragraph in paragraphs(text) for s in paragraph if len(s) >= 4]
    rows, places, labels = [], [], []
    for sentence in generator.sample(sentences, min(num_sentences, len(sentences))):
        fits = sentence[: net.config.max_len - 2]
        known = [
            i
            for i in range(len(fits) - 1)
            if fits[i] != fits[i + 1] and not {fits[i], fits[i + 1]} & set(vocab.special_ids)
        ]
        if not known:
            continue
        i = generator.choice(known)
        swapped = [*fits[:i], fits[i + 1], fits[i], *fits[i + 2 :]]
        for order in (fits, swapped):
            for place in (i + 1, i + 2):  # in the row, where <cls> is at 0
                row = [vocab.cls_id, *order, vocab.sep_id]
                labels.append(row[place])
                row[place] = vocab.mask_id
                rows.append(torch.tensor(row))
                places.append(place)
    if not rows:
        raise ValueError(
            "no sentence of this text has two neighbouring words to swap that are known"
        )
    scores = _log_probabilities(net, vocab, rows, places, labels).view(-1, 2, 2).sum(2)
    return (scores[:, 0] > scores[:, 1]).double().mean().item()


def _log_probabilities(
    net: BERTModel, vocab: Vocab, rows: list, places: list[int], labels: list[int]
) -> torch.Tensor:
    """Log probability, in nats, of each label at the place of its row: (B,)."""
    device, found = next(net.parameters()).device, []
    with dropout_off(net):
        for start in track(range(0, len(rows), 256), "swapping words in parts of the text"):
            some = slice(start, start + 256)
            token_ids = nn.utils.rnn.pad_sequence(rows[some], True, vocab.pad_id).to(device)
            lengths = torch.tensor([len(row) for row in rows[some]], device=device)
            positions = torch.tensor(places[some], device=device)[:, None]
            output = net(token_ids, torch.zeros_like(token_ids), lengths, positions)
            log_probability = output.mlm_logits[:, 0].log_softmax(-1).cpu()
            found.append(log_probability.gather(1, torch.tensor(labels[some])[:, None])[:, 0])
    return torch.cat(found)
