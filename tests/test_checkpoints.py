"""Checkpoints: writing, reading, and choosing between them."""

import json
import re
from functools import partial

import pytest
import torch
from one_sentence import assert_one_sentence
from published import assert_same_weights, small_net
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

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
    assert vocab[["crane", "鶴", "boat"]] == VOCAB[["crane", "鶴", "boat"]]
    assert all(p.requires_grad and p.dtype == torch.float32 for p in again.parameters())
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["card"]) == {"corpus": "bundled", "steps": "200"}


def test_half_precision_takes_half_the_space(tmp_path):
    net = small_net(VOCAB, num_hiddens=64, ffn_num_hiddens=256)
    save_checkpoint(net, VOCAB, tmp_path / "full")
    save_checkpoint(net, VOCAB, tmp_path / "half", torch.float16)
    full, half = ((tmp_path / name).stat().st_size for name in ("full", "half"))
    assert 0.45 * full < half < 0.55 * full
    # The table of word vectors is written once.
    assert full < 4.2 * sum(parameter.numel() for parameter in net.parameters())
    again, _ = load_checkpoint(tmp_path / "half")
    for value, wanted in zip(again.parameters(), net.parameters(), strict=True):
        assert_close(value, wanted.half().float(), rtol=0, atol=0)


def one_error(kind, message, path, do):
    with pytest.raises(kind, match=message) as error:
        do()
    assert str(path) in str(error.value)
    assert_one_sentence(str(error.value).replace(str(path), ""))
    return error.value


def test_a_file_that_is_missing_or_there_but_cannot_be_read(plain_user_folder):
    path = plain_user_folder / "net.safetensors"
    one_error(
        FileNotFoundError, "cannot be read .No such file", path, lambda: load_checkpoint(path)
    )
    save_checkpoint(NET, VOCAB, path)
    path.chmod(0)
    causes = {path: "Permission denied", path.parent: "Is a directory", path / "x": "Not a direct"}
    for place, cause in causes.items():
        load = partial(load_checkpoint, place)
        error = one_error(OSError, f"cannot be read .{cause}", place, load)
        assert not isinstance(error, FileNotFoundError)


@pytest.mark.parametrize("damage", [b"", slice(-100), b"once upon a time " * 9], ids=str)
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / "net.safetensors"
    save_checkpoint(NET, VOCAB, path)
    path.write_bytes(path.read_bytes()[damage] if isinstance(damage, slice) else damage)
    message = "is not a checkpoint of bert_tutorial"
    one_error(ValueError, message, path, lambda: load_checkpoint(path))


ABOUT = {"config": vars(NET.config), "itos": VOCAB.itos, "counts": VOCAB.counts}
ABOUT |= {"missing_heads": [], "card": {}}


CHANGES = [
    (lambda _, about: about["config"].update(max_len=10**12), "do not fit the sizes it claims"),
    (lambda _, about: about["config"].update(num_heads=5), "num_heads is 5, but must divide"),
    (lambda _, about: about.pop("itos"), "itos"),
    (lambda _, about: about["itos"].append("word"), "network has .* but the vocabulary"),
    (lambda tensors, _: tensors.pop("nsp.output.bias"), 'Missing key.*"nsp.output.bias"'),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_file_with_something_else_in_it(tmp_path, change, message):
    path = tmp_path / "net.safetensors"

    def write(change):
        tensors, about = dict(NET.state_dict()), json.loads(json.dumps(ABOUT))
        change(tensors, about)
        save_file(tensors, path, {name: json.dumps(value) for name, value in about.items()})

    write(lambda *_: None)
    assert_same_weights(NET, load_checkpoint(path)[0])  # it is this change that is found
    write(change)
    message = f"is not a checkpoint of bert_tutorial.*{message}"
    one_error(ValueError, message, path, lambda: load_checkpoint(path))


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
    with pytest.raises(FileNotFoundError, match="the path of a network .looked at '.*/network.saf"):
        load_pretrained("bundled", str(tmp_path))
    for other in ("best", "x" * 300):
        with pytest.raises(FileNotFoundError, match="prefer is .* must be 'trained', 'shipped'"):
            load_pretrained("bundled", other)
        with pytest.raises(FileNotFoundError, match="no trained network for the corpus"):
            load_pretrained(other)


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


CORPORA = ["bundled", pytest.param("wikitext-2", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_shipped_networks_do_what_their_cards_say(corpus, request, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    if corpus == "wikitext-2":
        url = request.getfixturevalue("wikitext2_server").url
        monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", url)
    net, vocab, which = load_pretrained(corpus)
    assert "comes with the package" in which
    assert (SHIPPED / f"{corpus}.safetensors").stat().st_size < 8_000_000
    card = (SHIPPED / f"{corpus}.md").read_text()
    train_iter, of_text = load_data_wiki(128, 64, corpus)
    assert vocab.itos == of_text.itos
    loss = float(re.search(r"MLM loss (\d+\.\d+)", card)[1])
    assert evaluate(net, train_iter.valid).mlm_loss == pytest.approx(loss, abs=0.01)
    if corpus == "bundled":
        accuracy = mean_accuracy(sense_scores(net, vocab, read_text(corpus)))
        assert accuracy >= 0.9 and f"{accuracy:.1%} of held-out occurrences" in card
    else:
        assert loss <= 4.6 and "CC BY-SA 3.0" in card
