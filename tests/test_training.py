"""The recipe and the steps."""

import io
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import (
    assert_identical,
    break_net,
    losses,
    small_net,
    some_examples,
    weights_of,
)
from torch.testing import assert_close

from bert_tutorial.network.losses import Losses, pretraining_losses
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.evaluation import baselines, evaluate
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.pretraining.training import (
    Settings,
    Work,
    accumulate_gradients,
    start_from_word_frequencies,
    train_steps,
)

# The recipe


@settings(deadline=None)  # a time limit would be about the machine
@given(st.integers(1, 400), st.floats(0, 1), st.floats(1e-5, 0.9))
def test_the_learning_rate_rises_then_falls_and_is_never_negative(num_steps, warmup, learning_rate):
    recipe = Settings(num_steps=num_steps, warmup=warmup, learning_rate=learning_rate)
    rates = [recipe.learning_rate_at(step) for step in range(num_steps)]
    assert_close(max(rates), learning_rate)
    assert min(rates) > 0
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_the_learning_rate_by_hand():
    rates = [
        Settings(num_steps=10, warmup=0.4, learning_rate=0.6).learning_rate_at(step)
        for step in range(10)
    ]
    assert_close(rates, [0.15, 0.3, 0.45, 0.6, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_steps", 0), ("num_steps", 2.5), ("num_steps", "50"),
        ("learning_rate", 0), ("learning_rate", 1.0),
        ("learning_rate", float("nan")), ("warmup", -0.1), ("warmup", 1.1), ("precision", "fp16"),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field} is .* must "):
        Settings(**{field: value})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_a_batch_in_parts_are_those_of_the_whole(monkeypatch, dtype):
    monkeypatch.setattr(training, "rows_at_once", lambda net, device: 256)
    examples = some_examples(num_paragraphs=300, batch_size=2 * 256 + 44)
    batch = examples.batch(0, 0)
    slots = [part.mlm_weights.sum().item() for part in batch.split(256)]
    # So a mean over parts is not the mean over slots.
    assert len(slots) == 3 and len(set(slots)) == 3
    whole, parts = small_net(examples, dropout=0.0), small_net(examples, dropout=0.0)
    wanted = pretraining_losses(whole, batch, dtype)
    sum(wanted).backward()
    got = accumulate_gradients(Work(parts), batch, dtype, random.Random(0))
    tolerance = 0.15 if dtype is torch.bfloat16 else 1e-4
    assert_close(torch.tensor(got), torch.stack(wanted).detach(), rtol=tolerance / 10, atol=0)
    for (name, one), two in zip(parts.named_parameters(), whole.parameters(), strict=True):
        assert (one.grad - two.grad).norm() <= tolerance * two.grad.norm() + 1e-7, name


# The steps


def test_without_the_next_sentence_game_its_head_is_left_alone():
    for rate, changed in ((1.0, False), (0.5, True)):
        examples = some_examples(next_sentence_rate=rate)
        net = small_net(examples)
        before = net.nsp.hidden.weight.detach().clone()
        (step,) = train_steps(net, examples, Settings(num_steps=1))
        assert step.nsp_loss > 0.1
        assert torch.equal(before, net.nsp.hidden.weight) is not changed


def test_one_batch_can_be_overfitted():
    examples = some_examples(num_paragraphs=8, batch_size=100, fixed=True)
    assert len(examples) == 1
    net = small_net(examples, dropout=0.0)
    steps = list(train_steps(net, examples, Settings(num_steps=80, learning_rate=0.01)))
    known = baselines(examples)
    assert steps[-1].mlm_loss < 0.2 * known.unigram
    assert steps[-1].nsp_loss < 0.2 * known.nsp
    result = evaluate(net, examples)
    assert result.mlm_accuracy > 0.95 and result.nsp_accuracy > 0.95


def test_it_learns_what_held_out_text_needs():
    examples = some_examples(num_paragraphs=200, batch_size=32)
    net = small_net(examples, dropout=0.0)
    list(train_steps(net, examples, Settings(num_steps=150, learning_rate=0.01)))
    result, known = evaluate(net, examples.valid), baselines(examples)
    assert result.mlm_loss < known.unigram - 0.5  # the topic is worth ln 4 = 1.39 nats


def test_what_a_step_tells():
    examples = some_examples()
    recipe = Settings(num_steps=3)
    net = small_net(examples)
    steps = list(train_steps(net, examples, recipe))
    assert [step.step for step in steps] == [1, 2, 3]
    assert [step.num_pairs for step in steps] == [16] * 3
    assert_close(
        [step.learning_rate for step in steps], [recipe.learning_rate_at(i) for i in range(3)]
    )
    assert all(step.seconds > 0 for step in steps)


def test_the_longest_gradient_is_max_grad_norm():
    examples = some_examples()
    net = small_net(examples)
    for step in train_steps(
        net, examples, Settings(num_steps=2, max_grad_norm=0.01, precision="fp32")
    ):
        length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
        assert_close(
            length.item(),
            0.01,
            rtol=0.01,
            atol=0,
            msg=lambda m, step=step: f"step {step.step}: {m}",
        )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_losses_bit_by_bit(precision):
    examples = some_examples()
    recipe = Settings(num_steps=12, precision=precision)
    one = losses(train_steps(small_net(examples), examples, recipe))
    torch.manual_seed(99)  # of no importance: the dropout has a seed of its own
    net = small_net(examples)
    torch.manual_seed(100)
    assert_identical(losses(train_steps(net, some_examples(), recipe)), one)


def test_another_seed_gives_other_dropout():
    examples = some_examples()
    one, two = (
        losses(train_steps(small_net(examples), examples, Settings(num_steps=3, seed=s)))
        for s in (0, 1)
    )
    assert (one != two).all()


def test_every_step_has_other_dropout():
    # Every batch is the same.
    examples = some_examples(num_paragraphs=8, batch_size=100, fixed=True)
    # And so is the network.
    recipe = Settings(num_steps=4, learning_rate=1e-30, word_frequencies=False)
    found = losses(train_steps(small_net(examples), examples, recipe))
    assert len(found[:, 0].unique()) == 4
    found = losses(train_steps(small_net(examples, dropout=0.0), examples, recipe))
    assert_close(found, found[:1].expand(4, 2))


def test_global_random_states_are_not_touched():
    examples = some_examples()
    net = small_net(examples)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    for _ in train_steps(net, examples, Settings(num_steps=3)):
        assert torch.equal(torch.get_rng_state(), before[0])  # at every yield, not only in the end
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()


@pytest.mark.parametrize("stop_after", [1, 5])
def test_a_resumed_run_gives_the_losses_of_an_uninterrupted_one(stop_after):
    examples, recipe = some_examples(), Settings(num_steps=12, embedding_rate=0.5)
    net = small_net(examples)
    optimizers = make_optimizers(net, recipe)
    steps, file = [], io.BytesIO()
    for step in train_steps(net, examples, recipe, optimizers=optimizers):
        steps.append(step)
        if step.step == stop_after:
            saved = {
                "net": net.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            }
            torch.save(saved, file)
    file.seek(0)
    saved = torch.load(file)
    again = small_net(some_examples())
    again.reset(torch.Generator().manual_seed(5))
    again.load_state_dict(saved["net"])
    optimizers = make_optimizers(again, recipe)
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    rest = list(
        train_steps(again, some_examples(), recipe, optimizers=optimizers, first_step=stop_after)
    )
    assert [step.step for step in rest] == list(range(stop_after + 1, 13))
    assert_identical(losses(rest), losses(steps[stop_after:]))
    for name, value in again.state_dict().items():
        assert_identical(value, net.state_dict()[name])


def test_a_new_epoch_begins_where_the_last_one_ended():
    examples = some_examples(num_paragraphs=8, batch_size=4)
    asked_for = []
    original = examples.batch
    examples.batch = lambda *place: asked_for.append(place) or original(*place)
    n = len(examples)
    list(train_steps(small_net(examples), examples, Settings(num_steps=2 * n + 1)))
    assert asked_for == [(epoch, index) for epoch in range(2) for index in range(n)] + [(2, 0)]


def test_both_precisions_learn_the_same():
    examples = some_examples(num_paragraphs=200, batch_size=32)
    full, half = (
        losses(
            train_steps(
                small_net(examples, dropout=0.0), examples, Settings(num_steps=100, precision=p)
            )
        )
        for p in ("fp32", "bf16")
    )
    assert not torch.equal(full, half)
    assert full[-20:, 0].mean() < full[0, 0] - 0.5  # there was something to agree on
    assert_close(half[-20:].mean(0), full[-20:].mean(0), rtol=0, atol=0.08)


def test_the_network_starts_as_a_unigram_model():
    examples = some_examples()
    known = baselines(examples)
    net = small_net(examples)
    before = evaluate(net, examples.valid)
    start_from_word_frequencies(net, examples.vocab)
    after = evaluate(net, examples.valid)
    assert abs(before.mlm_loss - known.uniform) < 0.05 and known.unigram < known.uniform - 0.1
    assert_close(after.mlm_loss, known.unigram, rtol=0, atol=0.05)
    torch.nn.init.zeros_(net.mlm.norm.weight)  # now nothing but the bias is left
    blind = evaluate(net, examples.valid)
    assert_close(blind.mlm_loss, known.unigram, rtol=0, atol=1e-5)
    assert_close(blind.mlm_accuracy, known.unigram_accuracy, rtol=0, atol=1e-6)


def test_only_a_new_network_is_given_word_frequencies():
    examples = some_examples()
    recipe = Settings(num_steps=1, learning_rate=1e-30)
    new, not_asked, old = (small_net(examples) for _ in range(3))
    with torch.no_grad():
        old.mlm.bias[7] = 0.5
    before = old.mlm.bias.clone()
    list(train_steps(new, examples, recipe))
    list(
        train_steps(
            not_asked, examples, Settings(num_steps=1, learning_rate=1e-30, word_frequencies=False)
        )
    )
    list(train_steps(old, examples, recipe))
    counts = torch.tensor(examples.vocab.counts) + 1.0
    assert_close(new.mlm.bias.detach(), (counts / counts.sum()).log())
    assert_close(not_asked.mlm.bias.detach(), torch.zeros(len(examples.vocab)))
    assert_close(old.mlm.bias.detach(), before.detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_in_another_format_are_refused_and_kept(dtype):
    examples = some_examples()
    net = small_net(examples).to(dtype)
    before = weights_of(net)
    with pytest.raises(ValueError, match=rf"^the network's weights are {dtype}, .* net.float\(\)"):
        next(train_steps(net, examples, Settings(num_steps=1)))
    for name, value in net.state_dict().items():
        assert_identical(value, before[name])
    assert (
        len(list(train_steps(net.float(), examples, Settings(num_steps=1, precision="bf16")))) == 1
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_no_number_ends_training_and_leaves_the_weights(precision):
    examples = some_examples()
    net = small_net(examples)
    steps = train_steps(net, examples, Settings(num_steps=10, precision=precision))
    next(steps), next(steps)
    break_net(net)
    before = weights_of(net)
    with pytest.raises(
        FloatingPointError, match="^step 3 gave a loss of .* lower learning_rate than 0.005 helps$"
    ):
        next(steps)
    for name, value in net.state_dict().items():
        assert value.isfinite().all()
        assert_identical(value, before[name])


def test_a_gradient_that_is_no_number_ends_training_and_leaves_the_weights(monkeypatch):
    examples = some_examples()
    net = small_net(examples)

    def with_bad_gradient(net, batch, dtype, sampler):
        zero = net.nsp.output.bias.sum() * 0
        # The value is 1, the slope of the root is infinite.
        return Losses(zero.detach() + 1, zero.sqrt() + 1)

    monkeypatch.setattr(training, "pretraining_losses", with_bad_gradient)
    plain = Settings(num_steps=10, word_frequencies=False, word_neighbours=False)
    steps = train_steps(net, examples, plain)
    before = weights_of(net)
    with pytest.raises(FloatingPointError, match="gradient of length nan|gradient of length inf"):
        next(steps)
    for name, value in net.state_dict().items():
        assert_identical(value, before[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu(precision):
    examples = some_examples()
    recipe = Settings(num_steps=5, precision=precision)
    net = small_net(examples).cuda()
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    one = losses(train_steps(net, examples, recipe))
    assert torch.equal(torch.get_rng_state(), states[0]) and torch.equal(
        torch.cuda.get_rng_state(), states[1]
    )
    assert one.isfinite().all()
    assert math.isfinite(evaluate(net, examples.valid).mlm_loss)
    again = losses(train_steps(small_net(examples).cuda(), examples, recipe))
    assert_close(again, one, rtol=1e-3, atol=1e-3)
