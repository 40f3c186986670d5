"""Odd texts are typed into the sentence lab; afterwards it is as good as before."""

import math
import random
import re

import pytest
import torch

from bert_tutorial import BERTModel
from bert_tutorial.studio.lab.lab import Lab
from bert_tutorial.studio.widgets import SentenceLab
from bert_tutorial.studio.widgets.lab_parts import PARTS
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

PLAIN = "a crane is flying", "a crane lifts a box"
BIRD, MACHINE = (
    f" = Crane ( {sense} ) = \n" + "".join(f" {s} <unk> . \n" for s in sentences) * 4
    for sense, sentences in (
        ("bird", ("a crane is flying", "the crane built a nest", "one crane saw one more crane")),
        ("machine", ("a crane lifts a box", "the crane of the port is tall")),
    )
)
ODD = (
    *("<script>x</script>", "</script>", "<img src=x onerror=x>", "<b class=x>crane</b>", "<!--"),
    *("&amp;", "&lt;b&gt;", "{{x}}", "${x}", "javascript:x", "<style>*{}", "</td></table>", "-->"),
    *("<mask>", "<cls>", "<sep>", "<pad>", "<unk>", "[MASK]", "##ing", '"', "'", "`", "\\", "\\n"),
    *("🦩", "👩‍👩‍👧", "🏳️‍🌈", "مرحبا", "שלום", "\u202ecrane\u202c", "\u200f", "\u200b", "\ufeff"),
    *("e\u0301", "a" + "\u0301" * 30, "\u0338", "鶴", "ß", "İ", "ﬁ", "½", "\x00", "\ud800"),
    *("\n", "\r\n", "\t", "\u2028", "", " ", ".", "…", "@-@", "NaN", "-1", "%s", "1" * 40),
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    corpus = Corpus("cranes", 2 * (BIRD + MACHINE), BIRD + MACHINE)
    vocab = Vocab(t for text in paragraphs(corpus.train) for sentence in text for t in sentence)
    sizes = {"num_hiddens": 8, "ffn_num_hiddens": 8, "num_layers": 1, "max_len": 64}
    torch.manual_seed(0)
    return Lab(BERTModel(len(vocab), **sizes).eval(), vocab, corpus)


def odd_text(draw):
    """Known words, odd strings, any characters, thousands of characters, or nothing."""
    kind = draw.random()
    if kind < 0.05:
        return draw.choice(["", " ", "\u200b", draw.choice(ODD) * 3000, "x" * 10_000])
    if kind < 0.4:
        return " ".join(draw.choices(ODD, k=draw.randint(1, 4)))
    if kind < 0.7:
        words = "a the box is flying nest port one tall zebra crane".split()
        return " ".join(draw.choices([*words, *words, *ODD], k=draw.randint(1, 12)))
    ranges = (32, 126), (0xA0, 0x3000), (0x1F300, 0x1F6FF), (0, 0x10FFFF)
    return "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(1, 30)))


# All markup that the lab writes.
TAG = re.compile(
    r"</?(p|b|i|br|small|ol|li|div|h3|h4|body|html|table|caption|thead|tbody|tr|td|th)>"
    r"|<th scope='(col|row)'>|<td style='background:rgba\(0,107,164,\d\.\d\d\)'>"
    r"|<div style='[a-z:;0-9 -]+rem'>"
    r'|<img alt="[^<>"]+" src="data:image/png;base64,[A-Za-z0-9+/=]+" style="max-width:100%">'
)
ENTITY = re.compile(r"&(amp|lt|gt|quot|#x27);")


def assert_escaped(html):
    rest = ENTITY.sub("", TAG.sub("", html))
    assert not set(rest) & set("<>&"), "markup that was typed"


def assert_usable(lab):
    """What is shown is that of the sentences read last, and nothing of it is markup."""
    assert not lab.status.is_error or re.search("text has (no word|[0-9]+ words)", lab.status.text)
    part, words = lab.parts[lab.show.value], lab.sentences
    assert lab.box.children == (part.box,) or "too seldom" in lab.problem.value
    for chips, some in zip(lab.chips, words, strict=True):
        assert [chip["text"] for chip in chips.tokens] == list(some)
    assert all(math.isfinite(row["position"]) for row in lab.meter.rows)
    assert_escaped(part.text.value + lab.problem.value)


def everything(lab):
    """All that the lab shows of its sentences, in each view, but for pictures."""
    found = [lab.status.text, lab.meter.caption, lab.meter.rows]
    for name in lab.parts:
        lab.show.value = name
        is_shown = lab.box.children == (lab.parts[name].box,)  # otherwise a word is too rare
        found.append(lab.static_html() + (lab.parts[name].kept() if is_shown else ""))
        assert_escaped(found[-1])
    return found


@pytest.mark.parametrize(
    "num_texts", [300, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])]
)
def test_odd_texts_leave_the_lab_usable(network, tmp_path, num_texts):
    lab, draw = SentenceLab(network, *PLAIN, folder=tmp_path), random.Random(0)
    assert len(lab.meter.rows) == 6 and not lab.status.is_error
    before, read = everything(lab), 0
    for number in range(num_texts):
        if number % 5000 == 0:
            everything(lab)
        if number % 20 == 0:
            lab.show.value = draw.choice([name for name in PARTS if name != "layers"])
            lab.layer.value, lab.raw.value = draw.randint(0, 1), draw.random() < 0.5
        draw.choice([lab.text_a, lab.text_b]).value = odd_text(draw)
        chips = draw.choice(lab.chips)
        if number % 10 == 0:
            place = draw.randrange(len(chips.tokens) + 1)  # one too many does no harm
            chips.clicked = {"index": place, "count": number}
            lab.parts["hidden word"].guess.value = odd_text(draw)
        if number % 50 == 0:
            lab.keep.click()
            assert_escaped((tmp_path / "sentence_lab.html").read_text("utf-8").split("<body>")[1])
        read += not lab.status.is_error
        assert_usable(lab)
    assert read > num_texts / 2
    lab.text_a.value, lab.text_b.value = PLAIN
    lab.layer.value, lab.raw.value = 1, False
    lab.parts["hidden word"].guess.value = ""
    for number, chips in enumerate(reversed(lab.chips)):
        chips.clicked = {"index": 1, "count": num_texts + number}
    assert everything(lab) == before
