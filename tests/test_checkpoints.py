"""Checkpoints: writing, reading, and choosing between them."""

import json
import re
from functools import partial

import pytest
import torch
from one_sentence import assert_one_sentence
from published import assert_same_weights, small_net
from safetensors import safe_open
from safetensors.torch import load_model, save_file, save_model
from small import assert_identical

from bert_tutorial import evaluate, load_data_wiki
from bert_tutorial.representation.senses import mean_accuracy, sense_scores
from bert_tutorial.studio.published import checkpoints
from bert_tutorial.studio.published.checkpoints import (
    SHIPPED,
    load_checkpoint,
    load_pretrained,
    save_checkpoint,
    trained_path,
)
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.vocabulary import Vocab

VOCAB = Vocab("a crane is flying , a crane driver came — <unk> 鶴 \" '".split())
NET = small_net(VOCAB)
OTHER = small_net(VOCAB, num_layers=2)


@pytest.mark.parametrize("wrap", [lambda net: net, torch.compile], ids=["plain", "compiled"])
def test_what_is_read_is_what_was_written(tmp_path, wrap):
    path = tmp_path / "a" / "new" / "folder" / "net.safetensors"
    save_checkpoint(OTHER, VOCAB, path)
    net = small_net(VOCAB).train()
    save_checkpoint(wrap(net), VOCAB, path, corpus="bundled", steps="200")  # in place of the old
    assert list(path.parent.iterdir()) == [path] and net.training  # saving changes nothing
    state = torch.get_rng_state()
    again, vocab = load_checkpoint(str(path))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in again.modules())
    assert again.config == net.config
    assert_same_weights(net, again)
    assert (vocab.itos, vocab.counts) == (VOCAB.itos, VOCAB.counts)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in again.parameters())
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["card"]) == {"corpus": "bundled", "steps": "200"}


def test_half_precision_takes_half_the_space(tmp_path):
    net = small_net(VOCAB, num_hiddens=64, ffn_num_hiddens=256)
    save_checkpoint(net, VOCAB, tmp_path / "half", torch.float16)
    # The table of word vectors is written once.
    size = sum(parameter.numel() for parameter in net.parameters())
    assert 2 * size < (tmp_path / "half").stat().st_size < 2.2 * size
    again, _ = load_checkpoint(tmp_path / "half")
    assert_identical(dict(again.state_dict()), dict(net.half().float().state_dict()))


def test_what_safetensors_wrote_of_a_network_it_reads_back(tmp_path):
    save_file(NET.state_dict(), tmp_path / "one")  # one table under two names would be refused
    save_model(NET, tmp_path / "two")
    for name in ("one", "two"):
        net = small_net(VOCAB)
        net.reset()
        load_model(net, tmp_path / name)
        assert_same_weights(NET, net)


def test_a_state_that_names_the_table_twice_is_read_and_one_with_two_tables_refused():
    net = small_net(VOCAB)
    net.reset()
    state = NET.state_dict()
    twice = {**state, "mlm.weight": state["encoder.embeddings.token.weight"].clone()}
    net.load_state_dict(twice)
    assert_same_weights(NET, net)
    torch.nn.ModuleList([net]).load_state_dict({f"0.{name}": of for name, of in twice.items()})
    with pytest.raises(RuntimeError, match="mlm.weight"):
        net.load_state_dict(twice | {"mlm.weight": twice["mlm.weight"] + 1})


def one_error(kind, message, path, do):
    with pytest.raises(kind, match=message) as error:
        do()
    assert str(path) in str(error.value)
    assert_one_sentence(str(error.value).replace(str(path), ""))


def test_a_file_that_is_missing_or_cannot_be_read(tmp_path):
    for place, kind in ((tmp_path / "net", FileNotFoundError), (tmp_path, IsADirectoryError)):
        one_error(kind, "cannot be read", place, partial(load_checkpoint, place))


@pytest.mark.parametrize(("change", "message"), [
    (lambda _, about: about["config"].update(max_len=10**8), "do not fit the sizes it claims"),
    (lambda _, about: about["config"].update(num_layers=10**6), "claims 1,000,000 layers, but"),
    (lambda _, about: about["config"].update(num_heads=5), "num_heads is 5, but must divide"),
    (lambda _, about: about.pop("itos"), "itos"),
    (lambda _, about: about["itos"].append("word"), "network has .* but the vocabulary"),
    (lambda tensors, _: tensors.pop("nsp.output.bias"), 'Missing key.*"nsp.output.bias"'),
    (b"", "eader"), (b"once upon a time " * 9, "eader"),
])  # fmt: skip
def test_a_file_with_something_else_in_it(tmp_path, change, message):
    path = tmp_path / "net.safetensors"
    save_checkpoint(NET, VOCAB, path)
    assert_same_weights(NET, load_checkpoint(path)[0])  # it is this change that is found
    if isinstance(change, bytes):
        path.write_bytes(change)
    else:
        tensors, about = checkpoints.read_safetensors(path)
        change(tensors, about)
        save_file(tensors, path, {name: json.dumps(value) for name, value in about.items()})
    message = f"is not a checkpoint of bert_tutorial.*{message}"
    one_error(ValueError, message, path, partial(load_checkpoint, path))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where shipped and fresh networks are looked for, both empty."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "shipped", tmp_path / "cache"


def test_the_fresh_network_is_preferred_and_named(folders):
    shipped, cache = folders
    none = "no trained network for the corpus 'bundled' yet: run notebook 02"
    with pytest.raises(FileNotFoundError, match=none):
        load_pretrained()
    assert cache in trained_path("bundled").parents
    places = (shipped / "bundled.safetensors", OTHER), (trained_path("bundled"), NET)
    for (path, net), told in zip(places, ("comes with the package", "notebook 02"), strict=True):
        save_checkpoint(net, VOCAB, path)
        found, vocab, which = load_pretrained()
        assert told in which and "bundled" in which and vocab.itos == VOCAB.itos
        assert_same_weights(net, found)
    assert_same_weights(OTHER, load_pretrained(prefer="shipped").net)
    for part in ("encyclopaedia", "everyday"):  # the bundled network has learned from both
        assert_same_weights(OTHER, load_pretrained(part, "shipped").net)


def test_every_corpus_has_a_network_of_its_own_whatever_its_path(folders):
    corpora = ["bundled", "wikitext-2", "some/text.txt", "other/text.txt"]
    corpora += ["~nobody-of-that-name/text.txt", f"{'鶴' * 80}.txt"]
    for seed, corpus in enumerate(corpora, start=1):
        save_checkpoint(small_net(VOCAB, max_len=seed), VOCAB, trained_path(corpus))
    for seed, corpus in enumerate(corpora, start=1):
        net, _, which = load_pretrained(corpus)
        assert net.config.max_len == seed and corpus in which and "notebook 02" in which


def test_a_network_of_the_command_line_can_be_named_by_its_folder_or_file(folders, tmp_path):
    path = tmp_path / "run" / "network.safetensors"
    save_checkpoint(NET, VOCAB, path, next_sentence_rate="1.0")
    for named in (path.parent, path):
        net, _, which = load_pretrained("bundled", named)
        assert_same_weights(NET, net)
        assert which.endswith(
            f"of the file {named}, corpus bundled; it was not taught the next-sentence game"
        )
    for other in (str(tmp_path), "best", "x" * 300):
        with pytest.raises(FileNotFoundError, match="prefer is .* must be 'trained', 'shipped'"):
            load_pretrained("bundled", other)
    with pytest.raises(FileNotFoundError, match="no trained network for the corpus"):
        load_pretrained("x" * 300)


def test_a_cache_that_cannot_be_used_hides_no_shipped_network(plain_user_folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", plain_user_folder / "shipped")
    save_checkpoint(NET, VOCAB, plain_user_folder / "shipped" / "bundled.safetensors")
    (plain_user_folder / "file").write_text("a file where the folder should be")
    (plain_user_folder / "locked").mkdir(0)
    for name in ("file", "file/below", "locked", "locked/below", "x" * 300):
        monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(plain_user_folder / name))
        assert "comes with the package" in load_pretrained().description
        path = trained_path("bundled")
        save = partial(save_checkpoint, NET, VOCAB, path)
        one_error(OSError, "set BERT_TUTORIAL_CACHE to another folder$", path, save)


@pytest.mark.parametrize("corpus", [
    "bundled", pytest.param("wikitext-2", marks=pytest.mark.nightly),
])  # fmt: skip
def test_the_shipped_networks_do_what_their_cards_say(corpus, request, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    if corpus == "wikitext-2":
        url = request.getfixturevalue("wikitext2_zip")
        monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", str(url))
    net, vocab, which = load_pretrained(corpus)
    assert "comes with the package" in which
    assert (SHIPPED / f"{corpus}.safetensors").stat().st_size < 8_000_000
    card = (SHIPPED / f"{corpus}.md").read_text()
    train_iter, of_text = load_data_wiki(128, 64, corpus)
    assert vocab.itos == of_text.itos
    loss = float(re.search(r"MLM loss (\d+\.\d+)", card)[1])
    assert evaluate(net, train_iter.valid).mlm_loss == pytest.approx(loss, abs=0.01)
    assert corpus == "bundled" or (loss <= 4.6 and "CC BY-SA 3.0" in card)


@pytest.mark.nightly
def test_the_shipped_network_tells_senses_as_its_card_says():
    net, vocab, _ = load_pretrained("bundled", "shipped")
    accuracy = mean_accuracy(sense_scores(net, vocab, read_text()))
    card = (SHIPPED / "bundled.md").read_text()
    assert accuracy >= 0.9 and f"{accuracy:.1%} of held-out occurrences" in card
