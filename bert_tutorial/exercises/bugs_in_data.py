"""Bugs in masks, labels and vocabularies; each has its definition.

Shapes: B rows, L positions, P slots.
"""

import operator
from collections import Counter

import torch
from torch import Generator, Tensor

from ..text.masking import MaskedRows, hide_tokens, mask_tokens
from ..text.vocabulary import SPECIAL_TOKENS, UNK, Vocab
from .check import Check, Function


def seed(number: int) -> Generator:
    """A generator that begins at a seed."""
    return Generator().manual_seed(number)


# 4. Special tokens drawn as replacements.
def random_words(vocab: Vocab, count: int, generator: Generator) -> Tensor:
    """Draw entries one by one; put the special ones back."""
    drawn = []
    while len(drawn) < count:
        entry = int(torch.randint(len(vocab), (1,), generator=generator))
        if entry not in vocab.special_ids:
            drawn.append(entry)
    return torch.tensor(drawn)


def some_vocabulary(size: int, generator: Generator) -> tuple[Vocab, int, Generator]:
    """A vocabulary of a few words; in every other one the special tokens do not come first."""
    vocab = Vocab(words := [f"word{number}" for number in range(size + 1)])
    if not size % 2:
        vocab._set([*words[:2], *SPECIAL_TOKENS, *words[2:]], [1] * len(vocab))
    return vocab, 4, generator


def right_random_words(vocab: Vocab, count: int, generator: Generator) -> Tensor:
    """Draw places in the list of words, and look up the words."""
    drawn = torch.randint(len(vocab.word_ids), (count,), generator=generator)
    return vocab.word_ids[drawn]


def see_draws(function: Function, vocab: Vocab, *_: object) -> dict[str, str | bool]:
    """Which entries come in many draws, and whether all come about as often."""
    words, share = vocab.word_ids.tolist(), 500
    drawn = function(vocab, share * len(words), seed(0)).flatten().tolist()
    counts, repeats = Counter(drawn), sum(map(operator.eq, drawn, drawn[1:]))
    special = [vocab.itos[n] for n in vocab.special_ids if counts[n]]
    strange = [str(n) for n in sorted(counts) if not 0 <= n < len(vocab)]
    missing = [vocab.itos[n] for n in words if not counts[n]]
    some, again, other = (function(vocab, 50, seed(n)).tolist() for n in (1, 1, 2))
    return {
        "special tokens among the draws": ", ".join(special) or "none",
        "numbers that are no entry": ", ".join(strange) or "none",
        "words that are never drawn": ", ".join(missing) or "none",
        "all words about equally often": all(0.75 < counts[n] / share < 1.25 for n in words),
        "a word as often after itself as after another": 0.75 < repeats / share < 1.25,
        "the draws follow from the generator": some == again != other,
    }


CHECK_WORDS = Check(random_words, some_vocabulary, right_random_words, trial=see_draws).tell_apart(
    "As it was: special tokens are still drawn.",
    lambda v, n, g: torch.randint(len(v), (n,), generator=g),
    "Right where special tokens come first. In published BERT's vocabulary they stand elsewhere.",
    lambda v, n, g: torch.randint(5, len(v), (n,), generator=g),
    "These are places in the list of words, not the words' own numbers.",
    lambda v, n, g: torch.randint(len(v) - 5, (n,), generator=g),
    "Nearly: the range begins one too early, at the last special token.",
    lambda v, n, g: torch.randint(v.sep_id, len(v), (n,), generator=g),
    "No special token is drawn, but neither is the last word: randint leaves out its upper end.",
    lambda v, n, g: v.word_ids[torch.randint(len(v) - 6, (n,), generator=g)],
    "No special token is drawn, but the word that takes their place comes too often.",
    lambda v, n, g: v.word_ids[(torch.randint(len(v), (n,), generator=g) - 5).clamp(min=0)],
)


# 5. Masks frozen over epochs.
def epochs(vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: Generator) -> list:
    """For each epoch a random order of each row's words, of which the first ones are hidden."""
    found, count = [], round(0.15 * token_ids.shape[1])
    for _ in range(num_epochs):
        order = torch.rand(token_ids[:, 2:].shape, generator=generator).argsort(1)
        places = 1 + order[:, :count].sort(1).values  # behind <cls>, before <sep>
        labels = token_ids.gather(1, places)
        hidden = token_ids.scatter(1, places, hide_tokens(vocab, labels, generator))
        found.append(MaskedRows(hidden, places, torch.ones(labels.shape), labels))
    return found


def some_rows(size: int, generator: Generator) -> tuple[Vocab, Tensor, int, Generator]:
    """A vocabulary, a few rows of 40 words, a number of epochs from 2 on, and a generator."""
    vocab = Vocab(f"word{number}" for number in range(20))
    rows = vocab.word_ids[torch.randint(20, (size, 42), generator=generator)]
    rows[:, 0], rows[:, -1] = vocab.cls_id, vocab.sep_id
    return vocab, rows, size + 1, generator


def right_epochs(vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: Generator) -> list:
    """Masks are drawn for each epoch, and the generator goes on."""
    return [mask_tokens(vocab, token_ids, generator) for _ in range(num_epochs)]


def see_epochs(
    function: Function, vocab: Vocab, token_ids: Tensor, num_epochs: int, *_: object
) -> dict[str, str | bool]:
    """What many epochs ask, whether the answers stand in the text, and what is hidden."""

    def run(number: int, num_epochs: int) -> list[MaskedRows]:
        return [MaskedRows(*rows) for rows in function(vocab, token_ids, num_epochs, seed(number))]

    few = [[rows.pred_positions.tolist() for rows in run(n, num_epochs)] for n in (1, 1, 2)]
    ids, places, weights, labels = map(torch.cat, zip(*run(0, 60), strict=True))
    text, row = token_ids.repeat(60, 1), torch.arange(len(token_ids)).repeat(60)
    asked = torch.zeros(text.shape).scatter(1, places, weights) > 0
    masks, kept = ((ids == wanted)[asked].float().mean().item() for wanted in (vocab.mask_id, text))
    different = len(torch.cat([row[:, None], places], 1).unique(dim=0))
    return {
        "epochs that ask other questions than the first": f"{sum(e != few[0][0] for e in few[0])}",
        "each row is asked something else in each epoch": different > 0.95 * len(text),
        "the answers are what stands in the text": text.gather(1, places).equal(labels),
        "questions in a row": str(weights.sum(1).unique().int().tolist()),
        "what is not asked stands as it was": ids[~asked].equal(text[~asked]),
        "about 80 % of what is asked is <mask>": 0.7 < masks < 0.9,
        "about 10 % of what is asked stands as it was": 0.03 < kept < 0.18,
        "the draws follow from the generator": few[0] == few[1] != few[2],
    }


def mask_on_mask(vocab: Vocab, ids: Tensor, num_epochs: int, generator: Generator) -> list:
    """A near miss."""
    found = [mask_tokens(vocab, ids, generator)]
    while len(found) < num_epochs:
        found.append(mask_tokens(vocab, found[-1].token_ids, generator))
    return found


CHECK_EPOCHS = Check(epochs, some_rows, right_epochs, trial=see_epochs).tell_apart(
    "As it was: every epoch still asks the same questions.",
    lambda vocab, ids, n, generator: [mask_tokens(vocab, ids, generator)] * n,
    "Each epoch draws now, but from a generator at the same seed: the questions are the same.",
    lambda vocab, ids, n, _: [mask_tokens(vocab, ids, seed(0)) for _ in range(n)],
    "You hide words of rows in which words are hidden already: some answers are <mask>.",
    mask_on_mask,
    "The epochs differ, but not with the generator that is given: another seed changes nothing.",
    lambda vocab, ids, n, _: [mask_tokens(vocab, ids, seed(epoch)) for epoch in range(n)],
)


# 9. Labels that leak at unmasked positions. cross_entropy leaves out -100.
def asked_labels(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """-100 everywhere, but at each real slot's position what stood there."""
    found = torch.full_like(token_ids, -100)
    for row, slot in mlm_weights.nonzero().tolist():
        position = pred_positions[row, slot]
        found[row, position] = token_ids[row, position]
    return found


def some_masked_rows(size: int, generator: Generator) -> tuple[Tensor, ...]:
    """Rows before and after masking (B, L), positions and weights (B, P); 2 stands for <mask>.

    Of three or four chosen words the second is replaced, the third kept, the others are hidden.
    """
    rows, length = (size + 1) // 2, size + 5
    token_ids = torch.randint(5, 40, (rows, length), generator=generator)
    token_ids[:, 0], token_ids[:, -1] = 3, 4
    order = torch.rand(rows, length - 2, generator=generator).argsort(1)
    used = torch.arange(4) < torch.randint(3, 5, (rows, 1), generator=generator)
    positions = torch.where(used, 1 + order[:, :4].sort(1).values, 0)
    shown = token_ids.gather(1, positions)
    for slot, token in ((0, 2), (1, 40), (3, 2)):
        shown[:, slot] = shown[:, slot].masked_fill(used[:, slot], token)
    return token_ids, token_ids.scatter(1, positions, shown), positions, used.float()


def right_labels(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """Only what was chosen is asked about."""
    asked = torch.zeros_like(token_ids)
    asked.scatter_add_(1, pred_positions, mlm_weights.long())  # unused slots add 0
    return token_ids.masked_fill(asked == 0, -100)


CHECK_LABELS = Check(asked_labels, some_masked_rows, right_labels).tell_apart(
    "As it was: every position is still asked about.",
    lambda ids, *rest: ids.clone(),
    "Only words behind <mask> are asked about. Words replaced or kept are questions too.",
    lambda ids, masked, *rest: ids.masked_fill(masked != 2, -100),
    "Only words that were changed are asked about. Words that were kept are questions too.",
    lambda ids, masked, *rest: ids.masked_fill(masked == ids, -100),
    "Nearly: unused slots point at position 0, so <cls> is asked about as well.",
    lambda ids, masked, places, weights: right_labels(ids, masked, places, weights**0),
    "The right positions, but the labels are what the network reads there, not what stood there.",
    lambda ids, masked, *rest: right_labels(masked, ids, *rest),
    "The wrong way round: what was chosen is left out, and all the rest is asked about.",
    lambda ids, *rest: ids.masked_fill(right_labels(ids, *rest) != -100, -100),
    "Elsewhere the label is 0 now, which is a word's number: cross_entropy leaves out -100.",
    lambda *rows: right_labels(*rows).clamp(min=0),
)


# 10. A validation set with a vocabulary of its own.
def looked_up(train: list[str], valid: list[str], min_freq: int) -> list[list[int]]:
    """Number the frequent words of the training text from 5 on; every other word is 0."""
    frequent = [word for word in {*train} - {UNK} if train.count(word) >= min_freq]
    frequent.sort(key=lambda word: (-train.count(word), word))
    number = {word: 5 + place for place, word in enumerate(frequent)}
    return [[number.get(word, 0) for word in text] for text in (train, valid)]


def some_texts(size: int, generator: Generator) -> tuple[list[str], list[str], int]:
    """A training text, a validation text with some words of its own, and a lowest frequency."""
    words = ["a", "crane", "lifts", "water", UNK, "wings", "nest", "hook"]
    drawn = torch.randint(6, (2 * size + 4,), generator=generator).tolist()
    others = torch.randint(2, 8, (size + 3,), generator=generator).tolist()
    train = ["wings", "wings", "a", *(words[number] for number in drawn)]
    return train, ["hook", "hook", "a", *(words[number] for number in others)], 1 + size % 2


def right_ids(train: list[str], valid: list[str], min_freq: int) -> list[list[int]]:
    """One table for both: that of the training text."""
    vocab = Vocab(train, min_freq)
    return [vocab[train], vocab[valid]]


CHECK_IDS = Check(looked_up, some_texts, right_ids).tell_apart(
    "As it was: the validation text still has a vocabulary of its own.",
    lambda train, valid, least: [Vocab(text, least)[text] for text in (train, valid)],
    "One vocabulary, but of both texts: what is held out must not help to choose the words.",
    lambda train, valid, least: [Vocab([*train, *valid], least)[text] for text in (train, valid)],
    "One vocabulary, but that of the validation text: the network learns from the other one.",
    lambda train, valid, least: [Vocab(valid, least)[text] for text in (train, valid)],
    "Unknown words are left out of the validation text. They must be read as <unk>.",
    lambda train, valid, least: [
        (vocab := Vocab(train, least))[train],
        vocab[[word for word in valid if word in vocab]],
    ],
    "One vocabulary, that of the training text, but rare words have an entry: where is min_freq?",
    lambda train, valid, least: [Vocab(train)[text] for text in (train, valid)],
)
