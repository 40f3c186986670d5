"""The settings, the loop, and a run with its evaluations."""

import inspect
import random
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import assert_identical, losses, small_net, some_examples, weights_of
from torch.testing import assert_close

from bert_tutorial.devices import pick_dtype
from bert_tutorial.network.losses import Losses, pretraining_losses
from bert_tutorial.network.model import in_mode
from bert_tutorial.parallel import ALONE, Processes
from bert_tutorial.pretraining import training
from bert_tutorial.pretraining.evaluation import Evaluation, baselines, evaluate
from bert_tutorial.pretraining.run import Progress, Settings, Step, status_line
from bert_tutorial.pretraining.training import (
    losses_and_gradients,
    plain_steps,
    prepare,
    run_training,
)
from bert_tutorial.text.examples import Batch


def train_steps(net, examples, num_steps=1, **how):
    return training.train_steps(net, examples, Settings(num_steps=num_steps, **how))


def train(net, examples, num_steps=1, **how):
    return losses(train_steps(net, examples, num_steps, **how))


@settings(deadline=None)  # a time limit would be about the machine
@given(st.integers(1, 400), st.floats(0, 1), st.floats(1e-5, 0.9))
def test_the_learning_rate_rises_then_falls_and_is_never_negative(num_steps, warmup, learning_rate):
    how = Settings(num_steps=num_steps, warmup=warmup, learning_rate=learning_rate)
    rates = [how.learning_rate_at(step) for step in range(num_steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(learning_rate) and min(rates) > 0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_steps", 0), ("num_steps", 2.5), ("num_steps", "50"), ("learning_rate", 0),
        ("learning_rate", 1.0), ("learning_rate", float("nan")), ("warmup", -0.1), ("warmup", 1.1),
        ("precision", "fp16"), ("seed", 2**70), ("optimizer", "sgd"), ("sampled_words", -1),
        ("embedding_rate", -1), ("weight_decay", -1), ("max_grad_norm", 0),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field} is .* must "):
        Settings(**{field: value})


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.15)])
def test_gradients_of_a_batch_in_parts_are_those_of_the_whole(monkeypatch, precision, tolerance):
    monkeypatch.setattr(training, "rows_at_once", lambda net, device: 32)
    examples = some_examples(batch_size=2 * 32 + 12)
    batch = examples.batch(0, 0)
    slots = [part.mlm_weights.sum().item() for part in batch.split(32)]
    assert len(slots) == 3 == len(set(slots))  # so a mean over parts is not the mean over slots
    whole, parts = small_net(examples, dropout=0.0), small_net(examples, dropout=0.0)
    wanted = pretraining_losses(whole, batch, pick_dtype(precision, torch.device("cpu")))
    sum(wanted).backward()
    got = losses_and_gradients(parts, batch, Settings(precision=precision), 0)
    assert_close(torch.tensor(got), torch.stack(wanted).detach(), rtol=tolerance / 10, atol=0)
    for (name, one), two in zip(parts.named_parameters(), whole.parameters(), strict=True):
        assert (one.grad - two.grad).norm() <= tolerance * two.grad.norm() + 1e-7, name


def test_the_plain_loop_learns_what_train_steps_learns(monkeypatch):
    monkeypatch.setattr(training, "rows_at_once", lambda net, device: 7)
    examples, how = some_examples(), Settings(num_steps=5, precision="fp32")
    plain, net = small_net(examples, dropout=0.0), small_net(examples, dropout=0.0)
    found = torch.tensor(list(plain_steps(plain, examples, how)), dtype=torch.float64)
    wanted = train(net, examples, 5, precision="fp32")
    assert_close(found, wanted, rtol=1e-4, atol=1e-5, check_dtype=False)
    assert_close(weights_of(plain), weights_of(net), rtol=0, atol=5e-3)
    source = inspect.getsource(plain_steps).split('"""')[2].strip().splitlines()
    assert len(source) <= 15 and found[-1].sum() < found[0].sum()


def test_processes_share_a_batch(monkeypatch):
    """One after the other in this process: what they would add up is added here."""
    sent, examples, how = [], some_examples(), Settings(precision="fp32")
    monkeypatch.setattr("torch.distributed.all_reduce", sent.append)
    batch, two = examples.batch(0, 0), [Processes(0, 2), Processes(1, 2)]

    def gradients(dropout, batch, processes):
        sent.clear()
        net = small_net(examples, dropout=dropout)
        found = losses_and_gradients(net, batch, how, 0, processes=processes)
        found = [torch.tensor(found), *(p.grad for p in net.parameters())]
        assert len(sent) == (processes != ALONE)  # all in one call
        return found

    shares = [gradients(0.0, batch, process) for process in two]
    for *parts, wanted in zip(*shares, gradients(0.0, batch, ALONE), strict=True):
        assert_close(sum(parts), wanted, rtol=1e-4, atol=1e-6)
    twins = Batch(*(torch.cat([field[:1]] * 2) for field in batch))  # each has the same row
    one, other = (gradients(0.5, twins, process)[0] for process in two)
    assert (one != other).all()  # and drops other values


def test_an_optimizer_has_its_rate_and_the_network_to_itself():
    examples, how, seen = some_examples(), Settings(num_steps=2), []
    net, group = small_net(examples), {"factor": 0.5}

    def read(done):
        with in_mode(net, training=False):
            done.set()

    def step():
        threading.Thread(target=read, args=[done := threading.Event()]).start()
        seen.append((group["lr"], done.wait(0.05)))

    optimizer = SimpleNamespace(param_groups=[group], step=step)
    list(training.train_steps(net, examples, how, optimizers=[optimizer]))
    assert seen == [(how.learning_rate_at(step) * 0.5, False) for step in range(2)]


@pytest.mark.parametrize(("rate", "changed"), [(1.0, False), (0.5, True)])
def test_without_the_next_sentence_game_its_head_is_left_alone(rate, changed):
    examples = some_examples(next_sentence_rate=rate)
    net = small_net(examples)
    before = net.nsp.hidden.weight.detach().clone()
    assert train(net, examples)[0, 1] > 0.1
    assert torch.equal(before, net.nsp.hidden.weight) is not changed
    assert Progress(examples, Settings()).with_nsp is changed


def test_one_batch_can_be_overfitted():
    examples = some_examples(num_paragraphs=8, batch_size=100, fixed=True)
    net, known = small_net(examples, dropout=0.0), baselines(examples)
    last = train(net, examples, 60, learning_rate=0.01)[-1]
    assert last[0] < 0.2 * known.unigram and last[1] < 0.2 * known.nsp
    result = evaluate(net, examples)
    assert result.mlm_accuracy > 0.95 and result.nsp_accuracy > 0.95


def test_what_a_step_tells_and_that_no_gradient_is_longer_than_max_grad_norm():
    examples = some_examples()
    net, how = small_net(examples), dict(num_steps=3, max_grad_norm=0.01, precision="fp32")
    for number, step in enumerate(train_steps(net, examples, **how)):
        assert (step.step, step.num_pairs) == (number + 1, 16) and step.seconds > 0
        assert step.learning_rate == Settings(**how).learning_rate_at(number)
        length = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
        assert_close(length.item(), 0.01, rtol=0.01, atol=0)


def test_the_same_seed_gives_the_same_losses_bit_by_bit_and_a_precision_others():
    found, examples = [], some_examples()
    others = random.getstate(), np.random.get_state()[1].tolist()
    for seed, precision in ((0, "fp32"), (0, "fp32"), (1, "fp32"), (0, "bf16"), (0, "bf16")):
        net, steps = small_net(examples), []
        torch.manual_seed(len(found))  # of no importance: the dropout has a seed of its own
        before = torch.get_rng_state()
        for step in train_steps(net, examples, 4, precision=precision, seed=seed):
            steps.append(step)
            assert torch.equal(torch.get_rng_state(), before)  # at every yield, not only in the end
        found.append(losses(steps))
    assert_identical(found[0], found[1])
    assert_identical(found[3], found[4])
    assert (found[0] != found[2]).all() and (found[0] != found[3]).any()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others


def test_every_step_has_other_dropout():
    # Every batch is the same, and so is the network.
    examples = some_examples(num_paragraphs=8, batch_size=100, fixed=True)
    for dropout, number in ((0.2, 4), (0.0, 1)):
        net = small_net(examples, dropout=dropout)
        found = train(net, examples, 4, word_frequencies=False, learning_rate=1e-30)[:, 0]
        assert len((found * 1e4).round().unique()) == number


def test_the_network_starts_as_a_unigram_model():
    net, known = small_net(examples := some_examples()), baselines(examples)
    assert abs(evaluate(net, examples.valid).mlm_loss - known.uniform) < 0.05
    prepare(net, examples, Settings(word_neighbours=False))
    found = evaluate(net, examples.valid).mlm_loss
    assert found < known.uniform - 0.1 and abs(found - known.unigram) < 0.05
    torch.nn.init.zeros_(net.mlm.norm.weight)  # now nothing but the bias is left
    assert_close(evaluate(net, examples.valid)[:2], known[1:3], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("old", "asked"), [(False, False), (False, True), (True, True)])
def test_only_a_new_network_is_given_what_counting_knows(old, asked):
    net = small_net(examples := some_examples())
    with torch.no_grad():
        net.mlm.bias[7] = 0.5 * old
    before = net.mlm.bias.clone(), net.word_vectors.clone()
    prepare(net, examples, Settings(word_frequencies=asked, word_neighbours=asked))
    for one, two in zip(before, (net.mlm.bias, net.word_vectors), strict=True):
        assert torch.equal(one, two) is not (asked and not old)


def test_weights_in_another_format_are_refused_and_kept():
    net = small_net(examples := some_examples()).bfloat16()
    before = weights_of(net)
    for steps in train_steps(net, examples), run_training(net, Progress(examples, Settings())):
        with pytest.raises(ValueError, match=r"^the network's weights are torch.bf.* net.float"):
            next(steps)
    assert_identical(weights_of(net), before)
    assert len(train(net.float(), examples, precision="bf16")) == 1


def test_a_gradient_that_is_no_number_ends_training_and_leaves_the_weights(monkeypatch):
    net = small_net(examples := some_examples())
    steps = train_steps(net, examples, 10)
    next(steps), next(steps)
    zero = net.nsp.output.bias.sum() * 0  # the slope of its root is infinite
    bad, before = Losses(zero + 1, zero.sqrt() + 1), weights_of(net)
    monkeypatch.setattr(training, "pretraining_losses", lambda *_: bad)
    message = "^step 3 gave .* of length (nan|inf): .* a lower learning_rate than 0.005 helps$"
    with pytest.raises(FloatingPointError, match=message):
        next(steps)
    assert_identical(weights_of(net), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu(precision):
    examples = some_examples()
    net, states = small_net(examples).cuda(), (torch.get_rng_state(), torch.cuda.get_rng_state())
    one = train(net, examples, 5, precision=precision)
    assert_identical((torch.get_rng_state(), torch.cuda.get_rng_state()), states)
    assert one.isfinite().all() and evaluate(net, examples.valid).mlm_loss < 10
    again = train(small_net(examples).cuda(), examples, 5, precision=precision)
    assert_close(again, one, rtol=1e-3, atol=1e-3)


def test_a_run_counts_then_evaluates_and_trains_by_turns():
    examples = some_examples()
    examples.valid = valid = some_examples(batch_size=4).valid
    plain = train(small_net(examples), examples, 4)
    prepare(prepared := small_net(examples), examples, Settings())
    net, run, seen = small_net(examples), Progress(examples, Settings(num_steps=4)), []
    for _ in run_training(net, run, num_evaluations=2):
        seen.append((run.doing, len(run.history), len(run.held_out)))
        evaluate(net, valid, 1)  # whoever has the turn may use the network: that changes nothing
    assert seen == [
        ("counting", 0, 0), ("counting", 0, 0), ("evaluating", 0, 0), ("training", 0, 1),
        ("training", 1, 1), ("evaluating", 2, 1), ("training", 2, 2), ("training", 3, 2),
        ("evaluating", 4, 2), ("training", 4, 4),
    ]  # fmt: skip
    assert_identical(losses(run.history), plain)
    few = evaluate(prepared, valid, num_batches=4)  # the same are asked each time, at the end all
    assert few != evaluate(prepared, valid) and run.held_out[0] == (0, few)
    assert run.held_out[2:] == [(4, evaluate(net, valid, 4)), (4, evaluate(net, valid))]
    assert run.baselines == baselines(examples)


def test_what_was_read_before_a_run_goes_on_is_not_read_again():
    examples, known = some_examples(), (0, Evaluation(1.0, 0.0, 1.0, 0.0))
    run = Progress(examples, Settings(num_steps=1), held_out=[known])
    assert len(list(run_training(small_net(examples), run))) == 6
    assert [step for step, _ in run.held_out] == [0, 1] and run.held_out[0] == known


def test_what_is_said_of_a_run():
    progress = Progress(some_examples(), Settings(num_steps=400))
    assert status_line(progress) == "step 0 of 400: counting words and their neighbours"
    progress.doing = "training"
    assert status_line(progress) == "step 0 of 400: the first step is on its way"
    assert progress.pairs_per_second == 0
    progress.history += [Step(n, 5.0, 0.7, 20, 2.0 if n <= 20 else 0.25, 0.1) for n in range(1, 41)]
    assert progress.seconds == 45 and repr(progress) == "Progress(40 of 400 steps)"
    assert status_line(progress) == (
        "step 40 of 400, MLM loss 5.00, about 90 seconds left, 0.9 steps/s, 18 pairs/s"
    )
    progress.doing = "evaluating"
    assert status_line(progress) == "step 40 of 400: reading held-out text"
