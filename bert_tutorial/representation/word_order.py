"""Does a network know the order of words? A bag of words cannot: a swap leaves it as it is."""

import random
from itertools import pairwise

import torch

from ..network.model import BERTModel, dropout_off
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
    generator, special = random.Random(0), set(vocab.special_ids)  # unknown words are <unk>
    sentences = [sentence for p in paragraphs(text) for sentence in p if len(sentence) >= 4]
    asked = []
    for sentence in generator.sample(sentences, min(num_sentences, len(sentences))):
        fits = sentence[: net.config.max_len - 2]
        pairs = enumerate(pairwise(vocab[fits]))
        if known := [i for i, pair in pairs if len({*pair} - special) == 2]:
            i = generator.choice(known)
            swapped = [*fits[:i], fits[i + 1], fits[i], *fits[i + 2 :]]
            asked += [Window(order, place) for order in (fits, swapped) for place in (i, i + 1)]
    if not asked:
        raise ValueError("no sentence of this text has two known neighbouring words to swap")
    scores = []
    for start in track(range(0, len(asked), ROWS_AT_ONCE), "swapping words of sentences"):
        some = asked[start : start + ROWS_AT_ONCE]
        rows = [to_row(vocab, hide(vocab, window).tokens) for window in some]
        labels = torch.tensor([[vocab[tokens[place]]] for tokens, place, _ in some])
        with dropout_off(net):
            token_ids, *rest = to_batch(net, vocab, rows)
            places = torch.tensor([[1 + place] for _, place, _ in some])  # <cls> is at 0
            logits = net(token_ids, *rest, places.to(token_ids.device)).mlm_logits[:, 0]
        scores.append(logits.log_softmax(-1).cpu().gather(1, labels))
    true_order, swapped = torch.cat(scores).view(-1, 2, 2).sum(2).unbind(1)
    return (true_order > swapped).double().mean().item()
