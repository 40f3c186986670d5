"""The network: sizes, padding, dropout.

That it agrees with transformers' BERT is in test_bert.
"""

from dataclasses import FrozenInstanceError

import pytest
import torch
from published import small_net
from small import assert_identical, some_examples
from torch.testing import assert_close

import bert_tutorial as b
from bert_tutorial import Settings, get_bert_encoding, train_steps
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.network.fast import Dropout
from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.occurrences import both_readings

V, L = 60, 12


def some_input():
    token_ids = torch.randint(5, V, (4, L), generator=torch.Generator().manual_seed(1))
    segments = (torch.arange(L) > 5).long().repeat(4, 1)
    return token_ids, segments, torch.tensor([12, 7, 9, 5]), torch.tensor([[1, 4, 2]] * 4)


@pytest.mark.parametrize(("size", "millions"), [("base", 110), ("large", 340)])
def test_the_published_sizes_have_the_published_numbers_of_parameters(size, millions):
    with torch.device("meta"):
        net = BERTModel.from_config(getattr(BERTConfig, size)())
    parameters = sum(p.numel() for p in net.parameters())
    assert abs(parameters / 1e6 - millions) < 0.015 * millions  # one table of word vectors


def test_a_padded_row_is_encoded_as_without_padding_whatever_stands_there():
    token_ids, segments, valid_lens, positions = some_input()
    net = small_net(range(V))
    wanted = net(token_ids, segments, valid_lens, positions)
    assert [tuple(field.shape) for field in wanted] == [(4, L, 16), (4, 3, V), (4, 2)]  # d2l's
    assert net(token_ids, segments).mlm_logits is None
    padding = torch.arange(L) >= valid_lens[:, None]
    other = token_ids.masked_fill(padding, 7), segments.masked_fill(padding, 1)
    for row, n in enumerate(valid_lens.tolist()):
        alone = net(token_ids[row : row + 1, :n], segments[row : row + 1, :n], None, positions[:1])
        for encoded, *logits in (wanted, net(*other, valid_lens, positions)):
            found = encoded[row, :n], *(field[row] for field in logits)
            assert_close(found, tuple(field[0] for field in alone), rtol=1e-5, atol=1e-5)


def test_rows_of_one_token_and_of_none():
    token_ids, segments, _, _ = some_input()
    net = small_net(range(V))
    encoded = net(token_ids, segments, torch.tensor([0, 1, 1, 1])).encoded
    assert encoded.isfinite().all()
    assert_close(encoded[1, :1], net(token_ids[1:2, :1], segments[1:2, :1]).encoded[0])


def test_every_layer_and_every_head_and_in_the_last_layer_only_what_is_asked_for():
    token_ids, segments, valid_lens, positions = some_input()
    net = small_net(range(V))
    vectors, attention = zip(*net.encoder.layers(token_ids, segments, valid_lens), strict=True)
    every = net.encoder(token_ids, segments, valid_lens)
    assert len(vectors) == 4 and attention[0] is None
    assert_close(vectors[-1], every)
    for weights in attention[1:]:
        assert weights.shape == (4, 4, L, L)
        assert_close(weights.sum(-1), torch.ones(4, 4, L))
        assert weights[1, :, :, 7:].abs().max() == 0  # nobody looks at padding
    some = net.encoder(token_ids, segments, valid_lens, positions)
    assert_close(some, every[torch.arange(4)[:, None], positions], rtol=1e-5, atol=1e-6)
    *_, (last, weights) = net.encoder.layers(token_ids, segments, valid_lens, positions)
    assert last.shape[1] == 3 and weights.shape == (4, 4, 3, L)


def test_dropout_zeroes_the_wanted_rate_and_keeps_the_mean():
    torch.manual_seed(0)
    dropout = Dropout(0.2)
    x = torch.ones(1001, 999, requires_grad=True)
    y = dropout(x)
    rate = (y == 0).double().mean().item()
    assert abs(rate - 51 / 256) < 5 * (0.2 * 0.8 / x.numel()) ** 0.5
    assert abs(y.mean().item() - 1) < 0.005
    y.sum().backward()
    assert torch.equal(x.grad == 0, y == 0)
    # Neighbours share one drawn number, a byte each: they must not be dropped together.
    pairs = (y[:, :-1] == 0).double().mul((y[:, 1:] == 0).double()).mean().item()
    assert abs(pairs - (51 / 256) ** 2) < 0.001
    assert dropout.eval()(x) is x
    for rate in (0.99, 0.999, 0.9999):  # not all of it is dropped, and what is left is finite
        assert Dropout(rate)(torch.ones(1000)).isfinite().all()


@pytest.mark.parametrize(("name", "value", "message"), [
    ("num_heads", 3, "num_heads is 3, but must divide num_hiddens .16., as 1, 2, 4, 8, 16 do"),
    ("dropout", 1.0, "dropout is 1.0"),
    ("dropout", None, "dropout is None"),
    ("num_layers", 0, "num_layers is 0"),
    ("max_len", True, "max_len is True"),
    ("ffn_num_hiddens", 2.5, "ffn_num_hiddens is 2.5"),
])  # fmt: skip
def test_impossible_sizes_are_named(name, value, message):
    with pytest.raises(ValueError, match=message):
        small_net(range(V), **{name: value})


def test_a_config_is_frozen_and_what_other_programs_set_in_it_is_passed_over():
    net = small_net(range(V))
    net.config.use_cache = False  # as the Trainer of transformers does with every network
    assert BERTModel.from_config(net.config).config == net.config
    assert "use_cache" not in vars(net.config)
    for name in ("num_layers", "other"):
        with pytest.raises(FrozenInstanceError):
            setattr(net.config, name, 1)


def test_the_head_compares_with_the_table_that_is_there():
    token_ids, segments, valid_lens, positions = some_input()
    net = small_net(range(V))
    net.encoder.embeddings.token = table = torch.nn.Embedding(V, 16)
    encoded, logits, _ = net(token_ids, segments, valid_lens, positions)
    features = net.mlm.features(encoded[torch.arange(4)[:, None], positions])
    assert_close(logits, features @ table.weight.T + net.mlm.bias)
    assert net.word_vectors is table.weight


def test_a_row_that_is_too_long_is_refused_in_words():
    row = torch.zeros(1, 9, dtype=torch.long)
    with pytest.raises(ValueError, match="a row has 9 positions.* 8"):
        small_net(range(V), max_len=8)(row, row)


def test_reset_with_a_generator_is_repeatable_and_leaves_the_global_state():
    one, two = small_net(range(V)), small_net(range(V), dropout=0.5)
    with torch.no_grad():
        for parameter in two.parameters():
            parameter.add_(1)
    state = torch.get_rng_state()
    for net in (one, two):
        net.reset(torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert_identical(one.state_dict(), two.state_dict())


@pytest.mark.nightly  # loading the compiler takes seconds
def test_a_network_in_training_is_compiled_whole():
    net = small_net(range(V), dropout=0.2, num_layers=1).train()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.manual_seed(0)
    found = [compiled(*some_input()) for _ in range(2)]
    assert (found[0].mlm_logits != found[1].mlm_logits).any()  # its dropout is drawn anew
    net.eval()
    assert_close(compiled(*some_input()), net(*some_input()))


USES = [
    lambda net, examples, _: b.evaluate(net, examples.valid),
    lambda net, examples, _: next(train_steps(net, examples, Settings(num_steps=1))),
    lambda net, examples, _: b.TrainingRun(net, examples, Settings(num_steps=1)),
    lambda net, examples, word: get_bert_encoding(net, examples.vocab, [word]),
    lambda net, examples, word: b.get_layers(net, examples.vocab, [word]),
    lambda net, examples, word: b.fill_mask(net, examples.vocab, f"{word} <mask>"),
    lambda net, examples, word: b.compare_tokens(net, examples.vocab, word, word),
    lambda net, examples, _: b.save_checkpoint(net, examples.vocab, "not written"),
    lambda net, examples, _: both_readings(net, examples.vocab, "", []),
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_a_network_and_the_vocabulary_of_another_are_refused_everywhere(use):
    examples = some_examples()
    other, size = small_net(range(len(examples.vocab) + 5)), len(examples.vocab)
    sizes = f"the network has {size + 5} entries, but the vocabulary {size}: "
    with pytest.raises(ValueError, match=sizes):
        use(other, examples, examples.vocab.itos[7])
    net = small_net(range(size))
    net.encoder.embeddings.token = torch.nn.Embedding(size + 5, 16)  # the head compares with it
    with pytest.raises(ValueError, match=sizes):
        use(net, examples, examples.vocab.itos[7])


@pytest.mark.parametrize("use", USES)
def test_a_wrapped_network_is_refused_with_what_to_write(use):
    examples = some_examples()
    net = torch.nn.DataParallel(small_net(range(len(examples.vocab)), max_len=24))
    with pytest.raises(TypeError, match="wrapped for several devices: write net.module in its pl"):
        use(net, examples, examples.vocab.itos[7])
