"""Our tokenizer, told to the library `tokenizers`."""

import functools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tutorial import load_pretrained
from bert_tutorial.studio.published.word_level import word_level_tokenizer
from bert_tutorial.text.vocabulary import SENTENCE_ENDS, Vocab

ROOT = Path(__file__).parents[1]
HARD = [
    "Mr. Crane left. He said no.", "No. 5 is Mr. A. B. Crane of the U.S. Army, e.g. at 5 p.m.",
    "The crane's 3.5-metre wings, 1,000 birds ...", "wait.... what?! — “yes” ‘no’ don’t",
    "a\u00adb\tc\u200bd\r\n", "x-ray 5-6 a- -b _c_ @-@", "鶴 is a crane。 你好", "cafe\u0301 CAFÉ",
    "a <mask> <unk> <MASK> <b>", "İstanbul ΟΔΟΣ", "hmr. mr... mr.a mr.", "",
]  # fmt: skip
# Without and with sentence ends and abbreviations.
VOCABS = [
    Vocab("a crane left mr he said no".split()),
    Vocab("a crane mr. mr no. a. no u.s. p.m. ... . 鶴 @-@ @.@ 's é — café — $5. x.y.".split()),
    Vocab(SENTENCE_ENDS),
]


def cut_alike(vocab, tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids == vocab[vocab.tokenize(text)]


@pytest.mark.parametrize("corpus", ["bundled", "wikitext-2"])
def test_real_texts_are_cut_alike(corpus):
    vocab = load_pretrained(corpus, "shipped").vocab
    tokenizer = word_level_tokenizer(vocab)
    bundled = (ROOT / "bert_tutorial" / "data" / "corpus" / "valid.tokens").read_text("utf-8")
    documents = [(ROOT / name).read_text("utf-8") for name in ("README.md", "CHANGELOG.md")]
    lines = [*HARD, *bundled.splitlines(), *"\n".join(documents).splitlines()]
    assert len(lines) > 300
    assert [line for line in lines if not cut_alike(vocab, tokenizer, line)] == []


@pytest.mark.parametrize("vocab", VOCABS, ids=["plain", "abbreviations", "ends"])
def test_hard_texts_are_cut_alike(vocab):
    tokenizer = word_level_tokenizer(vocab)
    assert [text for text in HARD if not cut_alike(vocab, tokenizer, text)] == []


@functools.cache
def tokenizers():
    return [word_level_tokenizer(vocab) for vocab in VOCABS]


@given(st.text(alphabet="amrno.,-'’“5!?…。 \n鶴éÉ\u0301\u00ad@<>_U", max_size=40))
def test_any_text_is_cut_alike(text):
    for vocab, tokenizer in zip(VOCABS, tokenizers(), strict=True):
        if " ." not in text.replace("\n", " "):  # an abbreviation with a space in it
            assert cut_alike(vocab, tokenizer, text)


def test_special_tokens_are_put_in_and_kept_whole():
    vocab = VOCABS[0]
    coded = word_level_tokenizer(vocab).encode("a <mask>", "crane")
    assert coded.tokens == ["<cls>", "a", "<mask>", "<sep>", "crane", "<sep>"]
    assert coded.type_ids == [0, 0, 0, 0, 1, 1]
    assert coded.ids == vocab[coded.tokens]
