"""Does a network know the order of words? A bag of words cannot: a swap leaves it as it is."""

import random
from itertools import pairwise

import torch

from ..network.model import BERTModel, check_vocab, dropout_off
from ..notebook import track
from ..text.vocabulary import Vocab
from ..text.wikitext_format import paragraphs
from .encoding import Window, hide, to_batch, to_row

ROWS_AT_ONCE = 256


def word_order_accuracy(net: BERTModel, vocab: Vocab, text: str, num_sentences: int = 500) -> float:
    """How often two neighbouring words are more probable in their true order than swapped.

    The sentences of a text, and two words of each, are drawn. Each of the two is hidden in turn, in
    the true order and in the swapped one, and the network's log probabilities of what stands there
    are added up. From 0 to 1; guessing is right half of the time.
    """
    check_vocab(net, vocab)
    generator, special = random.Random(0), set(vocab.special_ids)  # unknown words are <unk>
    sentences = [sentence for p in paragraphs(text) for sentence in p if len(sentence) >= 4]
    rows, places, labels = [], [], []
    for sentence in generator.sample(sentences, min(num_sentences, len(sentences))):
        fits = sentence[: net.config.max_len - 2]
        pairs = enumerate(pairwise(vocab[fits]))
        known = [i for i, pair in pairs if len({*pair} - special) == 2]
        if not known:
            continue
        i = generator.choice(known)
        swapped = [*fits[:i], fits[i + 1], fits[i], *fits[i + 2 :]]
        for order in (fits, swapped):
            for place in (i, i + 1):
                rows.append(to_row(vocab, hide(vocab, Window(order, place)).tokens))
                places.append(1 + place)  # in the row, where <cls> is at 0
                labels.append(vocab[order[place]])
    if not rows:
        raise ValueError("no sentence of this text has two known neighbouring words to swap")
    scores = []
    for start in track(range(0, len(rows), ROWS_AT_ONCE), "swapping words in parts of the text"):
        some = slice(start, start + ROWS_AT_ONCE)
        with dropout_off(net):
            token_ids, *rest = to_batch(net, vocab, rows[some])
            positions = torch.tensor(places[some], device=token_ids.device)[:, None]
            output = net(token_ids, *rest, positions)
        log_probability = output.mlm_logits[:, 0].log_softmax(-1).cpu()
        scores.append(log_probability.gather(1, torch.tensor(labels[some])[:, None])[:, 0])
    true_order, swapped = torch.cat(scores).view(-1, 2, 2).sum(2).unbind(1)
    return (true_order > swapped).double().mean().item()
