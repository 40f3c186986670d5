"""Code pasted from d2l runs, or is answered with the line to write; and that line runs."""

import copy
import inspect
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import bert_tutorial
from bert_tutorial import BERTModel, Vocab, get_bert_encoding, get_layers, tokenize, train_bert
from bert_tutorial.from_d2l import ELSEWHERE, OF_VOCAB

VOCAB = Vocab("a crane is flying driver came he just left".split())
SIZES = dict(num_hiddens=16, ffn_num_hiddens=32, num_heads=2, num_layers=1, dropout=0.2)
CRANE, LEFT = ["a", "crane"], ["he", "left"]
EXAMPLES, NET = SimpleNamespace(batch_at=None), BERTModel(20, **SIZES)


def line_of(error) -> str:
    """The line that a message says to write."""
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    return re.search(r"write (\w+\(.*\))$", message)[1]


@pytest.mark.parametrize(
    ("positional", "named", "unknown"),
    [
        ((20,), SIZES | dict(norm_shape=[16], mlm_in_features=16), "norm_shape, mlm_in_features"),
        ((20, 16, 32, 2), dict(num_blks=1, dropout=0.2), "num_blks"),
        ((20, 16, [16], 9, 32, 2, 1, 0.2), dict(key_size=9), "norm_shape, ffn_num_input, key_size"),
    ],
)
def test_sizes_of_d2l(positional, named, unknown):
    with pytest.raises(TypeError, match=rf"^BERTModel takes no {unknown} \(") as error:
        BERTModel(*positional, **named)
    assert eval(line_of(error)).config == NET.config


@pytest.mark.parametrize(
    ("positional", "named", "line"),
    [
        ((None, 20, ["cpu"], 30), {}, "num_steps=30)"),
        ((print,), dict(num_steps=30), "num_steps=30)"),
        ((), dict(loss=nn.CrossEntropyLoss(), num_steps=7), "num_steps=7)"),
        ((50,), dict(lr=0.01), "num_steps=50, learning_rate=0.01)"),
        ((print,), dict(num_steps=3, precision="fp32"), "num_steps=3, precision='fp32')"),
    ],
)
def test_training_of_d2l(positional, named, line):
    with pytest.raises(TypeError, match="^train_bert takes no ") as error:
        train_bert(EXAMPLES, NET, *positional, **named)
    assert line_of(error) == f"train_bert(train_iter, net, {line}"


def test_training_with_the_network_first_or_wrapped():
    with pytest.raises(TypeError, match="^the examples come first: write train_bert"):
        train_bert(NET, EXAMPLES, 50)
    for given in (((7,), {}), ((), {"num_steps": 7}), ((print, 20, ["cpu"], 7), {})):
        with pytest.raises(TypeError, match="^the network is wrapped") as error:
            train_bert(EXAMPLES, nn.DataParallel(NET), *given[0], **given[1])
        assert line_of(error) == "train_bert(train_iter, net.module, num_steps=7)"


@pytest.mark.parametrize("read", [get_bert_encoding, get_layers])
@pytest.mark.parametrize("tokens", [(CRANE,), (CRANE, LEFT), (CRANE, None), ("a crane",)])
def test_encoding_of_d2l(read, tokens):
    net = BERTModel(len(VOCAB), **SIZES)
    with pytest.raises(TypeError, match="^the vocabulary is missing") as error:
        read(net, *tokens)
    found = eval(line_of(error), dict(get_bert_encoding=get_bert_encoding, net=net, vocab=VOCAB))
    tokens = [VOCAB.tokenize(part) if isinstance(part, str) else part for part in tokens]
    by_name = dict(zip(("tokens_a", "tokens_b"), tokens, strict=False))
    assert torch.equal(found, get_bert_encoding(net, vocab=VOCAB, **by_name))


@pytest.mark.parametrize("positional", [(5, ["<pad>"]), (5,), ()])
def test_vocabularies_of_d2l(positional):
    sentences = [CRANE] * 5 + [LEFT]
    with pytest.raises(TypeError, match="^Vocab takes one list of tokens") as error:
        Vocab(sentences, *positional)
    names = {"Vocab": Vocab, "sentences": sentences}
    assert eval(line_of(error), names).itos[5:] == CRANE + LEFT * (not positional)
    with pytest.raises(TypeError, match=r"write Vocab\(tokens, min_freq=5\)$"):
        Vocab(CRANE, min_freq=5, reserved_tokens=["<pad>"])


@pytest.mark.parametrize("name", OF_VOCAB)
def test_attributes_of_a_vocabulary_of_d2l(name):
    with pytest.raises(AttributeError, match=f"^Vocab has no {name}: write [^\n]*vocab[^\n]*$"):
        getattr(VOCAB, name)
    assert not hasattr(VOCAB, name) and copy.deepcopy(VOCAB).itos == VOCAB.itos
    with pytest.raises(AttributeError, match="^Vocab has no other$"):
        VOCAB.other  # noqa: B018


def test_lines_are_cut_one_by_one():
    for positional, named in ((([],), {}), (([CRANE], "word"), {}), ((CRANE,), {"token": "word"})):
        with pytest.raises(TypeError, match=r"write \[tokenize\(line\) for line in lines\]$"):
            tokenize(*positional, **named)
    with pytest.raises(TypeError) as error:
        tokenize("a crane", token="word")
    assert eval(line_of(error)) == tokenize("a crane") == CRANE


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_of_d2l_say_where_to_look(name):
    said = f"^bert_tutorial has no {name}: [^\n]*$"
    with pytest.raises(ImportError, match=said):
        exec(f"from bert_tutorial import {name}")
    with pytest.raises(AttributeError, match=said) as error:
        getattr(bert_tutorial, name)
    assert not hasattr(bert_tutorial, name) and not hasattr(bert_tutorial, "no_such_name")
    for line in re.findall(r"from bert_tutorial\S* import \w+", str(error.value)):
        exec(line)
    for known in re.findall(r"write (\w+)\(", str(error.value)):
        assert hasattr(bert_tutorial, known) or known == "pretraining_losses"


def test_a_pasted_function_is_told_what_stands_in_its_place():
    def pasted(train_iter, net, loss, vocab_size, devices, num_steps):
        return bert_tutorial.Timer()

    with pytest.raises(AttributeError, match=r"train_bert\(train_iter, net, num_steps=50\) rep"):
        pasted(EXAMPLES, NET, nn.CrossEntropyLoss(), 20, ["cpu"], 50)


@pytest.mark.parametrize("function", [train_bert, get_bert_encoding, get_layers, NET.__init__])
def test_the_source_is_that_of_the_lesson(function):
    source = inspect.getsource(function)
    assert source.lstrip().startswith(f"def {function.__name__}(") and "wraps" not in source
    with pytest.raises(TypeError, match="required positional argument"):
        train_bert(EXAMPLES)
