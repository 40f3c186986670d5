"""The fourteen exercises: what is right, inputs to try, a worked solution, and near misses.

Where draws or a mode decide, what is right is a table of what must be seen. Of the sizes, from 1 to
8, the last one gives inputs about as large as those of the notebook. Shapes: B rows, L positions, P
slots of a row, N slots, V words, D hidden units. `x` are logits or scores, `y` labels, `w` weights.
"""

import math
import operator
from collections import Counter
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..network.model import BERTModel, dropout_off, in_mode
from ..pretraining.run import Settings
from ..text.masking import mask_tokens
from ..text.vocabulary import SPECIAL_TOKENS, UNK, Vocab
from .check import Check, Function, plain, same

CHECKS: dict[str, Check] = {}  # in the order of the notebook
losses = partial(F.cross_entropy, reduction="none")


def seed(number: int) -> Generator:
    """A generator that begins at a seed."""
    return Generator().manual_seed(number)


def _draw(generator: Generator, low: int, high: int, *shape: int) -> Tensor:
    return torch.randint(low, high, shape, generator=generator)


# Exercise 1. What does pure chance lose? That is what a network loses whose logits are all alike.
def right_chance(num_answers: int) -> float:
    """Minus the logarithm of the probability 1 / V."""
    return math.log(num_answers)


CHECKS["chance"] = Check(
    lambda num_answers: F.cross_entropy(torch.zeros(num_answers), torch.tensor(0)).item(),
    lambda size, g: (int(_draw(g, 1, 5)) * 4 ** (size - 1) + 1,),
    right_chance,
).tell_apart(
    "As it was: 0 nats is the loss of a network that is certain and right.",
    lambda num_answers: 0.0,
    "These are bits: the tutorial's unit is the nat, with the natural logarithm.",
    math.log2,
    "That is the probability of the right answer: the loss is minus its logarithm.",
    lambda num_answers: 1 / num_answers,
    "The sign: the logarithm of a probability is negative, and the loss is minus that.",
    lambda num_answers: -math.log(num_answers),
)


# Exercise 2. How much memory do the attention weights take, and how does it grow with the length?
def attention_bytes(batch_size: int, num_heads: int, length: int, num_layers: int) -> int:
    """Make the weights of every layer, and see how large they are."""
    shape, where = (num_layers, batch_size, num_heads, length, length), torch.device("meta")
    return torch.zeros(shape, dtype=torch.float32, device=where).nbytes  # "meta": takes no memory


def right_bytes(batch_size: int, num_heads: int, length: int, num_layers: int) -> int:
    """Each position looks at each position, in each head of each layer: 4 bytes each time."""
    return 4 * batch_size * num_heads * length**2 * num_layers


CHECKS["memory"] = Check(
    attention_bytes, lambda size, g: tuple(_draw(g, 1, 3 + size**3, 4).tolist()), right_bytes
).tell_apart(
    "As it was: it grows with the length. But each position looks at each position.",
    lambda B, H, L, N: 4 * B * H * L * N,
    "These are numbers, not bytes: one of 32 bits takes 4 bytes.",
    lambda B, H, L, N: B * H * L**2 * N,
    "One layer is not enough: for the backward pass each layer's weights are kept.",
    lambda B, H, L, N: 4 * B * H * L**2,
    "Each head has weights of its own: the heads are missing.",
    lambda B, H, L, N: 4 * B * L**2 * N,
)


# Bug 1. The mask that is a no-op.
def slot_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The mean loss of the real slots alone."""
    return F.cross_entropy(logits[weights == 1], labels[weights == 1])


def _slots(size: int, g: Generator) -> tuple[Tensor, ...]:
    """Logits (N, 3), labels (N,; 0 if unused), weights (N,); of two real slots one has word 0."""
    slots = 2 + size * (size + 1) // 2 if size < 8 else 1280
    logits = 2 * torch.randn(slots, 3, generator=g)
    weights = (torch.rand(slots, generator=g) < 0.5).float()
    labels, (some, other) = _draw(g, 0, 3, slots), torch.randperm(slots, generator=g)[:2]
    weights[some] = weights[other] = 1
    labels[some], labels[other] = 0, 1 + size % 2
    return logits.round(decimals=1), labels * weights.long(), weights


def right_slot_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Losses stay apart until they are weighted."""
    losses = F.cross_entropy(logits, labels, reduction="none")  # (N,)
    return (losses * weights).sum() / weights.sum()


CHECKS["mean"] = Check(slot_loss, _slots, right_slot_loss).tell_apart(
    "As it was: the unused slots still count.",
    lambda x, y, w: (F.cross_entropy(x, y) * w).sum() / w.sum(),
    "Losses (N,) times weights (N, 1) give a table of N × N: compare the shapes.",
    lambda x, y, w: (losses(x, y) * w[:, None]).sum() / w.sum(),
    "Unused slots add 0 now, but they are still counted in the number that you divide by.",
    lambda x, y, w: (losses(x, y) * w).mean(),
    "This is the sum over the real slots: a mean divides it by how many there are.",
    lambda x, y, w: (losses(x, y) * w).sum(),
    "You divide by the number of real slots, but the losses of all slots are added.",
    lambda x, y, w: losses(x, y).sum() / w.sum(),
)


# Bug 2. The N×N broadcast.
def _guesses(size: int, g: Generator) -> tuple[Tensor, ...]:
    """Logits (N, V), labels (N, 1)."""
    logits, labels, _ = _slots(size, g)
    return logits, labels[:, None]


def right_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Each guess is compared with its own label."""
    guesses = logits.argmax(dim=1)  # (N,)
    return (guesses == labels.flatten()).float().mean()


CHECKS["table"] = Check(
    lambda logits, labels: sum(map(torch.equal, logits.argmax(1), labels[:, 0])) / len(labels),
    _guesses,
    right_accuracy,
).tell_apart(
    "As it was: each guess is still compared with every label.",
    lambda x, y: (x.argmax(1) == y).float().mean(),
    "A guess counts as right if any label of the batch is like it: it has one label of its own.",
    lambda x, y: (x.argmax(1) == y).any(0).float().mean(),
    "This is how many are right, not which part of all: divide by N.",
    lambda x, y: (x.argmax(1) == y.flatten()).sum(),
    "You divide by N now, but what you add is still a table of N × N comparisons.",
    lambda x, y: (x.argmax(1) == y).sum() / len(y),
)


# Bug 3. Dropout left on while encoding.
def _network(size: int, g: Generator) -> tuple[BERTModel, Tensor, Tensor]:
    """A tiny network, in training mode or not, and rows (size, size + 2)."""
    # In a turn of its own: a training beside this draws from the same generator.
    with in_mode(torch.nn.Module(), training=True), torch.random.fork_rng(devices=[]):
        net = BERTModel(20, 8, 8, 2, 1, dropout=0.5, max_len=16)
    net.reset(g)
    net.train(int(_draw(g, 0, 4)) > 0)
    return net, _draw(g, 0, 20, size, size + 2), _draw(g, 0, 2, size, size + 2)


def right_encoding(net: BERTModel, token_ids: Tensor, segments: Tensor) -> Tensor:
    """Evaluation mode for a while; afterwards the mode is what it was."""
    was_training = net.training
    net.eval()
    with torch.no_grad():
        encoded = net(token_ids, segments).encoded
    net.train(was_training)
    return encoded


def _see_encoding(function: Function, net: BERTModel, *rows: Tensor) -> dict[str, bool]:
    """The vectors, twice, and what a training that goes on finds afterwards."""

    def go_on() -> Tensor:
        # A training beside it draws from the same generator, in its turn.
        with in_mode(torch.nn.Module(), True), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return net(*rows).encoded

    was_training, before = net.training, go_on()
    first, after = function(net, *rows), go_on()
    second = function(net.train(was_training), *rows)
    with dropout_off(net):
        right = net(*rows).encoded
    return {
        "the same vectors when it is called again": torch.equal(first, second),
        "the vectors are those without dropout": same(plain(first), plain(right)),
        "the network computes afterwards what it did before": torch.equal(before, after),
        "its weights can still be trained": after.requires_grad,
        "the vectors still hold on to gradients": first.requires_grad,
    }


def _encode(
    net: BERTModel, *rows: Tensor, off: bool = True, then: bool | None = None, grad: bool = False
) -> Tensor:
    """Near misses: dropout off or not, then in this mode or as it was, with gradients or not."""
    was_training = net.training
    net.train(was_training and not off)
    with torch.set_grad_enabled(grad):
        encoded = net(*rows).encoded
    net.train(was_training if then is None else then)
    return encoded


CHECKS["dropout"] = Check(right_encoding, _network, right_encoding, _see_encoding).tell_apart(
    "As it was: no_grad leaves out the gradients, but not the dropout.",
    partial(_encode, off=False),
    "Dropout is off, but it stays off: a training that goes on afterwards goes on without it.",
    partial(_encode, then=False),
    "A seed makes every call drop the same values. They are still dropped.",
    lambda *given: torch.default_generator.manual_seed(0) and _encode(*given, off=False),
    "Dropout is off. But afterwards it is on, also in a network where it was off before.",
    partial(_encode, then=True),
    "Evaluation mode comes after the vectors are computed: too late for them.",
    partial(_encode, off=False, then=False),
    "Dropout is off, and the mode is put back. But gradients are computed: memory for nothing.",
    partial(_encode, grad=True),
)


# Bug 4. Special tokens drawn as replacements.
def _vocab(size: int, g: Generator) -> tuple[Vocab, int, Generator]:
    """A vocabulary of a few words; in every other one the special tokens do not come first."""
    vocab = Vocab(words := [f"word{number}" for number in range(size + 1)])
    if not size % 2:
        vocab._set([*words[:2], *SPECIAL_TOKENS, *words[2:]], [1] * len(vocab))
    return vocab, 4, g


def right_random_words(vocab: Vocab, count: int, generator: Generator) -> Tensor:
    """Draw places in the list of words, and look up the words."""
    drawn = torch.randint(len(vocab.word_ids), (count,), generator=generator)
    return vocab.word_ids[drawn]


def _see_draws(function: Function, vocab: Vocab, *_: object) -> dict[str, str | bool]:
    """Which entries come in many draws, and whether all come about as often."""
    words, share = vocab.word_ids.tolist(), 500
    drawn = function(vocab, share * len(words), seed(0)).flatten().tolist()
    counts, repeats = Counter(drawn), sum(map(operator.eq, drawn, drawn[1:]))
    goes_on = seed(1)
    some, then, again, other = (
        function(vocab, 50, generator).tolist()
        for generator in (goes_on, goes_on, seed(1), seed(2))
    )
    special = [vocab.itos[n] for n in vocab.special_ids if counts[n]]
    missing = [vocab.itos[n] for n in words if not counts[n]]
    strange = [str(n) for n in sorted(counts) if not 0 <= n < len(vocab)]
    return {
        "special tokens among the draws": ", ".join(special) or "none",
        "numbers that are no entry": ", ".join(strange) or "none",
        "words that are never drawn": ", ".join(missing) or "none",
        "all words about equally often": all(0.75 < counts[n] / share < 1.25 for n in words),
        "a word as often after itself as after another": 0.75 < repeats / share < 1.25,
        "the draws follow from the generator": some == again not in (then, other),
    }


CHECKS["special"] = Check(right_random_words, _vocab, right_random_words, _see_draws).tell_apart(
    "As it was: special tokens are still drawn.",
    lambda v, n, g: _draw(g, 0, len(v), n),
    "Right where special tokens come first. In published BERT's vocabulary they stand elsewhere.",
    lambda v, n, g: _draw(g, 5, len(v), n),
    "These are places in the list of words, not the words' own numbers.",
    lambda v, n, g: _draw(g, 0, len(v) - 5, n),
    "Nearly: the range begins one too early, at the last special token.",
    lambda v, n, g: _draw(g, v.sep_id, len(v), n),
    "No special token is drawn, but neither is the last word: randint leaves out its upper end.",
    lambda v, n, g: v.word_ids[_draw(g, 0, len(v) - 6, n)],
    "No special token is drawn, but the word that takes their place comes too often.",
    lambda v, n, g: v.word_ids[(_draw(g, 0, len(v), n) - 5).clamp(min=0)],
)


# Bug 5. Masks frozen over epochs.
def _rows(size: int, g: Generator) -> tuple[Vocab, Tensor, int, Generator]:
    """A vocabulary, a few rows of 40 or 23 words, a number of epochs from 2 on, and a generator."""
    vocab = Vocab(f"word{number}" for number in range(20))
    rows = vocab.word_ids[_draw(g, 0, 20, size, 42)]
    rows[:, 0], rows[:, -1] = vocab.cls_id, vocab.sep_id
    rows[1::2, 24], rows[1::2, 25:] = vocab.sep_id, vocab.pad_id
    return vocab, rows, size + 1, g


def right_epochs(vocab: Vocab, token_ids: Tensor, num_epochs: int, generator: Generator) -> list:
    """Masks are drawn for each epoch, and the generator goes on."""
    return [mask_tokens(vocab, token_ids, generator) for _ in range(num_epochs)]


def _see_epochs(function: Function, vocab: Vocab, text: Tensor, n: int, _: object) -> dict:
    """What many epochs ask, whether the answers stand in the text, and what is hidden."""
    runs = (function(vocab, text, n, seed(number)) for number in (1, 1, 2))
    some, again, other = ([places.tolist() for _, places, *_ in run] for run in runs)
    epochs = function(vocab, text, 60, seed(0))
    ids, places, weights, labels = map(torch.stack, zip(*epochs, strict=True))
    many = text.expand(60, -1, -1)
    asked = weights.new_zeros(many.shape).scatter(2, places, weights) > 0
    different = min(len({*map(str, row)}) for row in places.transpose(0, 1).tolist())
    masks, kept = (ids == vocab.mask_id)[asked], (ids == many)[asked]
    answers, real = many.gather(2, places), weights == 1
    return {
        "each row asks something else in nearly every epoch": different > 50,
        "the answers are what stands in the text": torch.equal(answers[real], labels[real]),
        "questions in a row": str(weights.sum(2).unique().int().tolist()),
        "what is not asked stands as it was": torch.equal(ids[~asked], many[~asked]),
        "about 80 % of what is asked is <mask>": bool(0.7 < masks.float().mean() < 0.9),
        "about 10 % of what is asked stands as it was": bool(0.04 < kept.float().mean() < 0.2),
        "the draws follow from the generator": some == again != other,
    }


def _mask_on_mask(vocab: Vocab, ids: Tensor, num_epochs: int, generator: Generator) -> list:
    found = [mask_tokens(vocab, ids, generator)]
    while len(found) < num_epochs:
        found.append(mask_tokens(vocab, found[-1].token_ids, generator))
    return found


CHECKS["frozen"] = Check(right_epochs, _rows, right_epochs, _see_epochs).tell_apart(
    "As it was: every epoch still asks the same questions.",
    lambda vocab, ids, n, g: [mask_tokens(vocab, ids, g)] * n,
    "Each epoch draws now, but from a generator at the same seed: the questions are the same.",
    lambda vocab, ids, n, g: [mask_tokens(vocab, ids, seed(0)) for _ in range(n)],
    "You hide words of rows in which words are hidden already: some answers are <mask>.",
    _mask_on_mask,
    "The epochs differ, but not with the generator that is given: another seed changes nothing.",
    lambda vocab, ids, n, g: [mask_tokens(vocab, ids, seed(epoch)) for epoch in range(n)],
)


# Bug 6. A constant rate of 0.01 without warm-up.
def rate(step: int, num_steps: int, highest: float) -> float:
    """Up in a straight line in the first tenth of the steps, then down in one to the last."""
    return Settings(num_steps=num_steps, learning_rate=highest).learning_rate_at(step)


def _step(size: int, g: Generator) -> tuple[int, int, float]:
    """A step from 0, rather an early one (of the most steps the last); steps; the highest rate."""
    num_steps = 15 * size + 5 if size < 8 else 150
    step = int(num_steps * torch.rand((), generator=g) ** 2) if size < 8 else num_steps - 1
    return step, num_steps, 0.004 * (1 + size)


def right_rate(step: int, num_steps: int, highest: float) -> float:
    """The smaller of a line that rises and a line that falls."""
    warm_up = num_steps / 10
    rising = (step + 1) / warm_up
    falling = (num_steps - step) / (num_steps - warm_up)
    return highest * min(1, rising, falling)


CHECKS["rate"] = Check(rate, _step, right_rate).tell_apart(
    "As it was: 0.01 at every step.",
    lambda step, n, highest: 0.01,
    "Never above the highest rate now, but the same at every step.",
    lambda step, n, highest: highest,
    "It rises, but does not fall afterwards: at the end large steps undo what small ones learn.",
    lambda step, n, highest: highest * min(1, (step + 1) / (n / 10)),
    "It falls, but begins at its highest: large first steps ruin a new network.",
    lambda step, n, highest: highest * min(1, (n - step) / (0.9 * n)),
    "Nearly: step 0 has the rate 0, so it teaches nothing. Steps are counted from 0.",
    lambda step, n, highest: highest * min(1, step / (n / 10), (n - step) / (0.9 * n)),
    "The fall counts from the first step: it begins after the warm-up, with 9/10 of the steps.",
    lambda step, n, highest: highest * min(1, (step + 1) / (n / 10), (n - step) / n),
)


# Bug 7. Padding attended to.
def attention(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """In each row a softmax over its real positions alone."""
    found = torch.zeros_like(scores)
    for row, real in enumerate(valid_lens.tolist()):
        found[row, :, :real] = scores[row, :, :real].softmax(-1)
    return found


def _scores(size: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Scores (B, L, L) from each position to each other, and real positions of each row (B,)."""
    rows, length = (size + 1) // 2, size + 1 if size < 8 else 64
    scores = 3 * min(size, 3) * torch.randn(rows, length, length, generator=g)
    return scores.round(decimals=1), _draw(g, 1, length + (size > 1), rows)


def right_attention(scores: Tensor, valid_lens: Tensor) -> Tensor:
    """No score, no attention: exp(-inf) is 0."""
    is_padding = torch.arange(scores.shape[-1]) >= valid_lens.reshape(-1, 1, 1)  # (B, 1, L)
    return torch.softmax(scores.masked_fill(is_padding, float("-inf")), dim=-1)


CHECKS["padding"] = Check(attention, _scores, right_attention).tell_apart(
    "As it was: padding still gets attention.",
    lambda x, lens: x.softmax(-1),
    "Padding gets nothing now, but what is left does not add up to 1.",
    lambda x, lens: x.softmax(-1) * (right_attention(0 * x, lens) > 0),
    "A score of 0 is not no attention: exp(0) is 1.",
    lambda x, lens: (x * (right_attention(0 * x, lens) > 0)).softmax(-1),
    "Nearly: the first position of the padding still gets attention.",
    lambda x, lens: right_attention(x, lens + 1),
    "You take away positions that look. It is those that are looked at: the last axis.",
    lambda x, lens: x.where(right_attention(0 * x, lens).mT > 0, -1e9).softmax(-1),
)


# Bug 8. An ignore index that eats a word. Definition and inputs are those of bug 1.
def right_label_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The weights say which slots are real."""
    labels = labels.masked_fill(weights == 0, -100)  # no word has this number
    return F.cross_entropy(logits, labels, ignore_index=-100)


CHECKS["ignored"] = Check(slot_loss, _slots, right_label_loss).tell_apart(
    "As it was: a real slot whose word has the number 0 is still left out.",
    lambda x, y, w: F.cross_entropy(x, y, ignore_index=0),
    "Nothing is ignored now: unused slots have label 0 and count as if word 0 stood there.",
    lambda x, y, w: F.cross_entropy(x, y),
    "The right slots are added, but you divide by all slots, the unused ones too.",
    lambda x, y, w: (losses(x, y) * w).mean(),
    "You divide by the number of real slots, but word 0 is still left out of the sum.",
    lambda x, y, w: losses(x, y, ignore_index=0).sum() / w.sum(),
    "Word 0 counts now, but the number that you ignore instead is a word too: the last one.",
    lambda x, y, w: F.cross_entropy(x, y.masked_fill(w == 0, 2), ignore_index=2),
)


# Bug 9. Labels that leak at unmasked positions. cross_entropy leaves out -100.
def asked_labels(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """-100 everywhere, but at each real slot's position what stood there."""
    found = torch.full_like(token_ids, -100)
    for row, slot in mlm_weights.nonzero().tolist():
        position = pred_positions[row, slot]
        found[row, position] = token_ids[row, position]
    return found


def _masked_rows(size: int, g: Generator) -> tuple[Tensor, ...]:
    """Rows before and after masking (B, L), positions and weights (B, P); 2 stands for <mask>.

    Of at least three chosen words the second is replaced, the third kept, the others are hidden.
    """
    rows, length, slots = ((size + 1) // 2, size + 5, 4) if size < 8 else (128, 64, 10)
    token_ids = _draw(g, 5, 40, rows, length)
    token_ids[:, 0], token_ids[:, -1] = 3, 4
    order = torch.rand(rows, length - 2, generator=g).argsort(1)
    used = torch.arange(slots) < _draw(g, 3, slots + 1, rows, 1)
    positions = torch.where(used, 1 + order[:, :slots].sort(1).values, 0)
    is_kept = ~used | (torch.arange(slots) == 2)
    shown = token_ids.gather(1, positions).where(is_kept, 2)
    shown[:, 1] = 40
    return token_ids, token_ids.scatter(1, positions, shown), positions, used.float()


def right_labels(
    token_ids: Tensor, masked_ids: Tensor, pred_positions: Tensor, mlm_weights: Tensor
) -> Tensor:
    """Only what was chosen is asked about."""
    asked = torch.zeros_like(token_ids)
    asked.scatter_add_(1, pred_positions, mlm_weights.long())  # unused slots add 0
    return token_ids.masked_fill(asked == 0, -100)


CHECKS["leak"] = Check(asked_labels, _masked_rows, right_labels).tell_apart(
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


# Bug 10. A validation set with a vocabulary of its own.
def looked_up(train: list[str], valid: list[str], min_freq: int) -> list[list[int]]:
    """Number the frequent words of the training text from 5 on; every other word is 0."""
    frequent = [word for word in {*train} - {UNK} if train.count(word) >= min_freq]
    frequent.sort(key=lambda word: (-train.count(word), word))
    number = {word: 5 + place for place, word in enumerate(frequent)}
    return [[number.get(word, 0) for word in text] for text in (train, valid)]


def _texts(size: int, g: Generator) -> tuple[list[str], list[str], int]:
    """A training text, a validation text with some words of its own, and a lowest frequency."""
    words = ["a", "crane", "lifts", "water", UNK, "wings", "nest", "hook"]
    train = [words[number] for number in _draw(g, 0, 6, 2 * size + 4).tolist()]
    valid = [words[number] for number in _draw(g, 2, 8, size + 3).tolist()]
    return ["wings", "wings", "a", *train], ["hook", "hook", "a", *valid], 1 + size % 2


def right_ids(train: list[str], valid: list[str], min_freq: int) -> list[list[int]]:
    """One table for both: that of the training text."""
    vocab = Vocab(train, min_freq)
    return [vocab[train], vocab[valid]]


CHECKS["vocabulary"] = Check(looked_up, _texts, right_ids).tell_apart(
    "As it was: the validation text still has a vocabulary of its own.",
    lambda train, valid, least: [Vocab(text, least)[text] for text in (train, valid)],
    "One vocabulary, but of both texts: what is held out must not help to choose the words.",
    lambda train, valid, least: [Vocab([*train, *valid], least)[text] for text in (train, valid)],
    "One vocabulary, but that of the validation text: the network learns from the other one.",
    lambda train, valid, least: [Vocab(valid, least)[text] for text in (train, valid)],
    "Unknown words are left out of the validation text. They must be read as <unk>.",
    lambda a, b, least: right_ids(a, [word for word in b if word in Vocab(a, least)], least),
    "One vocabulary, that of the training text, but rare words have an entry: where is min_freq?",
    lambda train, valid, least: [Vocab(train)[text] for text in (train, valid)],
)


# Exercise 13. A test that leaks: rows of one article stand in both parts.
def _rows_of_articles(size: int, g: Generator) -> tuple[list[str], list[str]]:
    """Texts, and the article of each: one or each has several, of which two are equal, or none."""
    number = 5 + size if size < 8 else 180
    counts = _draw(g, 2, 6, number) if size % 3 == 2 else torch.ones(number, dtype=torch.int64)
    counts[number // 2] += 2 * (size % 3 == 1)
    rows = torch.arange(number).repeat_interleave(counts)
    rows = rows[torch.randperm(len(rows), generator=g)] if size % 2 else rows
    articles = [f"a{article}" for article in rows.tolist()]
    return [f"{max(1, articles[:i].count(a))} of {a}" for i, a in enumerate(articles)], articles


def right_split(texts: list[str], articles: list[str]) -> list[list[int]]:
    """Every fifth article is to test with, and all of its rows with it."""
    tested = set(list(dict.fromkeys(articles))[::5])
    parts = [[], []]
    for row, article in enumerate(articles):
        parts[article in tested].append(row)
    return parts


def _see_split(function: Function, texts: list[str], articles: list[str]) -> dict[str, str | bool]:
    """Where rows and articles are."""
    train, test = ([int(row) for row in part] for part in function(texts, articles))
    counts = Counter([*train, *test])
    of_train, of_test = ({articles[row] for row in part} for part in (train, test))
    wrong = [str(row) for row in range(len(texts)) if counts[row] != 1]
    return {
        "articles in both parts": ", ".join(sorted(of_train & of_test)) or "none",
        "rows that do not come just once": ", ".join(wrong) or "none",
        "a fifth of the articles is to test with": abs(5 * len(of_test) - len({*articles})) < 5,
    }


CHECKS["split"] = Check(right_split, _rows_of_articles, right_split, _see_split).tell_apart(
    "As it was: rows are split one by one. What do some of both parts have in common?",
    lambda texts, articles: right_split(texts, range(len(texts))),
    "Equal texts stay together now. But other texts of the same article leak too.",
    lambda texts, articles: right_split(texts, texts),
    "Neighbours stay together. But an article whose rows stand apart is still in both parts.",
    lambda texts, a: right_split(texts, [0, *accumulate(b != c for b, c in pairwise(a))]),
    "Nearly: sorted by article and then cut by rows. The article at the cut is in both parts.",
    lambda texts, a: np.split(np.argsort(a, kind="stable"), [len(a) // 5])[::-1],
    "Nothing leaks now, but rows are lost: those of articles that are tested with.",
    lambda texts, a: [[n for n in range(len(a)) if a[n] not in a[::5]], [*range(0, len(a), 5)]],
    "The rows to test with are still among those to learn from.",
    lambda texts, a: [[*range(len(texts))], right_split(texts, a)[1]],
    "No article is in both parts, but they are swapped: a fifth is to test with.",
    lambda texts, a: right_split(texts, a)[::-1],
)


# Exercise 14. A mean over seeds that hides a failed run.
# Source: what failed means is from Mosbach, Andriushchenko and Klakow 2021.
def summary(accuracies: list[float], floor: float) -> list:
    """By hand: the root of the mean square from the mean, and a seed for each that is not above."""
    mean = sum(accuracies) / len(accuracies)
    spread = math.sqrt(sum((right - mean) ** 2 for right in accuracies) / len(accuracies))
    return [mean, spread, [n for n in range(len(accuracies)) if not accuracies[n] > floor]]


def _accuracies(size: int, g: Generator) -> tuple[list[float], float]:
    """Accuracies, and what the most frequent label gets: in turn one is there; below; none; all."""
    floor, above, some = int(_draw(g, 10, 50)), _draw(g, 2, 40, size + 1), _draw(g, 0, size + 1)
    if size % 4 in (1, 2):
        above[some] = 3 - 3 * (size % 4)
    elif size % 4 == 0:
        above = -(above // 4)
    return [(floor + more) / 100 for more in above.tolist()], floor / 100


def right_summary(accuracies: list[float], floor: float) -> list:
    """All runs count, and those that failed are named."""
    failed = [seed for seed, right in enumerate(accuracies) if right <= floor]
    return [np.mean(accuracies), np.std(accuracies), failed]


def _of_learned(accuracies: list[float], floor: float) -> list:
    return right_summary([a for a in accuracies if a > floor] or accuracies, floor)[:2]


CHECKS["seeds"] = Check(summary, _accuracies, right_summary).tell_apart(
    "As it was: a mean alone. How far apart are the runs, and which have failed?",
    lambda a, floor: [np.mean(a), 0.0, []],
    "Failed runs are left out, and nobody is told: mean and spread are of all runs.",
    lambda a, floor: [*_of_learned(a, floor), []],
    "Failed runs are named. But they count: mean and spread are of all runs.",
    lambda a, floor: [*_of_learned(a, floor), right_summary(a, floor)[2]],
    "The best seed stands for all of them: that is luck, and no mean.",
    lambda a, floor: [max(a), *right_summary(a, floor)[1:]],
    "Nearly: a run at the floor has failed too. One label for all texts gets there.",
    lambda a, floor: right_summary(a, floor - 1e-9),
    "Divided by the root of the number of runs, this is the spread of the mean, not of the runs.",
    lambda a, floor: [np.mean(a), np.std(a) / len(a) ** 0.5, right_summary(a, floor)[2]],
    "You divide by one less than the number of runs. That is a spread too; asked is np.std.",
    lambda a, floor: [np.mean(a), np.std(a, ddof=1), right_summary(a, floor)[2]],
    "This is the distance from the worst run to the best; asked is np.std.",
    lambda a, floor: [np.mean(a), np.ptp(a), right_summary(a, floor)[2]],
    "These are the accuracies of failed runs: name their seeds, counted from 0.",
    lambda a, floor: [np.mean(a), np.std(a), [right for right in a if right <= floor]],
)
