"""What a run will cost: parameters, memory, time."""

from dataclasses import asdict, replace

import pytest
import torch
from small import made_up_text, some_examples, tokenized
from torch.profiler import ProfilerActivity, profile

from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs.cost import (
    cost_of,
    flops_of,
    kept_speed,
    mean_tokens,
    measure_speed,
    told,
)
from bert_tutorial.studio.runs.saved_runs import SavedRuns
from bert_tutorial.studio.runs.settings import RECIPES, RunSettings
from bert_tutorial.text.examples import PretrainingExamples

SMALL = RunSettings(num_hiddens=16, batch_size=16, num_steps=3)


@pytest.mark.parametrize(
    "settings", [SMALL, replace(SMALL, num_layers=3, num_heads=8, num_hiddens=48), RunSettings()]
)
def test_parameters_are_those_of_the_network(settings):
    of = some_examples()
    net = settings.network(len(of.vocab))
    assert cost_of(settings, of).parameters == sum(p.numel() for p in net.parameters())


def test_operations_are_those_counted_by_hand():
    settings = RunSettings(num_hiddens=2, num_heads=1, num_layers=2, mask_rate=0.25)
    config = settings.config(10)  # D = 2, F = 4, V = 10; 8 tokens, 2 of them to be predicted
    queries_keys_values_output, feed_forward = 4 * 2 * (2 * 2), 2 * 2 * (2 * 4)
    scores_and_means = 2 * 2 * (8 * 2)
    token = queries_keys_values_output + feed_forward + scores_and_means
    first_layer, last_layer = 8 * token, 2 * token + 8 * (2 * 2 * 2 * 2)
    head = 2 * (2 * 2 * 2 + 2 * 2 * 10)
    assert flops_of(config, 8, settings) == 3 * (first_layer + last_layer + head)


def test_the_mean_length_is_that_of_the_batches():
    of = some_examples(200)
    for sentences in (1, 3):
        settings = replace(SMALL, sentences=sentences)
        examples = settings.examples(of)
        lengths = [examples.batch(0, i).valid_lens.float().mean() for i in range(len(examples))]
        wanted = float(torch.stack(lengths).mean())
        assert 0.75 * wanted < mean_tokens(settings, of) < 1.33 * wanted


def peak_of(settings, of):
    """Bytes of all tensors of a training at its fullest moment."""
    net = settings.network(len(of.vocab))
    recipe = replace(settings.recipe(), word_neighbours=False)
    steps = train_steps(net, settings.examples(of), recipe)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        list(steps)
    events = seen.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    now, most = 0, 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most + sum(4 * p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    "change",
    [
        dict(num_hiddens=32, num_layers=1),
        dict(num_hiddens=64, dropout=0.0, mask_rate=0.4),
        dict(num_hiddens=128, num_layers=3, optimizer="adam"),
    ],
)
def test_memory_is_about_what_a_training_takes(change):
    vocab, text = tokenized(made_up_text(60))
    of = PretrainingExamples(vocab, text, 64, 64)
    settings = RunSettings(num_steps=2, batch_size=64, **change)
    taken, expected = peak_of(settings, of), cost_of(settings, of).memory
    print(f"{change}: {taken / 1e6:.1f} MB taken, {expected / 1e6:.1f} MB expected")
    assert taken / 1.7 < expected < 1.7 * taken


def test_more_of_anything_costs_more():
    of = some_examples()
    before = cost_of(SMALL, of)
    for change in (dict(num_hiddens=32), dict(num_layers=3), dict(batch_size=64)):
        after = cost_of(replace(SMALL, **change), of)
        assert after.flops > before.flops and after.memory > before.memory
    assert before.seconds(20, 1e9) == pytest.approx(2 * before.seconds(10, 1e9))


def test_the_speed_of_this_machine_is_measured():
    of = some_examples()
    speed = measure_speed(of)
    print(f"about {told(cost_of(RECIPES['learns in a minute'], of).seconds(430, speed))}")
    assert 1e6 < speed < 1e16


def test_a_speed_is_taken_from_the_first_kept_run_that_can_tell_it(tmp_path):
    of, store = some_examples(), SavedRuns(tmp_path)
    assert kept_speed([], of) is None

    def kept(settings, **story):
        run = store.new("a run", settings, "text", 3)
        run.story |= story
        return run

    fast = dict(pairs_per_second=100.0, step=10)
    early = kept(asdict(SMALL), pairs_per_second=5.0, step=9)
    other = kept(asdict(SMALL) | {"colour": "red"}, **fast)
    odd = kept(asdict(SMALL) | {"num_hiddens": "many"}, **fast)
    good = kept(asdict(SMALL), **fast)
    wanted = cost_of(SMALL, of).flops / 16 * 100
    assert kept_speed([early, other, odd, good], of) == pytest.approx(wanted)
    assert kept_speed([early, other, odd], of) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "a second"), (59.6, "60 seconds"), (150, "2 minutes"), (36000, "10.0 hours")],
)
def test_times_are_told_in_words(seconds, text):
    assert told(seconds) == text


def test_the_estimate_touches_no_generator():
    before = torch.random.get_rng_state()
    cost_of(SMALL, some_examples())
    assert torch.equal(torch.random.get_rng_state(), before)
