"""Checkpoints: writing, reading, and choosing between them."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from bert_tutorial import evaluate, load_data_wiki
from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.encoding import get_bert_encoding
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
TOKENS = ["a", "crane", "driver"]


def small_net(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {
        "num_hiddens": 32,
        "ffn_num_hiddens": 48,
        "num_heads": 4,
        "num_layers": 3,
        "dropout": 0.1,
        "max_len": 20,
    }
    net = BERTModel(len(VOCAB), **sizes | changes)
    with torch.no_grad():
        for parameter in net.parameters():  # biases and scales too must be told apart
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net


def outputs(net):
    token_ids = torch.tensor([[3, 6, 7, 2, 4, 8, 4, 1], [3, 9, 4, 5, 6, 7, 8, 4]])
    segments = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        return net(token_ids, segments, torch.tensor([7, 8]), torch.tensor([[1, 3], [2, 6]]))


def test_what_is_read_is_what_was_written(tmp_path):
    net = small_net()
    path = tmp_path / "a" / "new" / "folder" / "net.safetensors"
    save_checkpoint(net, VOCAB, path)
    assert net.training  # saving changes nothing
    again, vocab = load_checkpoint(str(path))
    assert not any(module.training for module in again.modules())
    assert again.config == net.config
    for got, wanted in zip(outputs(again), outputs(net.eval()), strict=True):
        assert_close(got, wanted, rtol=0, atol=0)
    assert (vocab.itos, vocab.counts) == (VOCAB.itos, VOCAB.counts)
    assert vocab[["crane", "鶴", "boat"]] == VOCAB[["crane", "鶴", "boat"]]
    # Still one table, so it can be trained further.
    assert again.mlm.weight is again.encoder.embeddings.token.weight
    assert all(
        parameter.requires_grad and parameter.dtype == torch.float32
        for parameter in again.parameters()
    )


def test_half_precision_takes_half_the_space(tmp_path):
    net = small_net(num_hiddens=64, ffn_num_hiddens=256).eval()
    paths = [tmp_path / "full.safetensors", tmp_path / "half.safetensors"]
    save_checkpoint(net, VOCAB, paths[0])
    save_checkpoint(net, VOCAB, paths[1], torch.float16)
    full, half = (path.stat().st_size for path in paths)
    assert 0.45 * full < half < 0.55 * full
    # The shared table is written once.
    assert full < 4.2 * sum(parameter.numel() for parameter in net.parameters())
    again, _ = load_checkpoint(paths[1])
    for got, wanted in zip(outputs(again), outputs(net), strict=True):
        assert got.dtype == torch.float32
        assert_close(got, wanted, rtol=0.01, atol=0.01)


def test_the_card_is_written_beside_the_weights(tmp_path):
    save_checkpoint(small_net(), VOCAB, tmp_path / "net.safetensors", corpus="bundled", steps="200")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert json.loads(file.metadata()["card"]) == {"corpus": "bundled", "steps": "200"}


@pytest.mark.parametrize("failing", ["write_bytes", "os.replace"])
def test_a_writing_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch, failing):
    path = tmp_path / "net.safetensors"
    save_checkpoint(small_net(), VOCAB, path)
    before = path.read_bytes()

    def full_disk(part, content):
        with part.open("wb") as file:
            file.write(content[:1000])
        raise OSError(28, "No space left on device")

    def no_rename(source, target):
        raise PermissionError(13, "Permission denied")

    if failing == "write_bytes":
        monkeypatch.setattr(Path, "write_bytes", full_disk)
    else:
        monkeypatch.setattr(os, "replace", no_rename)
    with pytest.raises(OSError, match="net.safetensors cannot be written [(](No|Per)") as error:
        save_checkpoint(small_net(seed=1), VOCAB, path)
    is_one_sentence(error, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "net.safetensors"
    save_checkpoint(small_net(), VOCAB, path)
    other = small_net(seed=1).eval()
    save_checkpoint(other, VOCAB, path)
    assert_close(outputs(load_checkpoint(path)[0])[0], outputs(other)[0], rtol=0, atol=0)
    assert list(tmp_path.iterdir()) == [path]


def is_one_sentence(error, path):
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text and len(text) - len(str(path)) < 300


def test_a_missing_file(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match="^there is no checkpoint") as error:
        load_checkpoint(path)
    is_one_sentence(error, path)


def test_a_file_that_is_there_but_cannot_be_read_is_not_called_missing(plain_user_folder):
    path = plain_user_folder / "net.safetensors"
    save_checkpoint(small_net(), VOCAB, path)
    path.chmod(0)
    causes = {path: "Permission denied", path.parent: "Is a directory", path / "x": "Not a direct"}
    for place, cause in causes.items():
        with pytest.raises(OSError, match=f"cannot be read .{cause}") as error:
            load_checkpoint(place)
        assert not isinstance(error.value, FileNotFoundError)
        is_one_sentence(error, place)


@pytest.mark.parametrize("damage", ["empty", "cut off", "text", "header"])
def test_a_damaged_file(tmp_path, damage):
    path = tmp_path / "net.safetensors"
    save_checkpoint(small_net(), VOCAB, path)
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "cut off": whole[:-100],
        "text": b"once upon a time " * 9,
        "header": whole[:8] + b"?" + whole[9:],
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(ValueError, match="is not a checkpoint of bert_tutorial") as error:
        load_checkpoint(path)
    is_one_sentence(error, path)


def file_of(tmp_path, config=None, itos=None, counts=None, without=None):
    """A checkpoint with something wrong in it."""
    net = small_net()
    about = {
        "config": config or vars(net.config),
        "itos": itos or VOCAB.itos,
        "counts": counts or VOCAB.counts,
    }
    tensors = {
        name: value
        for name, value in net.state_dict().items()
        if name not in ("mlm.weight", without)
    }
    path = tmp_path / "net.safetensors"
    save_file(tensors, path, metadata={name: json.dumps(value) for name, value in about.items()})
    return path


@pytest.mark.parametrize(
    "wrong",
    [
        {"config": {**vars(small_net().config), "num_layers": 4}},
        {"config": {**vars(small_net().config), "vocab_size": len(VOCAB) + 1}},
        {"config": {"hidden_size": 3}},
        {"config": {**vars(small_net().config), "num_heads": 5}},
        {"itos": ["the", "of", "and"]},
        {"without": "nsp.output.bias"},
        {"without": "encoder.embeddings.token.weight"},
    ],
)
def test_a_file_with_something_else_in_it(tmp_path, wrong):
    with pytest.raises(ValueError) as error:
        load_checkpoint(file_of(tmp_path, **wrong))
    is_one_sentence(error, tmp_path / "net.safetensors")


def test_a_good_file_of_the_same_making(tmp_path):
    net, vocab = load_checkpoint(file_of(tmp_path))
    assert net.config.vocab_size == len(vocab)


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, {"config": "{}", "itos": "[]", "counts": "[]"}, {"config": "5"}],
)
def test_a_safetensors_file_of_another_kind(tmp_path, metadata):
    path = tmp_path / "model.safetensors"
    save_file({"bert.weight": torch.ones(3)}, path, metadata=metadata)
    with pytest.raises(ValueError, match="is not a checkpoint of bert_tutorial") as error:
        load_checkpoint(path)
    is_one_sentence(error, path)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where shipped and fresh networks are looked for, both empty."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "shipped", tmp_path / "cache"


def test_the_fresh_network_is_preferred_and_named(folders):
    shipped, cache = folders
    old, new = small_net().eval(), small_net(seed=1).eval()
    with pytest.raises(
        FileNotFoundError, match="no trained network for the corpus 'bundled' yet: run notebook 02"
    ):
        load_pretrained()
    save_checkpoint(old, VOCAB, shipped / "bundled.safetensors")
    net, vocab, which = load_pretrained()
    assert "comes with the package" in which and "bundled" in which and vocab.itos == VOCAB.itos
    assert_close(
        get_bert_encoding(net, vocab, TOKENS), get_bert_encoding(old, VOCAB, TOKENS), rtol=0, atol=0
    )
    save_checkpoint(new, VOCAB, trained_path("bundled"))
    assert cache in trained_path("bundled").parents
    net, vocab, which = load_pretrained()
    assert "notebook 02" in which and "package" not in which and "bundled" in which
    assert_close(
        get_bert_encoding(net, vocab, TOKENS), get_bert_encoding(new, VOCAB, TOKENS), rtol=0, atol=0
    )


def test_a_network_of_the_command_line_can_be_named_by_its_folder_or_file(folders, tmp_path):
    save_checkpoint(small_net().eval(), VOCAB, tmp_path / "run" / "network.safetensors")
    for named in (tmp_path / "run", tmp_path / "run" / "network.safetensors"):
        _, vocab, which = load_pretrained("bundled", str(named))
        assert vocab.itos == VOCAB.itos and f"of the file {named}" in which
    with pytest.raises(FileNotFoundError, match="the path of a network .looked at '.*/network.saf"):
        load_pretrained("bundled", str(tmp_path))


def test_a_cache_that_cannot_be_used_hides_no_shipped_network(plain_user_folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", plain_user_folder / "shipped")
    save_checkpoint(small_net(), VOCAB, plain_user_folder / "shipped" / "bundled.safetensors")
    (plain_user_folder / "file").write_text("a file where the folder should be")
    (plain_user_folder / "locked").mkdir(0)
    for name in ("file", "file/below", "locked", "locked/below", "x" * 300):
        monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(plain_user_folder / name))
        assert "comes with the package" in load_pretrained().description
        with pytest.raises(OSError, match="set BERT_TUTORIAL_CACHE to another folder$") as error:
            save_checkpoint(small_net(), VOCAB, trained_path("bundled"))
        is_one_sentence(error, trained_path("bundled"))


@pytest.mark.parametrize("corpus", ["~nobody-of-that-name/text.txt", f"{'鶴' * 80}.txt"])
def test_any_path_of_a_text_has_a_place_for_its_network(folders, corpus):
    save_checkpoint(small_net(), VOCAB, trained_path(corpus))
    assert "notebook 02" in load_pretrained(corpus).description


def test_every_corpus_has_a_network_of_its_own(folders):
    corpora = ("bundled", "wikitext-2", "some/text.txt")
    for seed, corpus in enumerate(corpora):
        save_checkpoint(small_net(seed), VOCAB, trained_path(corpus))
    for seed, corpus in enumerate(corpora):
        net, vocab, which = load_pretrained(corpus)
        wanted = get_bert_encoding(small_net(seed), VOCAB, TOKENS)
        assert_close(get_bert_encoding(net, vocab, TOKENS), wanted, rtol=0, atol=0)
        assert corpus in which


@pytest.mark.parametrize("corpus", ["bundled", "wikitext-2"])
def test_the_shipped_networks_are_small_and_do_what_their_cards_say(
    corpus, request, tmp_path, monkeypatch
):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    if corpus == "wikitext-2":
        monkeypatch.setenv(
            "BERT_TUTORIAL_WIKITEXT2_URL", request.getfixturevalue("wikitext2_server").url
        )
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


@pytest.mark.parametrize("claim", [{"vocab_size": 10**8}, {"num_layers": 200_000}, {"max_len": 9}])
def test_sizes_that_a_file_only_claims_are_refused_before_anything_is_built(tmp_path, claim):
    config = vars(small_net().config) | claim
    with pytest.raises(ValueError, match="it claims the sizes .* but holds ") as error:
        load_checkpoint(file_of(tmp_path, config=config))
    is_one_sentence(error, tmp_path / "net.safetensors")


def test_a_weight_that_is_no_number_is_refused(tmp_path):
    net = small_net()
    with torch.no_grad():
        net.nsp.output.bias[0] = float("nan")
    save_checkpoint(net, VOCAB, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="nsp.output.bias holds what is no number"):
        load_checkpoint(tmp_path / "net.safetensors")


def test_a_compiled_network_is_saved(tmp_path):
    net = small_net().eval()
    save_checkpoint(torch.compile(net), VOCAB, tmp_path / "net.safetensors")
    again, _ = load_checkpoint(tmp_path / "net.safetensors")
    wanted = get_bert_encoding(net, VOCAB, TOKENS)
    assert_close(get_bert_encoding(again, VOCAB, TOKENS), wanted, rtol=0, atol=0)


def test_a_network_that_was_not_taught_the_next_sentence_game_says_so():
    assert "not taught the next-sentence game" in load_pretrained("bundled", "shipped").description


def test_which_network_to_prefer_is_checked():
    with pytest.raises(FileNotFoundError, match="prefer is 'best', but must be 'trained', 'ship"):
        load_pretrained("bundled", "best")
