"""What makes a run, the settings that are prepared, and the prepared comparisons."""

import json
from dataclasses import asdict, replace
from functools import lru_cache

import pytest
import torch
from small import assert_identical, some_examples

from bert_tutorial import load_data_wiki
from bert_tutorial.pretraining.evaluation import evaluate
from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs import settings as module
from bert_tutorial.studio.runs.experiments import EXPERIMENTS, START
from bert_tutorial.studio.runs.settings import DOCUMENT, PANEL_RECIPES, RECIPES, RunSettings
from bert_tutorial.studio.widgets import panel_controls as panel
from bert_tutorial.text.corpora import CORPORA

SMALL = RunSettings(num_hiddens=16, ffn_num_hiddens=24, batch_size=16, num_steps=3)
ALL = [SMALL, *RECIPES.values(), *PANEL_RECIPES.values()]


def test_recipes_are_of_corpora_and_the_panel_begins_as_the_document():
    assert set(RECIPES) <= set(CORPORA) and PANEL_RECIPES[DOCUMENT] == RunSettings()


def test_network_and_examples_are_what_the_settings_say():
    of, others = some_examples(), dict(dropout=0.1, num_heads=4, num_layers=3)
    how = dict(mask_rate=0.4, sentences_per_segment=(1, 2), next_sentence_rate=1.0, seed=7)
    settings = replace(SMALL, **how, **others)
    config, examples = settings.network(len(of.vocab), 40).config, settings.examples(of)
    wanted = dict(num_hiddens=16, ffn_num_hiddens=24, max_len=40, **others)
    assert {name: getattr(config, name) for name in wanted} == wanted
    how["sentence_counts"] = list(how.pop("sentences_per_segment"))
    how |= dict(batch_size=16, valid=of.valid, max_len=of.max_len, text=of.text)
    assert {name: getattr(examples, name) for name in how} == how


def test_a_network_follows_from_its_seed_and_draws_from_no_other_generator():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = SMALL.network(50).state_dict(), SMALL.network(50).state_dict()
    other = replace(SMALL, seed=1).network(50).state_dict()
    assert_identical(torch.random.get_rng_state(), before)
    for name, value in one.items():
        assert value.isfinite().all()
        assert_identical(value, two[name])
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_settings_as_the_panel_shows_them():
    for settings in PANEL_RECIPES.values():
        values = {name: panel.shown(name, getattr(settings, name)) for name in panel.NAMES}
        assert panel.from_shown(values, settings) == settings
    assert values["sentences_per_segment"] == 3 and values["mask_rate"] == 50
    assert panel.from_shown(values | {"num_hiddens": 96}, settings).ffn_num_hiddens == 192
    told = dict(dropout=(0.125, "12.5"), learning_rate=(5e-3, "0.005"), embedding_rate=(0.5, "50"))
    told |= dict(word_frequencies=(False, "no"), sentences_per_segment=([1, 2, 3], "3"))
    for name, (value, text) in told.items():
        assert panel.as_text(name, value) == text
    for title, kind in panel.OPTIMIZERS.items():
        assert panel.as_text("optimizer", kind) == title
    after = replace(SMALL, num_steps=9, dropout=0.0, next_sentence_rate=1.0)
    told = "Steps 3 → 9, Dropout, % 20 → 0, Next-sentence game yes → no"
    assert panel.changes(SMALL, SMALL) == "" and panel.changes(SMALL, after) == told


def test_settings_are_read_as_they_were_and_of_another_version_refused():
    for settings in ALL:
        stored = json.loads(json.dumps(asdict(settings)))
        assert module.read_settings(stored) == settings
    with pytest.raises(ValueError, match="of another version: .* colour$"):
        module.read_settings(stored | {"colour": "red"})
    del stored["dropout"]
    with pytest.raises(ValueError, match="of another version: .* dropout$"):
        module.read_settings(stored)


def test_a_hash_tells_texts_lengths_and_vocabularies_apart():
    one, others = some_examples(60), [some_examples(60) for _ in range(3)]
    assert module.hash_of(one) == module.hash_of(others[0]) == module.hash_of(SMALL.examples(one))
    others[0].max_len, others[1].valid = 32, None
    others[2].vocab.itos[-1] = "another"
    assert len({module.hash_of(examples) for examples in [one, some_examples(61), *others]}) == 5


@lru_cache
def held_out_loss(settings):
    train_iter, vocab = load_data_wiki(512, 64, "bundled")
    net = settings.network(len(vocab))
    for _ in train_steps(net, settings.examples(train_iter), settings):
        pass
    return evaluate(net, train_iter.valid).mlm_loss


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_experiment_shows_what_it_says():  # one test, so that runs are shared
    for title, experiment in EXPERIMENTS.items():
        losses = [held_out_loss(settings) for settings in experiment.runs.values()]
        print(title, [round(loss, 3) for loss in losses])
        assert experiment.holds(losses), (title, losses)


# Held-out losses that the runs of each experiment had, measured by the test above.
MEASURED = {
    "heads 1, 2, 4, 8": [5.163, 5.133, 5.321, 5.576],
    "mask rate 5, 15, 50, 80 %": [6.117, 5.443, 5.133, 5.732],
    "d2l's Adam at 0.01, or ours": [5.133, 6.373],
    "with and without word frequencies": [5.133, 5.841],
}


@pytest.mark.parametrize("title", EXPERIMENTS)
def test_runs_of_an_experiment_differ_in_one_thing_and_its_answer_can_be_wrong(title):
    experiment, measured = EXPERIMENTS[title], MEASURED[title]
    all_settings = [asdict(settings) for settings in experiment.runs.values()]
    differ = {name for name in asdict(START) if len({s[name] for s in all_settings}) > 1}
    assert len(differ) == 1 or differ == {"optimizer", "learning_rate"}
    assert START in experiment.runs.values() and experiment.answer and experiment.question
    assert len(measured) == len(experiment.runs) and experiment.holds(measured)
    assert not experiment.holds(measured[::-1]) and not experiment.holds([5.0] * len(measured))
