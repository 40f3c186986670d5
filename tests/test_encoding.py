"""Vectors of tokens: dropout, layers, similarities, guesses."""

import pytest
import torch
from small import assert_identical
from torch.testing import assert_close

from bert_tutorial.network.model import BERTModel
from bert_tutorial.representation import encoding
from bert_tutorial.representation.encoding import (
    Window,
    compare_tokens,
    encode_with_dropout,
    get_bert_encoding,
    get_layers,
    to_row,
    use_vectors,
)
from bert_tutorial.representation.fill_mask import fill_mask
from bert_tutorial.text.vocabulary import SPECIAL_TOKENS, Vocab

CRANE, DRIVER, LEFT = (
    text.split() for text in ("a crane is flying", "a crane driver came", "he just left")
)
VOCAB = Vocab([*CRANE, *DRIVER, *LEFT])
D = 24
TEXTS = ((CRANE, None), (DRIVER, LEFT), (["he"], None), (["a"] * 14, None), (LEFT, CRANE))


def small_net(**changes):
    torch.manual_seed(0)
    return BERTModel(len(VOCAB), D, 48, num_layers=3, num_heads=4, max_len=16, **changes)


@pytest.mark.parametrize("training", [True, False])
def test_the_same_text_gives_the_same_vectors_and_the_mode_is_restored(training):
    net = small_net(dropout=0.5).train(training)
    state = torch.get_rng_state()
    for read in (
        lambda: get_bert_encoding(net, VOCAB, CRANE),
        lambda: get_layers(net, VOCAB, CRANE).vectors,
        lambda: compare_tokens(net, VOCAB, "a crane", "he left")[2],
        lambda: next(encoding.encode(net, VOCAB, [to_row(VOCAB, CRANE)])),
        lambda: use_vectors(net, VOCAB, [Window(CRANE, 1)] * 3, encode_with_dropout),
        lambda: torch.tensor([guess[1] for guess in fill_mask(net, VOCAB, "a <mask>")[0]]),
    ):
        one = read()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            two = read()
        assert_identical(one, two)
        assert not one.requires_grad
        assert all(module.training == training for module in net.modules())
    with pytest.raises(ValueError, match="positions"):
        get_bert_encoding(net, VOCAB, CRANE * 5)
    assert net.training == training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("texts", [("a crane",), (CRANE, "he left")])
@pytest.mark.parametrize("read", [get_bert_encoding, get_layers])
def test_a_string_and_a_text_that_is_too_long_are_refused_in_one_sentence(texts, read):
    why = r"^tokens must be a list such as \['.*\], but got the string .*: use tokenize$"
    with pytest.raises(TypeError, match=why):
        read(small_net(), VOCAB, *texts)
    read(small_net(), VOCAB, ["a"] * 14)
    with pytest.raises(ValueError, match="a row has 17 positions.* 16: shorten the text"):
        read(small_net(), VOCAB, ["a"] * 15)


def test_all_layers_of_a_pair():
    net = small_net()
    layers = get_layers(net, VOCAB, DRIVER, LEFT)
    assert layers.tokens == ["<cls>", *DRIVER, "<sep>", *LEFT, "<sep>"]
    assert layers.vectors.shape == (4, 10, D) and layers.attention.shape == (3, 4, 10, 10)
    encoded = get_bert_encoding(net, VOCAB, DRIVER, LEFT)
    assert encoded.shape == (1, 10, D) and get_bert_encoding(net, VOCAB, CRANE).shape == (1, 6, D)
    assert_close(layers.vectors[-1:], encoded)
    token_ids, segments = torch.tensor([VOCAB[layers.tokens]]), torch.tensor([[0] * 6 + [1] * 4])
    assert_close(layers.vectors[:1], net.eval().encoder.embeddings(token_ids, segments).detach())
    assert_close(layers.attention.sum(-1), torch.ones(3, 4, 10))
    assert layers.attention.min() >= 0
    one_text = get_bert_encoding(net, VOCAB, [*DRIVER, "<sep>", *LEFT])  # the segment counts
    assert not torch.allclose(one_text, encoded, atol=1e-3)
    x = layers.vectors[2:3]  # what the last layer reads; its attention follows from it
    with torch.no_grad():
        _, attention = net.encoder.blocks[2](x, x, torch.zeros(1, 1, 1, 10))
    assert_close(layers.attention[2:], attention)


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_many_rows_have_the_vectors_that_each_has_alone(at_once):
    net = small_net()
    rows = [to_row(VOCAB, *text) for text in TEXTS]
    for text, vectors in zip(TEXTS, encoding.encode(net, VOCAB, rows, at_once), strict=True):
        assert_close(vectors, get_layers(net, VOCAB, *text).vectors)
    noisy = encode_with_dropout(small_net(dropout=0.0), VOCAB, rows, at_once)
    assert_close(noisy[1], get_layers(net, VOCAB, *TEXTS[1]).vectors)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_comparing_two_texts(layer):
    net = small_net()
    tokens_a, tokens_b, cosines = compare_tokens(net, VOCAB, "A crane is flying.", "he left", layer)
    assert (tokens_a, tokens_b) == (CRANE, ["he", "left"])  # the full stop is in no training text
    assert cosines.shape == (4, 2) and cosines.abs().max() < 1.00001
    a, b = (get_layers(net, VOCAB, tokens).vectors[layer] for tokens in (tokens_a, tokens_b))
    assert_close(cosines[3, 1], torch.nn.functional.cosine_similarity(a[4], b[2], dim=0))
    _, _, same = compare_tokens(net, VOCAB, "A crane is flying.", "A crane is flying.", layer)
    assert_close(same.diagonal(), torch.ones(4))
    assert_close(same, same.T)
    assert same.fill_diagonal_(0).max() < 0.9999
    for odd in ("<script> {0} %s \\", "\x00\u202e\ud7ff 鶴 🐦", "<cls> <pad>"):
        assert compare_tokens(net, VOCAB, odd, "a crane", layer).cosines.isfinite().all()


@pytest.mark.parametrize(
    ("texts", "which"), [(("", "a"), "first"), (("a", " \n "), "second"), (("", ""), "first")]
)
def test_an_empty_text_is_named(texts, which):
    with pytest.raises(ValueError, match=f"^the {which} text has no word in it"):
        compare_tokens(small_net(), VOCAB, *texts)


def test_dropout_alone_moves_a_vector_the_more_the_more_is_dropped():
    uses = [Window(CRANE, 1, LEFT)] * 7
    net = small_net(dropout=0.3)
    vectors = use_vectors(net, VOCAB, uses, encode_with_dropout)[-1]
    assert vectors.shape == (7, D) and len(vectors.unique(dim=0)) == 7
    less = use_vectors(small_net(dropout=0.05), VOCAB, uses, encode_with_dropout)[-1]
    assert less.std(0).mean() < vectors.std(0).mean()
    without = use_vectors(small_net(dropout=0.0), VOCAB, uses, encode_with_dropout)[-1]
    one = get_bert_encoding(net, VOCAB, CRANE, LEFT)[0, encoding.place_of("crane", CRANE)]
    assert_close(without, one.expand(7, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_encoding_with_dropout_leaves_no_trace_on_a_gpu():
    net, state = small_net().cuda(), torch.cuda.get_rng_state()
    assert len(encode_with_dropout(net, VOCAB, [to_row(VOCAB, CRANE)] * 3)) == 3
    assert torch.equal(torch.cuda.get_rng_state(), state)


def test_guesses_are_words_the_likeliest_first():
    net = small_net()
    with torch.no_grad():  # the network would say nothing but special tokens
        net.mlm.bias[: len(SPECIAL_TOKENS)] = 50.0
    guesses = fill_mask(net, VOCAB, "a <mask> driver <MASK>.", num_guesses=6)
    assert [len(row) for row in guesses] == [6, 6] and guesses[0] != guesses[1]
    for row in guesses:
        assert len({guess.token for guess in row} - set(SPECIAL_TOKENS)) == 6
        probabilities = [guess.probability for guess in row]
        assert probabilities == sorted(probabilities, reverse=True) and probabilities[-1] > 0
    for number in (0, 1, 99):  # more than there are words
        (every,) = fill_mask(net, VOCAB, "<mask>", len(VOCAB) - len(SPECIAL_TOKENS) + number)
        assert {guess.token for guess in every} == set(VOCAB.itos[len(SPECIAL_TOKENS) :])
        assert_close(sum(guess.probability for guess in every), 1.0)


@pytest.mark.parametrize("text", ["a crane", "", "mask", "< mask >"])
def test_a_text_without_a_mask_is_refused(text):
    with pytest.raises(ValueError, match="^there is no <mask> in "):
        fill_mask(small_net(), VOCAB, text)


def test_the_guess_is_that_of_the_network_at_the_mask():
    net, row = small_net().eval(), to_row(VOCAB, ["a", "<mask>", "driver"])
    with torch.no_grad():
        output = net(*encoding.to_batch(net, VOCAB, [row]), torch.tensor([[2]]))
    p = output.mlm_logits[0, 0, VOCAB.word_ids].softmax(0)
    best = fill_mask(net, VOCAB, "a <mask> driver")[0][0]
    assert best.token == VOCAB.itos[VOCAB.word_ids[int(p.argmax())]]
    assert_close(best.probability, p.max().item())
