"""The sentence lab's controls and views, without a browser; also with odd texts typed into it."""

import math
import random
import re
import time

import pytest
import torch
from small import tokenized
from test_probe import CRANES

from bert_tutorial import BERTModel, load_pretrained, read_text
from bert_tutorial.representation.fill_mask import likeliest
from bert_tutorial.studio.lab.lab import Lab
from bert_tutorial.studio.widgets import SentenceLab
from bert_tutorial.studio.widgets.lab_parts import PARTS
from bert_tutorial.studio.widgets.sentence_lab import EXAMPLES, track
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

HOSTILE = "<img src=x onerror=alert(1)> &amp; <b>crane</b>"
NEAREST = "nearest uses in the corpus"


@pytest.fixture(scope="module")
def network():
    return Lab(*load_pretrained("bundled", "shipped")[:2], read_text("bundled"))


@pytest.fixture
def lab(network, tmp_path):
    return SentenceLab(network, folder=tmp_path)


@pytest.fixture
def cranes(lab):
    lab.example.value = "crane: bird, machine"
    return lab


def click(lab, sentence, place):
    lab.chips[sentence].clicked = {"index": place, "count": time.monotonic_ns()}


def kept(lab, tmp_path):
    lab.keep.click()
    assert not lab.status.is_error and str(tmp_path) in lab.status.text
    return (tmp_path / "sentence_lab.html").read_text("utf-8")


EXAMPLES_OF = {
    name: texts
    for name, *texts in (line.split("\t") for line in EXAMPLES.read_text("utf-8").splitlines())
}


@pytest.mark.parametrize("name", EXAMPLES_OF)
def test_the_network_is_right_on_an_example_and_sure_of_it(name, network):
    sentences = network.words(*EXAMPLES_OF[name][:2])
    assert not any(network.is_unknown(word) for words in sentences for word in words)
    word, _, about = name.partition(": ")
    at = network.same_word(sentences)
    asked = list(zip(sentences, at, strict=True))
    assert [words[place] for words, place in asked] == [word, word]
    if about == "a hidden word":
        for use in asked:
            found = network.guesses(*use)["network"]
            assert likeliest(network.vocab, found, 1)[0].token == word
        return
    uses, told = network.uses(network.key(word), "network"), []
    for use in asked:
        noisy = network.noisy_uses("network", *use, False)[2].numpy()
        spread = uses.positions(noisy, uses.means(2)).std()
        told.append(uses.place(network.use("network", *use, False)[2], 2, spread=spread))
    assert not any(place.is_undecided for place in told)
    senses = [place.text.split(",")[0] for place in told]
    if about == "the order of words":  # no bag of words can know it
        assert sorted(sentences[0]) == sorted(sentences[1]) and senses == ["jewel", "boxing"]
        return
    assert senses == about.split(", ")
    alike, one_sense, two_senses = network.alike(sentences, at, 2)
    assert (alike > (one_sense + two_senses) / 2) == (len(set(senses)) == 1)


def test_an_example_brings_its_view(lab):
    pairs = [name.partition(": ")[2].split(", ") for name in lab.examples]
    assert sum(pair[0] != pair[-1] for pair in pairs) >= 4 and ["bird", "bird"] in pairs
    assert lab.show.value == "map of uses"
    lab.example.value = "knife: a hidden word"
    assert lab.show.value == "hidden word" and lab.meter.rows == []
    assert lab.status.text == "All words are in the vocabulary."
    assert "No word here has two senses that the corpus knows, as these have: " in lab.meter.caption
    for told in (lab.meter.caption, lab.known.value):
        assert len(re.findall(r"\b(bank|mouse|virus),? ?", told)) == 3
    lab.parts["hidden word"].answers.click()
    assert re.search(
        r"The hidden word, knife, by the network: [1-9]", lab.parts["hidden word"].kept()
    )


def test_what_is_typed_is_mapped_by_its_word_with_two_senses(lab):
    view = lab.parts["map of uses"].views["network"]
    for box, text, word in (
        (lab.text_a, "he went to the bank", "bank"),
        (lab.text_b, "the seal swam in the sea", "seal"),
        (lab.text_a, "the dog saw nothing", "seal"),
        (lab.text_a, "xqz qqq", "seal"),
    ):
        box.value = text
        assert view.caption == f"{word}, network, layer 2", text
        (yours,) = [point for point in view.points if point["kind"] == "typed"]
        assert word in yours["text"] and view.x_name.startswith("from ")
    lab.show.value, part = "similar words", lab.parts["similar words"]
    part.views["network"].selected = [0, 1]
    assert "xqz, seal: nothing to compare.</b> Not in the vocabulary: xqz." in part.text.value


def test_what_is_old_is_grey_until_it_is_answered(lab, monkeypatch):
    names, seen = {"bert-reading", "bert-other"}, []

    def grey():
        return names & {*lab._dom_classes}

    show = lab.parts["map of uses"].show
    monkeypatch.setattr(
        lab.parts["map of uses"], "show", lambda asked: (seen.append(grey()), show(asked))
    )
    lab.lab.was_read.discard("crane")
    lab.labels.value = 5
    assert seen == [{"bert-reading"}] and not grey()
    lab.text_a.value = ""
    assert lab.status.is_error and grey() == {"bert-other"}
    lab.layer.value = 1
    assert grey() == {"bert-other"}
    lab.text_a.value = "a crane is here"
    assert not grey()


def test_every_view_follows_text_layer_and_picked_word(cranes):
    for name in PARTS:
        cranes.show.value = name
        shown = cranes.box.children
        assert shown == (cranes.parts[name].box,) and not cranes.status.is_error, name
    cranes.show.value = "similar words"
    part = cranes.parts["similar words"]
    network, untrained = part.views.values()
    before = network.values
    assert network.low == untrained.low  # one scale for both
    i, j = cranes.picked
    alike = f"{cranes.lab.alike(cranes.sentences, (i, j), 2)[0]:.2f}"
    assert f"{network.values[i][j]:.2f}" == alike and untrained.values[i][j] > network.values[i][j]
    assert f"<b>crane, crane: {alike}.</b>" in part.text.value and part.text.value.count("<b>") == 1
    assert network.strong == untrained.strong == [[i, j]]  # all others are pale
    cranes.raw.value = True  # the plain cosine does not see it
    assert network.values[i][j] > 0.5 and "crane, crane: cosine 0." in part.text.value
    assert network.strong == []
    cranes.raw.value = False
    assert network.values == before
    cranes.layer.value = 0
    assert network.values != before
    assert cranes.meter.rows == [] and "Layer 0 has no context" in cranes.meter.caption
    cranes.layer.value, cranes.raw.value = 7, True  # there are two
    assert cranes.layer.value == cranes.layer.max == 2 and not cranes.status.is_error
    assert network.values != before and "plain" in network.caption
    network.selected = [0, 0]
    assert "a, workers: cosine" in part.text.value and "dropout" not in part.text.value
    every = cranes.meter.rows[0]["position"]
    assert "all labels" in cranes.meter.caption
    cranes.labels.value = 1
    assert cranes.meter.rows[0]["position"] != every and "few are noisy" in cranes.meter.caption
    assert cranes.meter.caption.startswith("Which sense?") and cranes.labels.hint == "64: all"
    cranes.show.value = NEAREST
    assert cranes.raw.disabled
    click(cranes, 1, 5)
    assert "<b>to</b> (sentence 2)" in cranes.parts[NEAREST].text.value
    assert cranes.chips[1].chosen == [5]


def test_attention_begins_with_the_word_that_was_clicked_and_says_what_it_shows(cranes):
    cranes.show.value = "attention"
    part = cranes.parts["attention"]
    one, other = part.views.values()
    assert cranes.picked[0] == 2 and one.kept == other.kept == 3  # behind <cls>
    assert one.high == other.high > 0.1 and one.layer == 1
    assert re.search(
        r"crane looks most, in the network at \S+ \(0\.\d\d\), in the unt", part.text.value
    )
    one.kept = 5
    cranes.layer.value = 1
    assert (one.kept, one.layer) == (5, 0)  # the same word
    click(cranes, 1, 0)
    assert one.kept == 1 and "workers looks most" in part.text.value


def test_ones_own_guess_comes_first(cranes):
    cranes.show.value = "hidden word"
    part = cranes.parts["hidden word"]
    assert "<table>" not in part.text.value and "Type a guess, then Enter" in part.text.value
    part.answers.click()
    assert "<table>" in part.text.value and "Your guess" not in part.text.value
    assert "untrained</th>" not in part.text.value
    assert "The untrained network gives no word more than 0." in part.text.value
    part.guess.value = "<i>Heron</i>"
    assert "<table>" in part.text.value and "<i>heron" not in part.text.value
    assert "not in its vocabulary" in part.text.value
    part.guess.value = "bird"
    assert re.search(r"Your guess, bird, by the network: \d+\.\d\d%", part.text.value)
    part.guess.value = best = re.search(r"<td>(\w+) ", part.text.value)[1]
    assert f"<td>→ {best} " in part.text.value
    click(cranes, 0, 8)
    assert part.guess.value == "" and "<table>" not in part.text.value
    cranes.layer.value, part.guess.value = 1, "lake"
    cranes.labels.value = 3
    assert part.guess.value == "lake"  # the same word of the same sentence


def test_a_wrong_text_is_told_in_place_and_nothing_is_lost(network, tmp_path):
    lab = SentenceLab(network, "", "x", folder=tmp_path)
    assert "first text has no word" in lab.status.text and lab.static_html() == ""
    click(lab, 0, 0)
    lab.keep.click()
    assert "type two sentences first" in lab.status.text
    lab.text_a.value, lab.text_b.value = "a crane is here", "a crane driver left"
    assert not lab.status.is_error and len(lab.meter.rows) == 6
    lab.text_a.value = ""
    assert lab.status.is_error and "first text has no word" in lab.status.text
    assert lab.text_b.value == "a crane driver left" and lab.sentences[0][1] == "crane"
    lab.layer.value = 1  # what was read last can still be looked at
    assert "layer 1" in lab.parts["map of uses"].views["network"].caption
    lab.text_a.value = "word " * 50
    assert "50 words: at most 40" in lab.status.text
    lab.text_a.value = "x" * 1_000_000
    assert "Only the first 2,000 characters are read." in lab.status.text
    (chip,) = lab.chips[0].tokens
    assert chip == {"text": "x" * 2000, "note": "→ <unk>", "is_unknown": True}
    lab.text_a.value = "a \ud83e crane"  # half a character
    assert [chip["text"] for chip in lab.chips[0].tokens] == ["a", "�", "crane"]
    assert lab.chips[0].tokens[2]["note"] == f"{network.count('crane')}×"


def test_another_network_is_loaded_when_it_is_chosen(network, tmp_path):
    def fail():
        raise OSError("there is no such network here")

    about = "network that comes with the package, corpus bundled; it was not taught a game"
    others = {"gone": fail, "in the package, bundled": fail}
    lab = SentenceLab(network, description=about, others=others, folder=tmp_path)
    assert lab.model.options == ("in the package, bundled", "untrained", "gone")
    lab.show.value = "similar words"
    views = lab.parts["similar words"].views
    trained, untrained = views["network"].values, views["untrained"].values
    senses = [row["position"] for row in lab.meter.rows if row["source"] == "untrained"]
    click(lab, 1, 0)
    lab.model.value = "untrained"
    assert lab.picked == views["network"].selected == [1, 0]  # as with the other network
    assert views["network"].values == views["untrained"].values == untrained != trained
    assert [r["position"] for r in lab.meter.rows if r["source"] == "network"] == senses
    lab.model.value = "gone"
    assert lab.status.text == "Not possible: there is no such network here"
    assert lab.model.value == "untrained"  # which is shown
    assert "Model: untrained." in lab.static_html()
    lab.model.value = "in the package, bundled"
    assert (
        views["network"].values == trained
        and "Model: in the package, bundled." in lab.static_html()
    )
    lab.other.value = "no/such/folder/here"
    assert "is no folder, and no name at a hub" in lab.status.text


def test_without_its_text_a_network_shows_what_needs_none_and_the_rest_says_so(network, tmp_path):
    without = Lab(network.nets["network"], network.vocab, Corpus("far", "", ""), "no <way> there")
    lab, told = SentenceLab(without, folder=tmp_path), "this needs the text: no &lt;way&gt; there"
    assert lab.meter.rows == [] and lab.meter.caption.endswith("needs the text: no <way> there")
    for name, part in lab.parts.items():
        lab.show.value = name
        assert not lab.status.is_error and (part.box in lab.box.children) == (not lab.problem.value)
        assert (told in lab.problem.value) == (name in ("map of uses", NEAREST))
    lab.show.value = "map of uses"
    assert lab.box.children == (lab.problem, lab.parts["similar words"].box)
    assert told in kept(lab, tmp_path)


def test_a_cell_and_a_word_that_were_clicked_stay_chosen_until_the_words_change(cranes):
    cranes.show.value = "similar words"
    part = cranes.parts["similar words"]
    one, other = part.views.values()
    one.selected, other.selected = [0, 3], [4, 4]
    for control, value in (("layer", 1), ("raw", True), ("labels", 3)):
        getattr(cranes, control).value = value
        assert (one.selected, other.selected) == ([0, 3], [4, 4])
        assert "a, tall: cosine" in part.text.value
    click(cranes, 0, 8)
    cranes.labels.value = 4
    assert one.selected == other.selected == [8, 4] == cranes.picked
    one.selected = [0, 0]
    cranes.text_a.value = "a crane is flying"
    assert one.selected == cranes.picked == [1, 4] and cranes.example.value == "your own"
    cranes.text_a.value = "a crane saw a crane"
    labels = {row["label"] for row in cranes.meter.rows}
    assert len(labels) == 3 and "crane (word 5), sentence 1" in labels
    assert "only the first" not in cranes.meter.caption
    began = time.process_time()
    cranes.text_a.value = "crane " * 40
    assert time.process_time() - began < 1
    labels = {row["label"] for row in cranes.meter.rows if row["label"].endswith("sentence 1")}
    assert len(labels) == 6 and "only the first 6 such words" in cranes.meter.caption


def test_a_word_that_is_too_rare_is_told_in_its_view_and_the_rest_goes_on(lab, tmp_path):
    lab.show.value = NEAREST
    lab.text_b.value = "a crane zebrafish here"
    click(lab, 1, 2)
    assert "stands 0 times" in lab.problem.value and lab.box.children == (lab.problem,)
    lab.show.value = "map of uses"  # instead of which the next view is shown
    assert "stands 0 times" in lab.problem.value and "similar words" in lab.problem.value
    assert lab.box.children == (lab.problem, lab.parts["similar words"].box)
    assert not lab.raw.disabled and ", cosines" in lab.static_html()
    lab.show.value = NEAREST
    assert "zebrafish" in lab.status.text and not lab.status.is_error
    assert "stands 0 times" in kept(lab, tmp_path)
    lab.show.value = "hidden word"  # the same word of the same sentence
    assert "a crane <b>&lt;mask&gt;</b> here" in lab.parts["hidden word"].text.value
    click(lab, 1, 1)
    lab.show.value = NEAREST
    assert lab.box.children == (lab.parts[NEAREST].box,)


def test_the_kept_file_has_the_views_beside_their_controls_and_needs_nothing_else(cranes, tmp_path):
    cranes.text_a.value += f" {HOSTILE}"
    cranes.show.value = "map of uses"
    view = cranes.parts["map of uses"].views["network"]
    view.selected = [3]
    text = kept(cranes, tmp_path)
    assert view.selected == [3]  # keeping changes nothing
    assert text.startswith("<!DOCTYPE html>") and text.count("<html") == 1
    assert "http" not in text and "<script" not in text and "<img src=x" not in text
    for shown in (
        *("Sentence 1: a white crane stood", "bird, 10 of 10"),  # the meter
        *(
            "untrained network, layer 2, cosines",
            "crane, crane: ",
            "According to the untrained network",
        ),
        *('alt="crane, network', 'alt="crane, untrained network', '<img alt="A word and itself in'),
        *("<th scope='col'>two neighbours, counted</th>", "&lt;mask&gt;"),
    ):
        assert shown in text, shown
    assert text.count("<img") == 3 and text.count("<caption>") == 4
    assert "bird, 10 of 10" in cranes.static_html() and ", cosines" not in cranes.static_html()
    cranes.show.value = "similar words"
    assert "2, cosines" in cranes.static_html()  # what is seen without a kernel
    cranes.is_shown = True  # but there is no notebook
    cranes.keep_static(cranes.static_html())
    assert cranes._static.handle is None
    assert repr(cranes) == cranes._repr_mimebundle_()["text/plain"] == SentenceLab.fallback
    assert track(-1) == "◀●━━━━━━━━▶" and track(1) == "◀━━━━━━━━●▶" and track(0)[5] == "●"


ODD = (
    *("<script>x</script>", "</script>", "<img src=x onerror=x>", "<b class=x>crane</b>", "<!--"),
    *("&amp;", "&lt;b&gt;", "{{x}}", "${x}", "javascript:x", "<style>*{}", "</td></table>", "-->"),
    *("<mask>", "<cls>", "<sep>", "<pad>", "<unk>", "[MASK]", "##ing", '"', "'", "`", "\\", "\\n"),
    *("🦩", "👩‍👩‍👧", "🏳️‍🌈", "مرحبا", "שלום", "\u202ecrane\u202c", "\u200f", "\u200b", "\ufeff"),
    *("e\u0301", "a" + "\u0301" * 30, "\u0338", "鶴", "ß", "İ", "ﬁ", "½", "\x00", "\ud800"),
    *("\n", "\r\n", "\t", "\u2028", "", " ", ".", "…", "@-@", "NaN", "-1", "%s", "1" * 40),
)  # fmt: skip
# All markup that the lab writes.
TAG = re.compile(
    r"</?(p|b|i|br|small|ol|li|div|h3|h4|body|html|table|caption|thead|tbody|tr|td|th)>"
    r"|<th scope='(col|row)'>|<td style='background:rgba\(0,107,164,\d\.\d\d\)'>"
    r"|<div style='[a-z:;0-9 -]+rem'>|&(amp|lt|gt|quot|#x27);"
    r'|<img alt="[^<>"]+" src="data:image/png;base64,[A-Za-z0-9+/=]+" style="max-width:100%">'
)


def odd_text(draw):
    """Known words, odd strings, any characters, thousands of characters, or nothing."""
    kind = draw.random()
    if kind < 0.05:
        return draw.choice(["", " ", "\u200b", draw.choice(ODD) * 3000, "x" * 10_000])
    if kind < 0.4:
        return " ".join(draw.choices(ODD, k=draw.randint(1, 4)))
    if kind < 0.7:
        words = "a the load it flies steel lake over grey zebra crane".split()
        return " ".join(draw.choices([*words, *words, *ODD], k=draw.randint(1, 12)))
    ranges = (32, 126), (0xA0, 0x3000), (0x1F300, 0x1F6FF), (0, 0x10FFFF)
    return "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(1, 30)))


def assert_escaped(html):
    assert not set(TAG.sub("", html)) & set("<>&"), "markup that was typed"


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
    "num_texts", [100, pytest.param(10_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])]
)
def test_odd_texts_leave_the_lab_as_good_as_before(tmp_path, num_texts):
    corpus = Corpus("cranes", 3 * CRANES.train, CRANES.valid)
    vocab, _ = tokenized(paragraphs(corpus.train))
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=8, ffn_num_hiddens=8, num_layers=1, max_len=64)
    plain, draw = ("the crane flies", "the crane lifts a load"), random.Random(0)
    lab = SentenceLab(Lab(net.eval(), vocab, corpus), *plain, folder=tmp_path)
    assert len(lab.meter.rows) == 6 and not lab.status.is_error
    before, read = everything(lab), 0
    for number in range(num_texts):
        if number % 20 == 0:
            lab.show.value = draw.choice([name for name in PARTS if name != "layers"])
            lab.layer.value, lab.raw.value = draw.randint(0, 1), draw.random() < 0.5
        draw.choice([lab.text_a, lab.text_b]).value = odd_text(draw)
        if number % 10 == 0:
            sentence = draw.randint(0, 1)
            click(
                lab, sentence, draw.randint(0, len(lab.chips[sentence].tokens))
            )  # or one too many
            lab.parts["hidden word"].guess.value = odd_text(draw)
        if number % 50 == 0:
            assert_escaped(kept(lab, tmp_path).split("<body>")[1])
        read += not lab.status.is_error
        assert_usable(lab)
    assert read > num_texts / 2
    lab.text_a.value, lab.text_b.value = plain
    lab.layer.value, lab.raw.value = 1, False
    lab.parts["hidden word"].guess.value = ""
    for sentence in (1, 0):
        click(lab, sentence, 1)
    assert everything(lab) == before
