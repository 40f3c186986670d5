"""Try it yourself: word pieces, whole words hidden, the order of sentences.

Shapes: B rows, L positions, P slots.
"""

from collections import Counter
from itertools import chain

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ..text.corpora import read_text
from ..text.examples import Batch, PretrainingExamples
from ..text.masking import hide_at
from ..text.pairs import Pairs
from ..text.tokenized import TokenizedCorpus, TokenizedText
from ..text.vocabulary import SPECIAL_TOKENS, UNK, Vocab
from ..text.wikitext_format import paragraphs


def wordpiece_corpus(num_entries: int = 2000, corpus: str = "bundled") -> TokenizedCorpus:
    """A corpus cut into word pieces, which are learned from its training text; takes seconds."""
    texts = [
        [[" ".join(words) for words in paragraph] for paragraph in paragraphs(part)]
        for part in read_text(corpus)[1:]
    ]
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=num_entries, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(chain.from_iterable(texts[0]), trainer)

    def cut(sentence: str) -> list[str]:
        return tokenizer.encode(sentence).tokens

    cut_texts = [[[cut(sentence) for sentence in part] for part in text] for text in texts]
    counts = Counter(chain.from_iterable(chain.from_iterable(cut_texts[0])))
    itos = [tokenizer.id_to_token(number) for number in range(tokenizer.get_vocab_size())]
    vocab = Vocab.from_counts(itos, [counts[token] for token in itos])
    vocab.tokenize = cut
    return TokenizedCorpus(*(TokenizedText.from_paragraphs(vocab, x) for x in cut_texts), vocab)


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

    def pairs(self, epoch: int) -> list[Pairs]:
        """The pairs of an epoch, none of them from elsewhere."""
        found = []
        for count, pairs in zip(self.sentence_counts, super().pairs(epoch), strict=True):
            both = torch.stack([pairs.first, pairs.first + count])
            found.append(Pairs(*both.where(pairs.is_next == 1, both.flip(0)), pairs.is_next))
        return found
