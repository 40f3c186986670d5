"""Word pieces in the place of words."""

import functools
import itertools
import json
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import PIECES, small_net, small_vocab

from bert_tutorial import compare_tokens, fill_mask, get_bert_encoding
from bert_tutorial.studio.published.wordpiece import BERT_SPECIAL_TOKENS, WordPieceVocab, read_vocab
from bert_tutorial.text.vocabulary import Vocab

TEXT = "A crane's FLYINGS over, don't [MASK] éa 鶴 quux##ing!"


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return small_vocab(tmp_path_factory.mktemp("pieces") / "bert")


def test_a_text_is_cut_into_pieces_and_unknown_words_stay_as_typed(vocab):
    tokens = vocab.tokenize("Cranes flying, a Boat")
    assert tokens == ["crane", "##s", "fly", "##ing", ",", "a", "Boat"]
    assert vocab.unknown(tokens) == ["Boat"]
    assert vocab[tokens][-1] == vocab.unk_id and vocab.to_tokens(vocab[tokens][:-1]) == tokens[:-1]


def test_it_offers_what_a_vocab_offers(vocab):
    ours = Vocab("a crane".split())
    offered = [name for name in dir(ours) if not name.startswith("_")]
    assert "words" in offered and [name for name in offered if not hasattr(vocab, name)] == []
    assert len(vocab) == len(vocab.itos) == len(vocab.counts) == len(PIECES)
    assert vocab.to_tokens(torch.tensor(vocab.special_ids)) == list(BERT_SPECIAL_TOKENS)
    assert vocab.to_tokens(vocab.mask_id) == "[MASK]" and "crane" in vocab and "boat" not in vocab
    words = set(vocab.to_tokens(vocab.word_ids))
    assert words == set(PIECES) - set(BERT_SPECIAL_TOKENS) - {"[unused0]"}
    again = pickle.loads(pickle.dumps(vocab))  # for loaders in other processes
    assert again.tokenize(TEXT) == vocab.tokenize(TEXT)


@settings(deadline=None)  # the first text loads transformers
@given(st.text(alphabet="aA cransflyingoved,.'é鶴#[]MSK\t\n", max_size=60))
def test_pieces_are_those_of_transformers(text):
    vocab, theirs = both()
    assert vocab[vocab.tokenize(text)] == theirs(text, add_special_tokens=False).input_ids


@functools.cache
def both():
    """The same vocabulary here and in transformers."""
    from transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        return small_vocab(Path(folder)), BertTokenizer.from_pretrained(folder)


@given(st.lists(st.sampled_from([*PIECES, "Boat"])))
def test_words_take_in_every_token_once_and_in_order(tokens):
    vocab, _ = both()
    words = vocab.words(tokens)
    edges = [0, *(word.end for word in words)]
    assert edges[-1] == len(tokens) and [word.start for word in words] == edges[:-1]
    for word in words:
        first, *more = tokens[word.start : word.end]
        assert all(piece.startswith("##") for piece in more)
        assert word.text == first + "".join(piece.removeprefix("##") for piece in more)
    for before, after in itertools.pairwise(words):  # none is cut without need
        assert not after.text.startswith("##") or before.text in BERT_SPECIAL_TOKENS


def test_words_of_pieces_and_of_whole_words(vocab):
    tokens = ["[CLS]", *vocab.tokenize("cranes flying"), "[SEP]"]
    assert [word.text for word in vocab.words(tokens)] == ["[CLS]", "cranes", "flying", "[SEP]"]
    plain = Vocab(["##ing"])
    assert plain.words(["a", "##ing"]) == [(0, 1, "a"), (1, 2, "##ing")]


def test_guesses_and_vectors_of_pieces(vocab):
    net = small_net(vocab)
    guesses = fill_mask(net, vocab, "a <mask> is flying", num_guesses=99)
    assert guesses == fill_mask(net, vocab, "A [MASK] is flying", num_guesses=99)
    assert {guess.token for guess in guesses[0]} == set(vocab.to_tokens(vocab.word_ids))
    assert sum(guess.probability for guess in guesses[0]) == pytest.approx(1)
    with pytest.raises(ValueError, match="there is no .MASK. in 'a crane'"):
        fill_mask(net, vocab, "a crane")
    assert get_bert_encoding(net, vocab, vocab.tokenize("flying")).shape == (1, 4, 16)
    assert compare_tokens(net, vocab, "cranes", "flying").tokens_b == ["fly", "##ing"]


def test_a_table_may_be_larger_than_its_tokenizer_but_not_smaller(tmp_path):
    vocab = small_vocab(tmp_path, size=24)
    assert len(vocab) == len(vocab.counts) == 24 and len(set(vocab.itos)) == 24
    assert vocab.word_ids.max() < len(PIECES)
    with pytest.raises(ValueError, match="tokenizer has 18 entries, but its network only 17"):
        small_vocab(tmp_path, size=17)


def test_settings_of_the_tokenizer_count(tmp_path):
    settings = {"do_lower_case": False, "mask_token": {"content": "over"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    vocab = small_vocab(tmp_path)
    assert vocab.tokenize("crane CRANE <mask>") == ["crane", "CRANE", "over"]
    assert vocab.mask_id == PIECES.index("over")


def test_json_and_back(vocab):
    special = vocab.to_tokens(vocab.special_ids)
    again = WordPieceVocab.from_json(vocab.to_json(), special, len(vocab))
    assert again.itos == vocab.itos and again.special_ids == vocab.special_ids
    assert again.tokenize(TEXT) == vocab.tokenize(TEXT)
    with pytest.raises(ValueError, match="its tokenizer cannot be read"):
        WordPieceVocab.from_json("{}", special, len(vocab))


def test_long_texts_are_not_cut_and_short_ones_not_padded(tmp_path, vocab):
    about = json.loads(vocab.to_json())
    about["truncation"] = {
        "max_length": 4,
        "strategy": "LongestFirst",
        "stride": 0,
        "direction": "Right",
    }
    about["padding"] = {
        "strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(about))
    again = read_vocab(tmp_path, len(PIECES))
    assert again.tokenize("a " * 9) == ["a"] * 9 and again.tokenize("a") == ["a"]
