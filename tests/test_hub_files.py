"""Files of published BERTs: every form they come in, and what cannot be read."""

import json
import os
import pickle

import pytest
import torch
from one_sentence import assert_one_sentence
from published import PIECES, assert_same_weights, published_bert, small_net
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from bert_tutorial import load_pretrained, save_pretrained
from bert_tutorial.text.vocabulary import Vocab


@pytest.fixture
def published(tmp_path):
    return published_bert(tmp_path / "bert")


# The forms that files come in.


def with_old_names(name, tensor):
    old = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
    return {old: tensor}


def without_prefix(name, tensor):
    return {name.removeprefix("bert."): tensor}


def with_a_decoder(name, tensor):
    again = {"cls.predictions.decoder.weight": tensor.clone()} if "word_emb" in name else {}
    return {name: tensor} | again


def with_the_decoders_bias(name, tensor):
    return {name.replace("predictions.bias", "predictions.decoder.bias"): tensor}


def with_a_constant(name, tensor):
    constant = {"bert.embeddings.position_ids": torch.arange(20)} if "word_emb" in name else {}
    return {name: tensor} | constant


def with_another_head(name, tensor):
    return {name: tensor} | ({"classifier.bias": torch.ones(2)} if "word_emb" in name else {})


FORMS = [
    with_old_names, without_prefix, with_a_decoder, with_the_decoders_bias, with_a_constant,
    with_another_head,
]  # fmt: skip


def test_what_config_json_leaves_open_is_as_in_bert(published):
    net, folder = published
    config = json.loads((folder / "config.json").read_text())
    del config["model_type"], config["hidden_act"], config["architectures"]
    config |= {"position_embedding_type": None, "hidden_dropout_prob": 0}
    (folder / "config.json").write_text(json.dumps(config))
    again = load_pretrained(folder).net
    assert_same_weights(net, again)
    assert again.config.dropout == 0


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_network(published, form):
    net, folder = published
    tensors = load_file(folder / "model.safetensors")
    named = {}
    for name, tensor in tensors.items():
        named |= form(name, tensor)
    assert named.keys() != tensors.keys()
    save_file(named, folder / "model.safetensors")
    again, _, description = load_pretrained(folder)
    assert_same_weights(net, again)
    assert ("classifier is not read" in description) == (form is with_another_head)
    assert again.mlm.weight is again.encoder.embeddings.token.weight
    assert all(p.requires_grad for p in again.parameters())


def test_half_precision_is_read_as_single(published):
    net, folder = published
    tensors = load_file(folder / "model.safetensors")
    save_file({name: t.half() for name, t in tensors.items()}, folder / "model.safetensors")
    again = load_pretrained(folder).net
    for value, wanted in zip(again.parameters(), net.parameters(), strict=True):
        assert_close(value, wanted.half().float(), rtol=0, atol=0)


def test_missing_heads_are_drawn_always_alike_and_can_be_trained(published):
    net, folder = published
    net.missing_heads = frozenset(("mlm", "nsp", "pooler"))
    save_pretrained(net, load_pretrained(folder).vocab, folder)
    state = torch.get_rng_state()
    one, two = load_pretrained(folder).net, load_pretrained(folder).net
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_weights(one, two)
    assert one.mlm.transform.weight.std() > 0.01 and (one.mlm.norm.weight == 1).all()
    assert one.nsp.hidden.weight.std() > 0.01 and (one.nsp.hidden.bias == 0).all()


# What cannot be read.


def in_config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def in_weights(**changes):
    """Change tensors; a name is given by its last parts, with _ for the full stops."""

    def change(folder):
        tensors = load_file(folder / "model.safetensors")
        for ending, new in changes.items():
            (name,) = [n for n in tensors if n.replace(".", "_").endswith(ending)] or [ending]
            old = tensors.pop(name, None)
            tensors |= {} if new is None else {name: new(old)}
        save_file(tensors, folder / "model.safetensors")

    return change


def without(name):
    return lambda folder: (folder / name).unlink()


def writing(name, text):
    return lambda folder: (folder / name).write_text(text)


def in_tokenizer(change):
    def damage(folder):
        path = folder / "tokenizer.json"
        about = json.loads(path.read_text())
        change(about)
        path.write_text(json.dumps(about))

    return damage


def without_special_tokens(about):
    about["added_tokens"] = []
    for token in ("[CLS]", "[SEP]"):
        del about["model"]["vocab"][token]


def as_vocab_txt(text):
    def damage(folder):
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_bytes(text)

    return damage


def with_decoder(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = torch.ones(len(PIECES), 16)
    save_file(tensors, folder / "model.safetensors")


def with_extra_attention(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.encoder.layer.0.crossattention.self.query.bias"] = torch.ones(16)
    save_file(tensors, folder / "model.safetensors")


def as_word_level(folder):
    path = folder / "tokenizer.json"
    about = json.loads(path.read_text())
    about["model"] = {"type": "WordLevel", "unk_token": "[UNK]", "vocab": about["model"]["vocab"]}
    path.write_text(json.dumps(about))


WRONG = [
    (in_config(model_type="roberta"), "its model_type is 'roberta', but BERTModel has 'bert' only"),
    (in_config(position_embedding_type="relative_key"), "type is 'relative_key', but"),
    (in_config(hidden_act="relu"), "its hidden_act is 'relu', but BERTModel has 'gelu' only"),
    (in_config(layer_norm_eps=1e-5), "its layer_norm_eps is 1e-05, but BERTModel has 1e-12 only"),
    (in_config(type_vocab_size=1), "its type_vocab_size is 1, but BERTModel has 2 only"),
    (in_config(is_decoder=True), "its is_decoder is True, but BERTModel has False only"),
    (in_config(num_hidden_layers=200_000), "it claims 200000 layers, but holds 3"),
    (in_config(vocab_size=10**8), r"has the shape .18, 16., but config.json says .100000000, 16."),
    (in_config(max_position_embeddings=19), r"position_embeddings.weight has the shape .20, 16."),
    (in_config(num_attention_heads=5), "num_heads is 5, but must divide num_hiddens .16."),
    (in_config(hidden_size="big"), "num_hiddens is 'big', but must be a whole number"),
    (in_config(hidden_dropout_prob=None), "its hidden_dropout_prob is None, but must be a number"),
    (writing("config.json", '{"model_type": "bert"}'), "config.json does not say vocab_size, hid"),
    (writing("config.json", "{"), "its config.json is damaged"),
    (writing("config.json", "[]"), "its config.json is damaged"),
    (without("config.json"), "its config.json is missing"),
    (in_weights(encoder_layer_1_attention_self_value_bias=None), "its weight .* is missing"),
    (in_weights(cls_predictions_bias=None), "its weight cls.predictions.bias is missing"),
    (in_weights(pooler_dense_bias=lambda t: t * float("nan")), "pooler.dense.bias holds what"),
    (in_weights(layer_2_output_dense_bias=lambda t: t[1:]), "has the shape .15,., but .* .16,."),
    (with_decoder, "decoder.weight differs from its token embeddings, but BERTModel has one table"),
    (with_extra_attention, "BERTModel has no weight such as its bert.encoder.layer.0.crossatt"),
    (writing("model.safetensors", "once upon a time"), "its model.safetensors cannot be read"),
    (without("model.safetensors"), "in one file model.safetensors, .* but there is none;"),
    (without("tokenizer.json"), "its tokenizer is missing: tokenizer.json or vocab.txt"),
    (writing("tokenizer.json", "{}"), "its tokenizer cannot be read .*: it must be a tokenizer.js"),
    (writing("tokenizer.json", ""), "its tokenizer cannot be read .* that holds a WordPiece model"),
    (writing("tokenizer.json", "once upon a time"), "its tokenizer cannot be read .*at line 1 col"),
    (writing("tokenizer.json", "[1, 2]"), "its tokenizer cannot be read .* a WordPiece model, or"),
    (writing("tokenizer.json", '{"model": "WordPiece"}'), "its tokenizer cannot be read .* or a v"),
    (in_tokenizer(without_special_tokens), r"no entry for .CLS., .SEP., but must have one for"),
    (in_tokenizer(lambda t: t["model"].update(unk_token="<u>")), "tokenizer has no entry for <u>"),
    (in_tokenizer(lambda t: t["model"]["vocab"].update(a=7)), "has entries of the same number"),
    (as_vocab_txt(b""), "cannot be read .vocab.txt is empty.: .* another entry on each line"),
    (as_vocab_txt(b"\n"), "cannot be read .vocab.txt is empty.: .* another entry on each line"),
    (as_vocab_txt(b"[UNK]\ncrane\na\ncrane\n"), "has the entry 'crane' twice.: .* another entry"),
    (as_vocab_txt(b"a\ncrane\n"), r"no entry for .UNK., .PAD., .MASK., .CLS., .SEP., but must"),
    (as_vocab_txt(b"[UNK]\n\xff\n"), "its tokenizer cannot be read .'utf-8' codec .* on each line"),
    (writing("tokenizer_config.json", '{"mask_token": 5}'), "its mask_token is 5, but must be a"),
    (writing("tokenizer_config.json", '{"mask_token": {"id": 5}}'), "mask_token is .*, but must"),
    (as_word_level, "its tokenizer is WordLevel, but must be WordPiece"),
    (writing("tokenizer_config.json", '{"mask_token": "<m>"}'), "tokenizer has no entry for <m>"),
    (writing("tokenizer_config.json", '{"mask_token"'), "its tokenizer_config.json is damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_cannot_be_read_is_told_in_a_sentence(published, damage, message):
    _, folder = published
    load_pretrained(folder)  # it was good before
    damage(folder)
    with pytest.raises(ValueError, match=message) as error:
        load_pretrained(folder)
    assert str(folder) in str(error.value)
    assert_one_sentence(str(error.value).replace(str(folder), ""))


class Trap:
    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "heads.pt"])
def test_a_pickle_is_named_and_not_opened(published, tmp_path, name):
    _, folder = published
    trap = Trap()
    trap.place = str(tmp_path / "it was opened")
    (folder / name).write_bytes(pickle.dumps(trap))
    load_pretrained(folder)  # beside weights that can be read it does no harm
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=f"none [(]{name} is not read[)]"):
        load_pretrained(folder)
    assert not os.path.exists(trap.place)
    pickle.loads((folder / name).read_bytes())
    assert os.path.exists(trap.place)  # the trap works


def test_our_own_words_must_be_as_many_as_the_network_has(tmp_path):
    vocab = Vocab("a crane is over it".split())
    save_pretrained(small_net(vocab), vocab, tmp_path)
    about = json.loads((tmp_path / "tokenizer.json").read_text())
    del about["model"]["vocab"]["crane"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="its tokenizer has 9 entries, but its network 10"):
        load_pretrained(tmp_path)
