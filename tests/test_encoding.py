"""Vectors of tokens: dropout, layers, similarities, guesses."""

import random

import pytest
import torch
from torch.testing import assert_close

from bert_tutorial.network.model import BERTModel
from bert_tutorial.pretraining.training import Settings, train_steps
from bert_tutorial.representation.encoding import (
    compare_tokens,
    cosine_similarity,
    dropout_vectors,
    get_bert_encoding,
    get_layers,
    word_vector,
)
from bert_tutorial.representation.fill_mask import fill_mask
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.tokenized import TokenizedText
from bert_tutorial.text.vocabulary import SPECIAL_TOKENS, Vocab, tokenize

CRANE = ["a", "crane", "is", "flying"]
DRIVER = ["a", "crane", "driver", "came"]
LEFT = ["he", "just", "left"]
VOCAB = Vocab([*CRANE, *DRIVER, *LEFT])
D = 24


def small_net(**changes):
    torch.manual_seed(0)
    sizes = {
        "num_hiddens": D,
        "ffn_num_hiddens": 48,
        "num_layers": 3,
        "num_heads": 4,
        "max_len": 16,
        **changes,
    }
    return BERTModel(len(VOCAB), **sizes)


def assert_identical(one, two):
    assert_close(one, two, rtol=0, atol=0)


def test_d2ls_two_examples_have_its_shapes():
    net = small_net()
    assert get_bert_encoding(net, VOCAB, CRANE).shape == (1, 6, D)
    assert get_bert_encoding(net, VOCAB, DRIVER, LEFT).shape == (1, 10, D)


@pytest.mark.parametrize("training", [True, False])
def test_the_same_text_gives_the_same_vectors_and_the_mode_is_restored(training):
    net = small_net(dropout=0.5).train(training)
    state = torch.get_rng_state()
    for read in (
        lambda: get_bert_encoding(net, VOCAB, CRANE),
        lambda: get_layers(net, VOCAB, CRANE).vectors,
        lambda: compare_tokens(net, VOCAB, "a crane", "he left")[2],
        lambda: word_vector(net, VOCAB, CRANE, "crane"),
    ):
        one, two = read(), read()
        assert_identical(one, two)
        assert not one.requires_grad
        assert all(module.training == training for module in net.modules())
    assert fill_mask(net, VOCAB, "a <mask>") == fill_mask(net, VOCAB, "a <mask>")
    assert all(module.training == training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_mode_is_restored_after_an_error_too():
    net = small_net()
    with pytest.raises(ValueError, match="positions"):
        get_bert_encoding(net, VOCAB, CRANE * 5)
    assert net.training


def test_vectors_depend_on_the_context_and_the_segment():
    net = small_net()
    assert (
        word_vector(net, VOCAB, CRANE, "crane") - word_vector(net, VOCAB, DRIVER, "crane")
    ).norm() > 0.001
    one_text, a_pair = (
        get_bert_encoding(net, VOCAB, [*CRANE, "<sep>", *LEFT]),
        get_bert_encoding(net, VOCAB, CRANE, LEFT),
    )
    assert one_text.shape == a_pair.shape and not torch.allclose(one_text, a_pair, atol=1e-3)


@pytest.mark.parametrize("texts", [("a crane",), (CRANE, "he left")])
@pytest.mark.parametrize("read", [get_bert_encoding, get_layers])
def test_a_string_is_refused_in_one_sentence(texts, read):
    with pytest.raises(
        TypeError,
        match=r"^tokens must be a list such as \['.*\], but got the string .*: use tokenize$",
    ):
        read(small_net(), VOCAB, *texts)


@pytest.mark.parametrize("read", [get_bert_encoding, get_layers])
def test_the_longest_text_that_fits_and_one_that_does_not(read):
    read(small_net(), VOCAB, ["a"] * 14)
    with pytest.raises(ValueError, match="a row has 17 positions.* 16: shorten the text"):
        read(small_net(), VOCAB, ["a"] * 15)


def test_all_layers_of_a_pair():
    net = small_net()
    layers = get_layers(net, VOCAB, DRIVER, LEFT)
    assert layers.tokens == ["<cls>", *DRIVER, "<sep>", *LEFT, "<sep>"]
    assert layers.vectors.shape == (4, 10, D) and layers.attention.shape == (3, 4, 10, 10)
    assert_close(layers.vectors[-1:], get_bert_encoding(net, VOCAB, DRIVER, LEFT))
    token_ids, segments = torch.tensor([VOCAB[layers.tokens]]), torch.tensor([[0] * 6 + [1] * 4])
    assert_close(layers.vectors[:1], net.eval().encoder.embeddings(token_ids, segments).detach())
    assert_close(layers.attention.sum(-1), torch.ones(3, 4, 10))
    assert layers.attention.min() >= 0


def test_cosines_by_hand():
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    columns = torch.tensor([[4.0, 3.0], [-1.0, 0.0], [0.0, 9.0]])
    assert_close(
        cosine_similarity(rows, columns), torch.tensor([[0.96, -0.6, 0.8], [0.6, 0.0, 1.0]])
    )


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


@pytest.mark.parametrize(
    ("texts", "named"), [(("", "a"), "first"), (("a", " \n "), "second"), (("", ""), "first")]
)
def test_an_empty_text_is_named(texts, named):
    with pytest.raises(ValueError, match=f"^the {named} text has no word in it"):
        compare_tokens(small_net(), VOCAB, *texts)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "$x_{",
        "{0} %s \\",
        "\x00\u202e\ud7ff",
        "鶴 🐦",
        "<cls> <sep> <pad>",
        "<mask>",
    ],
)
def test_any_text_can_be_compared(text):
    net = small_net(max_len=64)
    tokens, _, cosines = compare_tokens(net, VOCAB, text, "a crane")
    assert cosines.shape == (len(tokens), 2) and cosines.isfinite().all()


def test_a_word_that_is_not_in_the_text_is_named():
    with pytest.raises(ValueError, match="'boat' is not among the tokens"):
        word_vector(small_net(), VOCAB, CRANE, "boat")


def test_the_vector_of_a_word_is_that_of_its_place():
    net = small_net()
    encoded = get_bert_encoding(net, VOCAB, [*CRANE, "crane"], LEFT)[0]
    assert_close(word_vector(net, VOCAB, [*CRANE, "crane"], "crane", LEFT), encoded[2])


def test_dropout_alone_moves_a_vector_the_more_the_more_is_dropped():
    net = small_net(dropout=0.3)
    vectors = dropout_vectors(net, VOCAB, CRANE, "crane", repeats=7)
    assert vectors.shape == (7, net.config.num_hiddens) and not vectors.requires_grad
    assert len(vectors.unique(dim=0)) == 7
    assert_identical(dropout_vectors(net, VOCAB, CRANE, "crane", repeats=7), vectors)
    assert (dropout_vectors(net, VOCAB, CRANE, "crane", repeats=7, seed=1) != vectors).any()
    less = dropout_vectors(small_net(dropout=0.05), VOCAB, CRANE, "crane", repeats=7)
    assert less.std(0).mean() < vectors.std(0).mean()
    without = dropout_vectors(small_net(dropout=0.0), VOCAB, CRANE, "crane", LEFT, repeats=7)
    assert_close(
        without, word_vector(net, VOCAB, CRANE, "crane", LEFT).expand(7, -1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("training", [True, False])
def test_encoding_with_dropout_leaves_no_trace(training):
    net = small_net().train(training)
    state = torch.get_rng_state()
    dropout_vectors(net, VOCAB, CRANE, "crane", repeats=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training == training for module in net.modules())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_encoding_with_dropout_leaves_no_trace_on_a_gpu():
    net = small_net().cuda()
    state = torch.cuda.get_rng_state()
    assert len(dropout_vectors(net, VOCAB, CRANE, "crane", repeats=3)) == 3
    assert torch.equal(torch.cuda.get_rng_state(), state)


def test_guesses_are_words_the_likeliest_first():
    net = small_net()
    with torch.no_grad():
        net.mlm.bias[: len(SPECIAL_TOKENS)] = (
            50.0  # the network would say nothing but special tokens
        )
    guesses = fill_mask(net, VOCAB, "a <mask> driver <MASK>.", num_guesses=6)
    assert [len(row) for row in guesses] == [6, 6]
    for row in guesses:
        assert not {guess.token for guess in row} & set(SPECIAL_TOKENS)
        assert len({guess.token for guess in row}) == 6
        probabilities = [guess.probability for guess in row]
        assert probabilities == sorted(probabilities, reverse=True) and probabilities[-1] > 0
    (every,) = fill_mask(net, VOCAB, "<mask>", num_guesses=len(VOCAB) - len(SPECIAL_TOKENS))
    assert_close(sum(guess.probability for guess in every), 1.0)
    assert guesses[0] != guesses[1]  # each place has its own


@pytest.mark.parametrize("text", ["a crane", "", "mask", "< mask >"])
def test_a_text_without_a_mask_is_refused(text):
    with pytest.raises(ValueError, match="^there is no <mask> in "):
        fill_mask(small_net(), VOCAB, text)


@pytest.mark.parametrize("num_guesses", [len(VOCAB) - len(SPECIAL_TOKENS) + 1, len(VOCAB) + 1])
def test_more_guesses_than_words(num_guesses):
    (row,) = fill_mask(small_net(), VOCAB, "a <mask>", num_guesses)
    assert {guess.token for guess in row} == set(VOCAB.itos[len(SPECIAL_TOKENS) :])


def test_after_training_the_guess_is_right():
    draw = random.Random(0)
    facts = {"crane": "lake", "ship": "sea", "actor": "stage"}
    text = [
        [f"the {who} is at the {facts[who]}".split(), ["nothing", "else"]]
        for who in draw.choices(list(facts), k=60)
    ]
    vocab = Vocab(token for paragraph in text for sentence in paragraph for token in sentence)
    examples = PretrainingExamples(vocab, TokenizedText.from_paragraphs(vocab, text), 30, 24)
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=32, ffn_num_hiddens=64, dropout=0.0, max_len=24)
    for _ in train_steps(net, examples, Settings(num_steps=600)):
        pass
    for who, where in facts.items():
        sentence = f"the {who} is at the {where}"
        masked = f"{sentence} <sep> the {who} is at the <mask>"
        assert tokenize(masked)[-1] == "<mask>"
        for hidden, right in (
            (sentence.replace(where, "<mask>"), where),
            (sentence.replace(who, "<mask>"), who),
        ):
            ((best, *_),) = fill_mask(net, vocab, hidden)
            assert best.token == right and best.probability > 0.5, hidden
