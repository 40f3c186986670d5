"""Vocabularies of other programs: word pieces in the place of words, and our words told to them."""

import functools
import json
import pickle
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published import PIECES, small_net, small_vocab

from bert_tutorial import compare_tokens, fill_mask, get_bert_encoding, load_pretrained
from bert_tutorial.studio.published.wordpiece import (
    BERT_SPECIAL_TOKENS,
    read_vocab,
    word_level_tokenizer,
)
from bert_tutorial.studio.widgets.lab_parts import HiddenWord
from bert_tutorial.text.vocabulary import Vocab

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return small_vocab(tmp_path_factory.mktemp("pieces") / "bert")


def test_a_text_is_cut_into_pieces_and_unknown_words_stay_as_typed(vocab):
    tokens = vocab.tokenize("Cranes flying, a Boat")
    assert tokens == ["crane", "##s", "fly", "##ing", ",", "a", "Boat"]
    assert vocab.unknown(tokens) == ["Boat"]
    assert vocab[tokens][-1] == vocab.unk_id and vocab.to_tokens(vocab[tokens][:-1]) == tokens[:-1]
    words = vocab.words(["[CLS]", *vocab.tokenize("cranes flying"), "[SEP]"])
    assert [word.text for word in words] == ["[CLS]", "cranes", "flying", "[SEP]"]
    assert vocab.pieces("flying") == ["fly", "##ing"] and vocab.pieces(" ") == [" "]


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
    text = "A crane's FLYINGS over, don't [MASK] éa 鶴 quux##ing!"
    assert again.tokenize(text) == vocab.tokenize(text)


@functools.cache
def both():
    """The same vocabulary here and in transformers, with blank lines and an entry twice."""
    from transformers import BertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        vocab = small_vocab(Path(folder), pieces=[*PIECES, "", "crane", "", "é", "bird"])
        return vocab, BertTokenizer.from_pretrained(folder)


@settings(deadline=None)  # the first text loads transformers
@given(st.text(alphabet="aA cransflyingoved,.'é鶴#[]MSK\t\nbird", max_size=60))
def test_pieces_are_those_of_transformers(text):
    vocab, theirs = both()
    assert vocab[vocab.tokenize(text)] == theirs(text, add_special_tokens=False).input_ids


@settings(deadline=None)
@given(st.lists(st.sampled_from([*PIECES, "Boat"])))
def test_words_take_in_every_token_once_and_in_order(tokens):
    wanted = []
    for place, token in enumerate(tokens):
        if token.startswith("##") and place and tokens[place - 1] not in BERT_SPECIAL_TOKENS:
            wanted[-1] += [token]
        else:
            wanted += [[token]]
    words = both()[0].words(tokens)
    assert [tokens[word.start : word.end] for word in words] == wanted
    texts = [first + "".join(piece[2:] for piece in more) for first, *more in wanted]
    assert [word.text for word in words] == texts


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


def test_a_table_may_be_larger_than_its_tokenizer_whose_settings_count(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    vocab = small_vocab(tmp_path, size=24)
    assert len(vocab) == len(vocab.counts) == 24 and len(set(vocab.itos)) == 24
    assert vocab.word_ids.max() < len(PIECES)
    assert vocab.tokenize("crane CRANE <mask>") == ["crane", "CRANE", "[MASK]"]
    assert vocab.tokenize("<MASK> [MASK] [mask]") == ["[MASK]", "[MASK]", "[", "mask", "]"]


def tokenizer_json(lowercase):
    """Of the same entries, which cuts so."""
    with tempfile.TemporaryDirectory() as folder:
        said = json.dumps({"do_lower_case": lowercase})
        (Path(folder) / "tokenizer_config.json").write_text(said)
        return small_vocab(Path(folder), pieces=CASED).tokenizer.to_str()


CASED = [*PIECES, "Paris"]
ADDED = {"content": "covid19", "single_word": False, "normalized": True}
ADDS = {"added_tokens_decoder": {str(len(CASED)): ADDED}}
JUST_AS_WRITTEN = {"tokenizer_class": "PreTrainedTokenizerFast"}


@pytest.mark.parametrize(("settings", "lowercase", "added", "unknown"), [
    (None, None, {}, ["paris", "covid19s"]),  # capitals are not read
    ({"do_lower_case": False}, None, {}, ["Crane", "covid19s"]),
    (None, None, {"covid19": len(CASED)}, ["paris", "s"]),
    (ADDS, None, {"not this": len(CASED)}, ["paris", "s"]),
    ({"do_lower_case": False, **ADDS}, True, {}, ["Crane", "s"]),
    (None, False, {"covid19": len(CASED)}, ["paris", "s"]),
    ({"do_lower_case": True, **JUST_AS_WRITTEN}, False, {}, ["Crane", "covid19s"]),
])  # fmt: skip
def test_files_that_disagree_are_read_as_in_transformers(
    tmp_path, settings, lowercase, added, unknown
):
    from transformers import AutoTokenizer

    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    if settings is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    if lowercase is not None:
        (tmp_path / "tokenizer.json").write_text(tokenizer_json(lowercase))
    if added:
        (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    vocab = small_vocab(tmp_path, pieces=CASED)
    tokens = vocab.tokenize("a Crane over Paris, covid19s [UNK]")
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert vocab[tokens] == theirs("a Crane over Paris, covid19s [UNK]").input_ids[1:-1]
    assert vocab.unknown(tokens) == unknown


def test_blank_lines_count_and_a_vocabulary_far_too_large_is_not_read(tmp_path):
    vocab = small_vocab(tmp_path, len(PIECES) + 2, [*PIECES[:6], "", *PIECES[6:], "crane", "", ""])
    assert vocab[["a", "crane"]] == [7, len(PIECES) + 1]  # the last one
    with (tmp_path / "vocab.txt").open("a") as file:
        file.write("a\n" * 10**6)
    with pytest.raises(ValueError, match="vocab.txt has more than 1,010,000 bytes, too many for"):
        read_vocab(tmp_path, 20)


def test_long_texts_are_not_cut_and_short_ones_not_padded(tmp_path, vocab):
    about = pickle.loads(pickle.dumps(vocab.tokenizer))
    about.enable_truncation(4)
    about.enable_padding(length=4)
    about.save(str(tmp_path / "tokenizer.json"))
    again = read_vocab(tmp_path, len(PIECES))
    assert again.tokenize("a " * 9) == ["a"] * 9 and again.tokenize("a") == ["a"]


def test_a_guess_is_read_as_the_vocabulary_reads_it(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    vocab = small_vocab(tmp_path, pieces=CASED)
    chances = dict.fromkeys(("network", "untrained"), torch.full((len(CASED),), 0.25))
    part, lab = HiddenWord(), SimpleNamespace(vocab=vocab, guesses=lambda *_: chances.copy())
    part.about = lab, (["a", "crane"], 1)
    told = {"Paris": "25.00%", "paris": "not in its vocabulary", "cranes": "2 pieces, and it gu"}
    for guess, answer in told.items():
        part.guess.value = guess
        read = " ".join(vocab.tokenize(guess))
        assert re.search(f"Your guess, {read}, .*: {answer}", part.kept())


# Our own words.

HARD = [
    "Mr. Crane left. He said no.", "No. 5 is Mr. A. B. Crane of the U.S. Army, e.g. at 5 p.m.",
    "The crane's 3.5-metre wings, 1,000 birds ...", "wait.... what?! — “yes” ‘no’ don’t",
    "a\u00adb\tc\u200bd\r\n", "x-ray 5-6 a- -b _c_ @-@", "鶴 is a crane。 你好", "cafe\u0301 CAFÉ",
    "a <mask> <unk> <MASK> <b>", "İstanbul ΟΔΟΣ", "❤️👍🏽 🇩🇪🇫🇷 1️⃣ ﬁne‑so bod༎ two.. x",
    "hmr. mr... mr.a mr.", "",
]  # fmt: skip
# Without and with sentence ends and abbreviations.
VOCABS = [
    Vocab("a crane left mr he said no".split()),
    Vocab("a crane mr. mr no. a. no u.s. p.m. ... . 鶴 @-@ @.@ 's é — café — $5. x.y.".split()),
    Vocab([*".!?…。", "..."]),
]


word_level = functools.cache(word_level_tokenizer)


def cut_otherwise(vocab, texts):
    cut = functools.partial(word_level(vocab).encode, add_special_tokens=False)
    return [text for text in texts if cut(text).ids != vocab[vocab.tokenize(text)]]


@pytest.mark.parametrize("corpus", ["bundled", "wikitext-2", None])
def test_real_texts_are_cut_alike(corpus):
    files = "bert_tutorial/data/encyclopaedia/valid.tokens", "README.md", "CHANGELOG.md"
    lines = [line for name in files for line in (ROOT / name).read_text("utf-8").splitlines()]
    assert len(lines) > 300
    for vocab in [load_pretrained(corpus, "shipped").vocab] if corpus else VOCABS:
        assert cut_otherwise(vocab, [*HARD, *lines]) == []


@settings(deadline=None)
@given(st.text(alphabet="amrno.,-'’“5!?…。 \n鶴éÉ\u0301\u00ad@<>_U", max_size=40))
def test_any_text_is_cut_alike(text):
    if " ." not in text.replace("\n", " "):  # an abbreviation with a space in it
        assert [vocab for vocab in VOCABS if cut_otherwise(vocab, [text])] == []


def test_special_tokens_are_put_in_and_kept_whole():
    vocab = VOCABS[0]
    coded = word_level_tokenizer(vocab).encode("a <mask>", "crane")
    assert coded.tokens == ["<cls>", "a", "<mask>", "<sep>", "crane", "<sep>"]
    assert coded.type_ids == [0, 0, 0, 0, 1, 1]
    assert coded.ids == vocab[coded.tokens]
