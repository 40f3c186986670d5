"""What the training panel can choose."""

from dataclasses import asdict, fields, replace

import pytest
import torch
from small import assert_identical, some_examples

from bert_tutorial.studio.runs.settings import (
    DOCUMENT,
    MINE,
    MINUTE,
    NAMES,
    OPTIMIZERS,
    RECIPES,
    RunSettings,
    as_text,
    changes,
    hash_of,
    read_settings,
    recipe_of,
)

SMALL = RunSettings(num_hiddens=16, batch_size=16, num_steps=3)


def test_every_setting_has_a_name():
    assert list(NAMES) == [field.name for field in fields(RunSettings)]
    assert len(set(NAMES.values())) == len(NAMES)


def test_the_document_is_the_default():
    assert RECIPES[DOCUMENT] == RunSettings()
    assert recipe_of(RunSettings()) == DOCUMENT and recipe_of(RECIPES[MINUTE]) == MINUTE
    assert recipe_of(SMALL) == MINE


def test_network_examples_and_recipe_are_what_the_settings_say():
    of = some_examples()
    settings = replace(
        SMALL, num_heads=4, num_layers=3, mask_rate=0.4, sentences=2, next_sentence=False,
        word_frequencies=False, dropout=0.1, learning_rate=0.01, seed=7, optimizer="adam",
    )  # fmt: skip
    config = settings.network(len(of.vocab)).config
    assert (config.num_heads, config.num_layers, config.num_hiddens) == (4, 3, 16)
    assert config.ffn_num_hiddens == 32 and config.dropout == 0.1
    examples = settings.examples(of)
    assert examples.sentence_counts == [1, 2] and examples.next_sentence_rate == 1.0
    assert (examples.mask_rate, examples.seed, examples.valid) == (0.4, 7, of.valid)
    recipe = settings.recipe()
    assert (recipe.num_steps, recipe.learning_rate, recipe.seed) == (3, 0.01, 7)
    assert not recipe.word_frequencies and recipe.optimizer == "adam"


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(num_steps=0), "num_steps is 0"),
        (dict(learning_rate=2.0), "learning_rate is 2"),
        (dict(num_heads=3), "num_heads"),
        (dict(batch_size=0), "batch_size is 0"),
        (dict(mask_rate=0.0), "mask_rate is 0"),
        (dict(dropout=1.5), "dropout"),
        (dict(optimizer="sgd"), "optimizer is 'sgd'"),
        (dict(embedding_rate=-1.0), "embedding_rate"),
    ],
)
def test_a_setting_that_cannot_be_is_named(change, message):
    of, settings = some_examples(), replace(SMALL, **change)
    with pytest.raises(ValueError, match=message):
        settings.recipe(), settings.examples(of), settings.config(50)


def test_settings_as_text():
    assert as_text("dropout", 0.2) == "20" and as_text("learning_rate", 5e-3) == "0.005"
    assert as_text("word_frequencies", False) == "no" and as_text("embedding_rate", 0.5) == "50"
    for title, kind in OPTIMIZERS.items():
        assert as_text("optimizer", kind) == title


def test_changes_are_told_by_name():
    assert changes(RunSettings(), RunSettings()) == ""
    told = changes(RunSettings(), replace(RunSettings(), num_steps=9, dropout=0.0))
    assert told == "Steps 50 → 9, Dropout, % 20 → 0"


def test_settings_of_another_version_are_refused():
    kept = asdict(SMALL)
    assert read_settings(kept) == SMALL
    with pytest.raises(ValueError, match="of another version: .* colour$"):
        read_settings(kept | {"colour": "red"})
    del kept["dropout"]
    with pytest.raises(ValueError, match="of another version: .* dropout$"):
        read_settings(kept)


def test_a_hash_tells_texts_and_lengths_apart():
    one, same, longer = some_examples(60), some_examples(60), some_examples(61)
    assert hash_of(one) == hash_of(same) != hash_of(longer)
    assert hash_of(SMALL.examples(one)) == hash_of(one)  # settings are told apart elsewhere
    same.max_len = 32
    assert hash_of(one) != hash_of(same)
    one.valid = None
    assert hash_of(one) not in (hash_of(some_examples(60)), hash_of(same))
