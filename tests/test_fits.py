"""Whether a training fits, what to change where it does not, and what a run costs."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from one_sentence import assert_one_sentence
from small import made_up_text, small_net, some_examples, tokenized

from bert_tutorial.exercises.memory import GIB, memory_of, peak_of
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.pretraining.run import Settings
from bert_tutorial.pretraining.training import train_steps
from bert_tutorial.studio.runs import fits
from bert_tutorial.studio.runs.fits import (
    available_memory,
    check_fits,
    cost_of,
    flops_of,
    longest_row,
    mean_tokens,
    measure_speed,
    nearest_that_fits,
)
from bert_tutorial.studio.runs.settings import RunSettings
from bert_tutorial.text.examples import PretrainingExamples

LARGE = BERTConfig.large()
SETTINGS = RunSettings(num_hiddens=16, batch_size=16, num_steps=3)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("gib", [8, 16, 24, 80])
def test_bert_large_can_be_made_to_fit(gib, device):
    found = nearest_that_fits(LARGE, 256, 512, gib * GIB, rows=64, device=device)
    for settings, estimate, sentence in found:
        how = dict(rows=64, device=device) | settings
        assert memory_of(LARGE, 256, 512, **how) == estimate and estimate.total <= gib * GIB
        assert sentence.endswith("iB.")
        assert_one_sentence(sentence)
    changes = [settings.items() for settings, *_ in found]
    assert not any(one <= two for one, two in combinations(changes, 2))
    assert list(found[0].settings) == ["rows"]  # which loses nothing
    assert "checkpointing" in found[1].settings


def test_only_where_nothing_else_helps_something_is_lost():
    (found,) = nearest_that_fits(LARGE, 256, 512, 4 * GIB, rows=8)
    assert found.settings["num_layers"] > 6 and "fewer layers" in found.sentence
    fewer = BERTConfig.large(num_layers=2)
    how = dict(precision="bf16", checkpointing=True, optimizer="adam")
    need = memory_of(fewer, 256, 512, rows=1, **how).total
    (shorter,) = nearest_that_fits(fewer, 256, 512, need - 1, rows=8, **how)
    assert shorter.settings["length"] in (32, 64, 128, 256)
    assert nearest_that_fits(LARGE, 256, 512, GIB // 8, rows=8) == []
    small = BERTConfig.small(5000)
    (as_it_is,) = nearest_that_fits(small, 256, 512, 8 * GIB, rows=256)
    assert as_it_is.settings == {} and as_it_is.sentence.startswith("It fits")


def test_a_training_that_does_not_fit_is_refused_and_what_is_unknown_is_not(monkeypatch):
    examples = some_examples()
    net, length = small_net(examples), longest_row(examples)
    settings = Settings(num_steps=1, precision="fp32")
    need = memory_of(net.config, 16, length, slots=length * 15 // 100 + 1)
    check_fits(net, examples, settings, need.total - need.parameters)  # never what fits
    with pytest.raises(
        MemoryError, match=r"^the tensors .* take \d.* MiB .*but there are .*: take"
    ):
        check_fits(net, examples, settings, need.total * 2 // 3 - need.parameters)
    with pytest.raises(MemoryError, match="even one layer and one short row do not fit$") as error:
        check_fits(net, examples, settings, 1)
    assert_one_sentence(str(error.value))
    monkeypatch.setattr(fits, "longest_row", None)  # where all is well the text is not looked at
    check_fits(net, examples, settings)
    monkeypatch.setattr(fits, "available_memory", lambda _: None)
    check_fits(net, examples, settings)


def test_short_texts_are_not_taken_for_long_ones():
    examples = some_examples()
    examples.max_len = 512
    assert longest_row(examples) == -(-int(max(b.valid_lens.max() for b in examples)) // 8) * 8
    net = small_net(examples, max_len=512)
    there = memory_of(net.config, 16, 48).total
    check_fits(net, examples, Settings(num_steps=1, precision="fp32"), there)


# How much there is.

VERSION_1 = {
    "memory/a/memory.limit_in_bytes": "5000000\n",
    "memory/a/memory.usage_in_bytes": "3000000\n",
    "memory/a/memory.stat": "cache 7\ntotal_inactive_file 1000000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.usage_in_bytes": "3000000\n",
    "memory/memory.stat": "",
}
VERSION_2 = {
    "a/b/memory.max": "max\n",
    "a/b/memory.current": "10\n",
    "a/b/memory.stat": "inactive_file 0\n",
    "a/memory.max": "4000000\n",
    "a/memory.current": "3500000\n",
    "a/memory.stat": "inactive_file 1000\n",
}


@pytest.mark.parametrize(
    ("cgroups", "room"), [({}, 8_192_000), (VERSION_1, 3_000_000), (VERSION_2, 501_000)]
)
def test_a_container_may_have_less(cgroups, room, tmp_path):
    files = {
        "proc/meminfo": "MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable: 8000 kB\nHugePages: 0\n",
        "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/a/b\n",
    }
    for name, text in (files | {f"sys/fs/cgroup/{k}": v for k, v in cgroups.items()}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_memory("cpu", tmp_path) == room


def test_other_systems_tell_how_much_there_is_or_nothing(tmp_path, monkeypatch):
    assert available_memory() > 10 * 2**20
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(fits.os, "sysconf", pages.__getitem__)
    assert available_memory("cpu", tmp_path) == 4_096_000
    monkeypatch.delattr(fits.os, "sysconf")  # as on Windows
    assert available_memory("cpu", tmp_path) is None


def test_parameters_are_those_of_the_network_and_no_generator_is_touched():
    of, before = some_examples(), torch.random.get_rng_state()
    settings = replace(SETTINGS, num_layers=3, num_heads=8, num_hiddens=48)
    parameters = cost_of(settings, of).parameters
    assert torch.equal(torch.random.get_rng_state(), before)
    assert parameters == sum(p.numel() for p in settings.network(len(of.vocab)).parameters())


def test_operations_are_those_counted_by_hand():
    # D = 2, F = 4, V = 10; 8 tokens, 2 of them to be predicted
    config = BERTConfig(vocab_size=10, num_hiddens=2, ffn_num_hiddens=4, num_heads=1)
    matrices, scores_and_means = 4 * 2 * (2 * 2) + 2 * 2 * (2 * 4), 2 * 2 * (8 * 2)
    first_layer = 8 * (matrices + scores_and_means)
    last_layer = 2 * (matrices + scores_and_means) + 8 * (2 * 2 * 2 * 2)
    head = 2 * (2 * 2 * 2 + 2 * 2 * 10)
    assert flops_of(config, 8, 0.25) == 3 * (first_layer + last_layer + head)


@pytest.mark.parametrize("sentences", [(1,), (1, 2, 3)])
def test_the_mean_length_is_that_of_the_batches(sentences):
    of, settings = some_examples(200), replace(SETTINGS, sentences_per_segment=sentences)
    examples = settings.examples(of)
    lengths = [examples.batch(0, i).valid_lens.float().mean() for i in range(len(examples))]
    wanted = float(torch.stack(lengths).mean())
    assert 0.75 * wanted < mean_tokens(settings, of) < 1.33 * wanted


@pytest.mark.parametrize(
    "change",
    [dict(num_hiddens=64, dropout=0.0, mask_rate=0.4), dict(num_layers=3, optimizer="adam")],
)
def test_memory_is_about_what_a_training_takes(change):
    of = PretrainingExamples(*tokenized(made_up_text(60)), 64, 64)
    settings = RunSettings(num_steps=2, batch_size=64, word_neighbours=False, **change)

    def train():
        list(train_steps(settings.network(len(of.vocab)), settings.examples(of), settings))

    taken, expected = peak_of(train, torch.device("cpu")), cost_of(settings, of).memory
    assert taken / 1.7 < expected < 1.7 * taken


def test_speed_is_that_of_this_machine():
    assert 1e6 < measure_speed(some_examples()) < 1e16


def test_a_step_that_decodes_some_words_costs_less():
    config = BERTConfig.small(8000)
    every, some, more = (flops_of(config, 40, 0.5, decoded) for decoded in (0, 4000, 9000))
    words = 3 * 20 * 2 * 128  # operations of a word that is decoded, for the 20 hidden places
    assert every == more and every - some == pytest.approx(4000 * words)
