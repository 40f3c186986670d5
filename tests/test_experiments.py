"""The prepared comparisons of the training panel show what they say."""

from dataclasses import asdict
from functools import lru_cache

import pytest

from bert_tutorial import load_data_wiki
from bert_tutorial.pretraining.evaluation import evaluate
from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs.experiments import EXPERIMENTS, START


@lru_cache
def held_out_loss(settings):
    train_iter, vocab = load_data_wiki(512, 64, "bundled")
    net = settings.network(len(vocab))
    for _ in train_steps(net, settings.examples(train_iter), settings.recipe()):
        pass
    return evaluate(net, train_iter.valid).mlm_loss


@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_experiment_shows_what_it_says():  # one test, so that runs are shared
    for title, experiment in EXPERIMENTS.items():
        losses = [held_out_loss(settings) for settings in experiment.runs.values()]
        assert experiment.holds(losses), (title, losses)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_runs_differ_in_one_thing(experiment):
    all_settings = [asdict(settings) for settings in experiment.runs.values()]
    differ = {name for name in asdict(START) if len({s[name] for s in all_settings}) > 1}
    assert len(differ) == 1 or differ == {"optimizer", "learning_rate"}
    assert START in experiment.runs.values() and experiment.answer and experiment.question


def test_what_a_comparison_says_can_be_wrong():
    for experiment in EXPERIMENTS.values():
        assert not experiment.holds([5.0] * len(experiment.runs))
