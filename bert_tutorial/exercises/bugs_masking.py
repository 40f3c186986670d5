"""Bugs in the masked-word game: special tokens drawn, masks frozen, labels that leak.

Each has its unfixed code (`..._as_it_was`), its definition (`..._by_definition`), and a worked
answer.

Shapes: B rows, L positions, P slots.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from ..studio.published.wordpiece import BERT_SPECIAL_TOKENS, WordPieceVocab
from ..text.masking import MaskedRows, mask_tokens
from ..text.vocabulary import Vocab
from .check import Function, Specification, make_check

# 4. Special tokens drawn as replacements.


def random_words_as_it_was(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    """Any entry may be drawn."""
    return torch.randint(len(vocab), (count,), generator=generator)


def right_random_words(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    """Draw places in the list of words, and look up the words."""
    drawn = torch.randint(len(vocab.word_ids), (count,), generator=generator)
    return vocab.word_ids[drawn]


def random_words_by_definition(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    """Draw entries one by one; put the special ones back."""
    drawn = []
    while len(drawn) < count:
        entry = int(torch.randint(len(vocab), (1,), generator=generator))
        if entry not in vocab.special_ids:
            drawn.append(entry)
    return torch.tensor(drawn)


def some_vocabulary(size: int, generator: torch.Generator) -> tuple[Vocab, int, torch.Generator]:
    """A vocabulary of a few words; in every other one the special tokens do not come first."""
    words = [f"word{number}" for number in range(size + 1)]
    if size % 2:
        return Vocab(words), 4, generator
    from tokenizers import Tokenizer, models

    entries = {token: n for n, token in enumerate([*words[:2], *BERT_SPECIAL_TOKENS, *words[2:]])}
    return WordPieceVocab(Tokenizer(models.WordPiece(entries, unk_token="[UNK]"))), 4, generator


def see_draws(function: Function, vocab: Vocab, count: int, generator: torch.Generator) -> Any:
    """Which entries come in many draws, and whether all come about as often."""
    draws = 200 * len(vocab)
    entries = function(vocab, draws, generator)
    counts = Counter(entries.flatten().tolist())
    words = vocab.word_ids.tolist()
    share, missing = draws / len(words), [number for number in words if not counts[number]]
    return {
        "special tokens among the draws": [
            vocab.itos[n] for n in sorted(counts) if n in vocab.special_ids
        ],
        "numbers that are no entry": [n for n in sorted(counts) if not 0 <= n < len(vocab)],
        "words that are never drawn": vocab.to_tokens(missing),
        "all words about equally often": all(abs(counts[n] - share) < share / 2 for n in words),
        "the draws follow from the generator": torch.equal(
            *(function(vocab, 50, torch.Generator().manual_seed(1)) for _ in range(2))
        ),
    }


def _behind_the_special(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(len(vocab.special_ids), len(vocab), (count,), generator=generator)


def _places_of_words(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(len(vocab.word_ids), (count,), generator=generator)


def _one_too_early(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(max(vocab.special_ids), len(vocab), (count,), generator=generator)


def _without_last(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(len(vocab.word_ids) - 1, (count,), generator=generator)
    return vocab.word_ids[drawn]


def _often_unknown(vocab: Vocab, count: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randint(len(vocab), (count,), generator=generator)
    return torch.where(torch.isin(drawn, vocab.word_ids), drawn, vocab.word_ids[0])


RANDOM_WORDS_MISSES = {
    "As it was: special tokens are still drawn.": random_words_as_it_was,
    "Right where the special tokens come first. In other vocabularies, such as published BERT's, "
    "they stand elsewhere: the vocabulary knows which entries are words.": _behind_the_special,
    "You draw as many numbers as there are words, but these are places in the list of words, not "
    "the words' own numbers.": _places_of_words,
    "Nearly: the range begins one too early, at the last special token.": _one_too_early,
    "No special token is drawn, but neither is the last word: randint leaves out its upper end.": (
        _without_last
    ),
    "No special token is drawn, but the word that takes their place comes too often.": (
        _often_unknown
    ),
}
CHECK_RANDOM_WORDS = make_check(
    Specification(reference=random_words_by_definition, inputs=some_vocabulary, trial=see_draws),
    right_random_words,
    RANDOM_WORDS_MISSES,
)

# 5. Masks frozen over epochs.


def epochs_as_it_was(
    vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> list[MaskedRows]:
    """Masks are drawn once."""
    masked = mask_tokens(vocab, token_ids, generator)
    return [masked for _ in range(num_epochs)]


def right_epochs(
    vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> list[MaskedRows]:
    """Masks are drawn for each epoch, and the generator goes on."""
    return [mask_tokens(vocab, token_ids, generator) for _ in range(num_epochs)]


def some_rows(size: int, generator: torch.Generator) -> tuple[Vocab, Tensor, int, torch.Generator]:
    """A vocabulary, a few rows of 40 words, a number of epochs from 2 on, and a generator."""
    vocab = Vocab(f"word{number}" for number in range(20))
    words = vocab.word_ids[torch.randint(20, (size, 40), generator=generator)]
    ends = torch.full((size, 1), vocab.cls_id), torch.full((size, 1), vocab.sep_id)
    return vocab, torch.cat([ends[0], words, ends[1]], 1), size + 1, generator


def see_epochs(
    function: Function, vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> Any:
    """What several epochs ask, and whether their answers are what stands in the text."""

    def places(seed: int) -> list[tuple]:
        found = function(vocab, token_ids, num_epochs, torch.Generator().manual_seed(seed))
        return [tuple(MaskedRows(*epoch).pred_positions.flatten().tolist()) for epoch in found]

    found = [MaskedRows(*epoch) for epoch in function(vocab, token_ids, num_epochs, generator)]
    first, again, other = places(1), places(1), places(2)
    answers = [torch.equal(token_ids.gather(1, e.pred_positions), e.mlm_labels) for e in found]
    return {
        "epochs that ask other questions than the first": sum(p != first[0] for p in first),
        "the answers are what stands in the text": all(answers),
        "each epoch is a draw of its own": len({id(epoch.token_ids) for epoch in found}) > 1,
        "the draws follow from the generator": first == again and first != other,
    }


def _seeded_each_time(
    vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> list[MaskedRows]:
    seeded = [torch.Generator().manual_seed(0) for _ in range(num_epochs)]
    return [mask_tokens(vocab, token_ids, generator) for generator in seeded]


def _mask_on_mask(
    vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> list[MaskedRows]:
    found = []
    for _ in range(num_epochs):
        found.append(mask_tokens(vocab, token_ids, generator))
        token_ids = found[-1].token_ids
    return found


def _same_seeds(
    vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: torch.Generator
) -> list[MaskedRows]:
    seeded = [torch.Generator().manual_seed(epoch) for epoch in range(num_epochs)]
    return [mask_tokens(vocab, token_ids, generator) for generator in seeded]


EPOCHS_MISSES = {
    "As it was: every epoch still asks the same questions.": epochs_as_it_was,
    "Each epoch draws now, but from a generator that begins at the same seed: so the questions are "
    "the same again.": _seeded_each_time,
    "You hide words of rows in which words are hidden already: some answers are <mask>.": (
        _mask_on_mask
    ),
    "The epochs differ, but they do not follow from the generator that is given: with another "
    "seed the same questions come.": _same_seeds,
}
CHECK_EPOCHS = make_check(
    Specification(reference=right_epochs, inputs=some_rows, trial=see_epochs),
    right_epochs,
    EPOCHS_MISSES,
)
