"""The network: sizes, padding, and agreement with transformers' BERT."""

import copy
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import some_examples
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from bert_tutorial import (
    Settings,
    TrainingRun,
    compare_tokens,
    evaluate,
    fill_mask,
    get_bert_encoding,
    get_layers,
    read_text,
    train_steps,
)
from bert_tutorial.network.config import BERTConfig
from bert_tutorial.network.fast import Dropout
from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation.occurrences import labelled_occurrences, occurrence_vectors
from bert_tutorial.studio.published.hub import from_transformers_names

V, L = 60, 12


def small_net(**changes):
    torch.manual_seed(0)
    return BERTModel(
        **{"vocab_size": V, "num_hiddens": 16, "ffn_num_hiddens": 32, **changes}
    ).eval()


def some_input(rows=4):
    g = torch.Generator().manual_seed(1)
    token_ids = torch.randint(5, V, (rows, L), generator=g)
    segments = (torch.arange(L) > 5).long().repeat(rows, 1)
    valid_lens = torch.tensor([12, 7, 9, 5][:rows])
    positions = torch.tensor([[1, 4, 2]] * rows)
    return token_ids, segments, valid_lens, positions


@pytest.mark.parametrize(("size", "millions"), [("base", 110), ("large", 340)])
def test_the_published_sizes_have_the_published_numbers_of_parameters(size, millions):
    with torch.device("meta"):
        net = BERTModel.from_config(getattr(BERTConfig, size)())
    parameters = sum(p.numel() for p in net.parameters())
    assert abs(parameters / 1e6 - millions) < 0.015 * millions


def test_d2ls_shapes():
    token_ids, segments, valid_lens, positions = some_input()
    encoded, mlm_logits, nsp_logits = small_net()(token_ids, segments, valid_lens, positions)
    assert (encoded.shape, mlm_logits.shape, nsp_logits.shape) == ((4, L, 16), (4, 3, V), (4, 2))
    assert small_net()(token_ids, segments)[1] is None


def test_what_stands_in_the_padding_changes_nothing():
    token_ids, segments, valid_lens, positions = some_input()
    net = small_net()
    before = net(token_ids, segments, valid_lens, positions)
    padding = torch.arange(L) >= valid_lens[:, None]
    other = token_ids.masked_fill(padding, 7)
    assert not torch.equal(other, token_ids)
    after = net(other, segments.masked_fill(padding, 1), valid_lens, positions)
    for one, two in zip(before, after, strict=True):
        if one.dim() == 3 and one.shape[1] == L:
            one, two = one[~padding], two[~padding]
        assert_close(one, two, rtol=0, atol=1e-6)


def test_a_padded_row_is_encoded_as_without_padding():
    token_ids, segments, valid_lens, _ = some_input()
    net = small_net()
    encoded, _, nsp = net(token_ids, segments, valid_lens)
    for row, n in enumerate(valid_lens.tolist()):
        alone, _, nsp_alone = net(token_ids[row : row + 1, :n], segments[row : row + 1, :n])
        assert_close(encoded[row, :n], alone[0], rtol=1e-5, atol=1e-5)
        assert_close(nsp[row], nsp_alone[0], rtol=1e-5, atol=1e-5)


def test_every_layer_and_every_head_is_to_be_had():
    token_ids, segments, valid_lens, _ = some_input()
    net = small_net(num_layers=3, num_heads=4)
    vectors, attention = zip(*net.encoder.layers(token_ids, segments, valid_lens), strict=True)
    assert len(vectors) == 4 and attention[0] is None
    assert_close(vectors[-1], net.encoder(token_ids, segments, valid_lens))
    for weights in attention[1:]:
        assert weights.shape == (4, 4, L, L)
        assert_close(weights.sum(-1), torch.ones(4, 4, L))
        assert weights[1, :, :, 7:].abs().max() == 0  # nobody looks at padding


def test_the_last_layer_computes_only_the_positions_that_are_asked_for():
    token_ids, segments, valid_lens, positions = some_input()
    net = small_net(num_layers=3)
    every = net.encoder(token_ids, segments, valid_lens)
    some = net.encoder(token_ids, segments, valid_lens, positions)
    assert_close(some, every[torch.arange(4)[:, None], positions], rtol=1e-5, atol=1e-6)
    vectors, attention = zip(
        *net.encoder.layers(token_ids, segments, valid_lens, positions), strict=True
    )
    assert [x.shape[1] for x in vectors] == [L, L, L, 3] and attention[-1].shape == (4, 2, 3, L)


def transformers_twin(net, dropout=0.0):
    from transformers import BertConfig, BertForPreTraining

    c = net.config
    config = BertConfig(
        vocab_size=c.vocab_size, hidden_size=c.num_hiddens, num_hidden_layers=c.num_layers,
        num_attention_heads=c.num_heads, intermediate_size=c.ffn_num_hiddens,
        max_position_embeddings=c.max_len,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return BertForPreTraining(config)


def test_outputs_losses_and_gradients_are_those_of_transformers():
    token_ids, segments, valid_lens, positions = some_input()
    twin = transformers_twin(small_net(num_layers=3, num_heads=4))
    with torch.no_grad():
        for parameter in twin.parameters():  # biases and scales too must be told apart
            parameter.normal_(0, 0.2)
    net = small_net(num_layers=3, num_heads=4)
    net.load_state_dict(from_transformers_names(twin.state_dict()))

    encoded, mlm_logits, nsp_logits = net(token_ids, segments, valid_lens, positions)
    mask = (torch.arange(L) < valid_lens[:, None]).long()
    theirs = twin(
        input_ids=token_ids, token_type_ids=segments, attention_mask=mask, output_hidden_states=True
    )
    real = mask.bool()
    assert_close(encoded[real], theirs.hidden_states[-1][real], rtol=1e-5, atol=1e-5)
    their_mlm = theirs.prediction_logits.gather(1, positions[..., None].expand(-1, -1, V))
    assert_close(mlm_logits, their_mlm, rtol=1e-5, atol=1e-5)
    # transformers has the labels of the next-sentence task the other way round: 0 is "is next".
    assert_close(nsp_logits.flip(1), theirs.seq_relationship_logits, rtol=1e-5, atol=1e-5)

    labels = token_ids.gather(1, positions)
    nsp_labels = torch.tensor([1, 0, 1, 0])
    ours = F.cross_entropy(mlm_logits.flatten(0, 1), labels.flatten()) + F.cross_entropy(
        nsp_logits, nsp_labels
    )
    all_labels = torch.full_like(token_ids, -100).scatter(1, positions, labels)
    their_loss = twin(
        input_ids=token_ids, token_type_ids=segments, attention_mask=mask, labels=all_labels,
        next_sentence_label=1 - nsp_labels,
    ).loss  # fmt: skip
    assert_close(ours, their_loss, rtol=1e-5, atol=1e-5)

    ours.backward()
    their_loss.backward()
    gradients = {name: p.grad for name, p in twin.named_parameters()}
    gradients |= {
        "cls.predictions.decoder.weight": gradients["bert.embeddings.word_embeddings.weight"]
    }
    gradients.setdefault("cls.predictions.decoder.bias", gradients.get("cls.predictions.bias"))
    wanted = from_transformers_names(gradients)
    for name, parameter in net.named_parameters():
        assert_close(
            parameter.grad,
            wanted[name],
            rtol=1e-4,
            atol=1e-5,
            msg=lambda m, name=name: f"{name}: {m}",
        )


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3, but must divide num_hiddens"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"vocab_size": 2.5}, "vocab_size is 2.5"),
    ],
)
def test_impossible_sizes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        small_net(**changes)


def test_a_row_that_is_too_long_is_refused_in_words():
    with pytest.raises(ValueError, match="a row has 9 positions.* 8"):
        small_net(max_len=8)(
            torch.zeros(1, 9, dtype=torch.long), torch.zeros(1, 9, dtype=torch.long)
        )


def test_reset_with_a_generator_is_repeatable_and_leaves_the_global_state():
    one, two = small_net(), small_net()
    state = torch.get_rng_state()
    one.reset(torch.Generator().manual_seed(3))
    two.reset(torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_network_and_the_vocabulary_of_another_are_refused_everywhere():
    examples = some_examples()
    vocab, other = examples.vocab, BERTModel(len(examples.vocab) + 5, 16, 16, max_len=24)
    corpus = read_text("bundled")
    word, *_ = vocab.to_tokens([7, 8])
    occurrence = labelled_occurrences(corpus.valid)["crane"][:1]
    for use in (
        lambda: evaluate(other, examples.valid),
        lambda: next(train_steps(other, examples, Settings(num_steps=1))),
        lambda: TrainingRun(other, examples, Settings(num_steps=1)),
        lambda: get_bert_encoding(other, vocab, [word]),
        lambda: get_layers(other, vocab, [word]),
        lambda: fill_mask(other, vocab, f"{word} <mask>"),
        lambda: compare_tokens(other, vocab, word, word),
        lambda: occurrence_vectors(other, vocab, corpus.valid, occurrence),
    ):
        sizes = f"the network has {len(vocab) + 5} entries, but the vocabulary {len(vocab)}: "
        with pytest.raises(ValueError, match=sizes):
            use()


@pytest.mark.parametrize("rate", [0.99, 0.999, 0.9999])
def test_nearly_everything_can_be_dropped(rate):
    dropout = Dropout(rate)
    assert dropout(torch.ones(1000)).isfinite().all()


def test_a_network_is_exported_for_any_number_of_rows():
    net = small_net(dropout=0.0).eval()
    token_ids, positions = torch.randint(5, 30, (4, 8)), torch.tensor([[1, 2]] * 4)
    rows = torch.export.Dim("rows", min=2, max=64)
    program = torch.export.export(
        net,
        (token_ids, torch.zeros_like(token_ids), None, positions),
        dynamic_shapes=({0: rows}, {0: rows}, None, {0: rows}),
    )
    more = torch.randint(5, 30, (7, 8))
    asked = more, torch.zeros_like(more), None, torch.tensor([[3, 4]] * 7)
    for found, wanted in zip(program.module()(*asked), net(*asked), strict=True):
        assert_close(found, wanted)


def read_from_file(net, tmp_path, **how):
    """A new network with the weights of `net`, which a file brings as so many separate tensors."""
    path = tmp_path / "net.safetensors"
    save_file({name: value.clone() for name, value in net.state_dict().items()}, path)
    with torch.device("meta" if how else "cpu"):
        again = BERTModel.from_config(net.config)
    again.load_state_dict(load_file(path), **how)
    return again


def on_meta_and_back(net):
    with torch.device("meta"):
        again = BERTModel.from_config(net.config)
    again.to_empty(device="cpu")
    again.load_state_dict(net.state_dict())
    return again


def with_another_table(net):
    """As somebody does who adds words; only the encoder is told."""
    again = copy.deepcopy(net)
    again.encoder.embeddings.token.weight = nn.Parameter(again.mlm.weight.detach().clone())
    return again


@pytest.mark.parametrize(
    "copy_of",
    [
        lambda net, _: net,
        lambda net, _: copy.deepcopy(net),
        lambda net, _: pickle.loads(pickle.dumps(net)),
        lambda net, _: copy.deepcopy(net).to(torch.float64).float(),
        lambda net, _: on_meta_and_back(net),
        lambda net, _: with_another_table(net),
        read_from_file,
        lambda net, folder: read_from_file(net, folder, assign=True),
    ],
    ids=["itself", "deepcopy", "pickle", "to", "to_empty", "replaced", "file", "assign"],
)
def test_there_is_one_table_and_training_changes_it_in_both_places(copy_of, tmp_path):
    examples = some_examples()
    torch.manual_seed(0)
    net = BERTModel(len(examples.vocab), 16, 16, max_len=24)
    found = copy_of(net, tmp_path)
    table = found.encoder.embeddings.token.weight
    assert found.mlm.weight is table and (found is net or table is not net.mlm.weight)
    names = [name for name, _ in found.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names)) and "mlm.weight" not in names
    assert list(found.state_dict()) == list(net.state_dict())
    assert_close(dict(found.state_dict()), dict(net.state_dict()), rtol=0, atol=0)
    before = table.detach().clone()
    list(train_steps(found, examples, Settings(num_steps=2)))
    state = found.state_dict()
    assert found.mlm.weight is found.encoder.embeddings.token.weight is table
    assert not torch.equal(state["mlm.weight"], before)
    assert torch.equal(state["mlm.weight"], state["encoder.embeddings.token.weight"])


def test_a_state_has_the_table_under_both_names_and_once_in_memory():
    net = small_net()
    state, table = net.state_dict(), net.encoder.embeddings.token.weight
    assert state["mlm.weight"].data_ptr() == table.data_ptr()
    assert not state["mlm.weight"].requires_grad
    assert net.state_dict(keep_vars=True)["mlm.weight"] is table
    del state["mlm.weight"]  # one of the names is enough
    again = small_net()
    again.reset(torch.Generator().manual_seed(5))
    again.load_state_dict(state)
    assert torch.equal(again.mlm.weight, table)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [True, False])
def test_a_state_with_two_tables_is_refused(strict, assign):
    net = small_net()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    state["mlm.weight"] += 1
    with pytest.raises(RuntimeError, match="mlm.weight differs from the token embeddings, .* one "):
        net.load_state_dict(state, strict=strict, assign=assign)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.05)])
def test_a_network_in_another_format_encodes_about_the_same(dtype, tolerance):
    vocab = some_examples().vocab
    torch.manual_seed(0)
    net = BERTModel(len(vocab), 16, 16, max_len=24)
    words = vocab.to_tokens([7, 8, 9])
    wanted = get_bert_encoding(net, vocab, words)
    found = get_bert_encoding(net.to(dtype), vocab, words)
    assert found.dtype == dtype
    assert_close(found.float(), wanted, rtol=tolerance, atol=tolerance)
