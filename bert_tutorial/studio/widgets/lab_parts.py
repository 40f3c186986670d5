"""The views below the sense meter, one at a time. A new one is a class here, and a line in `PARTS`.

Each asks a `Lab`, and shows the network beside the untrained one. Whatever was typed is escaped.
"""

from html import escape
from typing import Any, NamedTuple

import ipywidgets as ipw

from ...notebook import png_html
from ...plots import curves, new_figure, to_png
from ...representation.encoding import as_pieces
from ...representation.fill_mask import likeliest
from ..lab.lab import NETWORKS, Lab, Words, whole_characters
from .parts import paragraph, table
from .views import AttentionView, PointMap, TokenHeatmap

NAMES = {"network": "network", "untrained": "untrained network"}
WRAP = ipw.Layout(flex_flow="row wrap", align_items="flex-start")


class Asked(NamedTuple):
    """What the lab's controls say."""

    lab: Lab
    sentences: list[Words]
    picked: list[int]  # the chosen word of each sentence
    sentence: int  # 0 or 1: which was clicked last
    layer: int
    number: int  # labels of each sense
    is_raw: bool

    @property
    def use(self) -> tuple[Words, int]:
        """The sentence that was clicked last, and the place of the word."""
        return self.sentences[self.sentence], self.picked[self.sentence]


class Part:
    """One view: a text, and under it something of a kind for each network.

    `show` shows an answer; a ValueError says why there is none.
    """

    has_raw = False  # whether the check box for raw cosines means something here
    kind: type[ipw.DOMWidget] | None = None

    def __init__(self):
        self.text = ipw.HTML()
        self.views: dict[str, Any] = {which: self.kind() for which in NETWORKS if self.kind}
        self.box = ipw.VBox([self.text, ipw.HBox(list(self.views.values()), layout=WRAP)])

    def kept(self) -> str:
        """What the kept file has of the answer that is shown."""
        return self.text.value


class Similarity(Part):
    """Cosines of all pairs of words; the untrained network beside, in the same colours.

    Of one word whose senses are known it is how alike its two uses are, unless plain cosines are
    asked for.
    """

    has_raw, kind = True, TokenHeatmap

    def __init__(self):
        super().__init__()
        self.asked: Asked | None = None  # what is shown
        self.alike: dict[tuple[int, int], tuple] = {}  # of pairs of one word: see `Lab.alike`
        self.views["network"].observe(lambda _: self._tell(), names="selected")

    def show(self, asked: Asked) -> None:
        """Both heat maps, and the pair that was clicked."""
        lab, sentences, picked, _, layer, _, is_raw = asked
        found = {which: lab.similarity(sentences, layer, is_raw, which) for which in NETWORKS}
        before, self.asked = self.asked, None  # so that nothing is told of what is half shown
        known = {*lab.with_senses(sentences)} if not is_raw else ()
        same_words, self.alike = lab.same_words(sentences), {}
        for at in same_words:
            if (0, at[0]) in known and (1, at[1]) in known and lab.alike(sentences, at, layer):
                for which, cosines in reversed(found.items()):
                    self.alike[at] = lab.alike(sentences, at, layer, which)
                    cosines[at] = self.alike[at][0]
        is_same = before and (before.sentences, before.picked) == (sentences, picked)
        kind = "plain" if is_raw else "the text's mean vector taken out"
        kind += "; not pale: how alike the two uses are" if self.alike else ""
        low = min(cosines.min().item() for cosines in found.values())
        high = max(cosines.max().item() for cosines in found.values())
        for which, view in self.views.items():
            with view.hold_sync():
                view.rows, view.columns = map(list, sentences)
                view.low, view.high, view.values = low, high, found[which].tolist()
                view.caption = f"{NAMES[which]}, layer {layer}, cosines, {kind}"
                view.marked, view.strong = list(map(list, same_words)), list(map(list, self.alike))
                if not is_same:  # otherwise the cell that was clicked stays chosen
                    view.selected = picked
        self.asked = asked
        self._tell()

    def _tell(self) -> None:
        """The number in the cell that was clicked, and what it has to be compared with."""
        if not self.asked:
            return
        lab, sentences, _, _, layer, _, is_raw = self.asked
        i, j = places = tuple(self.views["network"].selected)
        if i >= len(sentences[0]) or j >= len(sentences[1]):  # a click on the words before
            return
        both = sentences[0][i], sentences[1][j]
        one, other = map(escape, both)
        if unknown := ", ".join(dict.fromkeys(map(escape, filter(lab.is_unknown, both)))):
            said = f"nothing to compare.</b> Not in the vocabulary: {unknown}."
            self.text.value = f"<p><b>{one}, {other}: {said}</p>"
            return
        number = self.views["network"].values[i][j]
        if places in self.alike:
            _, one_sense, two_senses = self.alike[places]
            self.text.value = (
                f"<p><b>{one}, {other}: {number:.2f}.</b> So alike are these two uses, in the "
                "directions in which uses of this word differ most. Held-out uses of one sense: "
                f"{one_sense:.2f}; of two senses: {two_senses:.2f} (medians). Pale cells are "
                "cosines, which count all directions alike.</p>"
            )
            return
        text = f"<b>{one}, {other}: cosine {number:.2f}.</b>"
        (same, spread), (two, wide) = lab.background("network").spreads(layer, is_raw)
        if same == same:  # a small text has no pairs
            where = "bundled corpus" if lab.missing else "corpus"
            text += f" In the {where}: one word in two sentences {same:.2f} ± {spread:.2f}"
            text += f", two words {two:.2f} ± {wide:.2f}."
        if not is_raw:
            noise = lab.dropout_cosine(sentences[0], i, layer)
            text += f" The same sentence twice, with dropout: {noise:.2f}."
        self.text.value = f"<p>{text}</p>"

    def kept(self) -> str:
        """Both heat maps as tables."""
        return self.text.value + "".join(map(heat_table, self.views.values()))


class Nearest(Part):
    """The five nearest uses of the clicked word in the corpus."""

    def show(self, asked: Asked) -> None:
        """A list according to each network."""
        (words, place), lists = asked.use, ""
        for which in NETWORKS:
            lists += f"<div><h4>According to the {NAMES[which]}</h4><ol>"
            for use in asked.lab.nearest(words, place, asked.layer, which):
                shown = list(map(escape, use.tokens))
                shown[use.place] = f"<b>{shown[use.place]}</b>"
                sense = f"<i>{escape(use.sense)}</i>: " if use.sense else ""
                lists += f"<li>{sense}{' '.join(shown)} <small>({use.cosine:.2f})</small></li>"
            lists += "</ol></div>"
        self.text.value = (
            f"<p>The five uses of <b>{escape(words[place])}</b> (sentence {asked.sentence + 1}) in "
            "the corpus that are nearest. Click another token to ask about it.</p>"
            f"<div style='display:flex;flex-wrap:wrap;gap:0 2rem'>{lists}</div>"
        )


class SenseMap(Part):
    """All occurrences of the clicked word as points, and the typed ones among them."""

    kind = PointMap

    def show(self, asked: Asked) -> None:
        """A map of each network."""
        (words, place), right = asked.use, []
        about = asked.sentences, words[place], asked.layer, asked.number
        found = [asked.lab.map(*about, which) for which in self.views]  # then both change together
        for (which, view), one in zip(self.views.items(), found, strict=True):
            points, names, accuracy = one
            with view.hold_sync():
                view.selected = []
                view.points, (view.x_name, view.y_name) = points, names
                view.caption = f"{words[place]}, {NAMES[which]}, layer {asked.layer}"
            if accuracy is not None:
                right.append(f"{NAMES[which]} {accuracy:.0%}")
        name = (asked.lab.key(words[place]) or words[place]).replace("/", " or ")
        self.text.value = paragraph(
            f"Each point is a use of {name}; the large ones are yours. "
            + (f"Held-out uses on the side of their sense: {', '.join(right)}." if right else "")
        )

    def kept(self) -> str:
        """Both maps as pictures: every sense has a shape of its own."""
        text = self.text.value
        for view in self.views.values():
            axes = new_figure(6, 4).subplots()
            groups = sorted({p["group"] for p in view.points}, key=lambda g: (g == "yours", g))
            for group, mark in zip(groups, "os^D", strict=False):
                mark = "^" if group == "yours" else mark
                uses = [p for p in view.points if p["group"] == group]
                x, y = ([p[axis] for p in uses] for axis in "xy")
                axes.scatter(x, y, s=80 if group == "yours" else 16, marker=mark, label=group)
            axes.set(xlabel=view.x_name, ylabel=view.y_name)
            axes.set_title(view.caption, parse_math=False)
            axes.legend()
            text += png_html(to_png(axes.figure), f"{view.caption}: {', '.join(groups)}")
        return text


class Attention(Part):
    """Which token looks at which, in the sentence that was clicked last."""

    kind = AttentionView

    def __init__(self):
        super().__init__()
        heads = (ipw.HTML(f"<b>{NAMES[which]}</b>") for which in NETWORKS)
        columns = zip(heads, self.views.values(), strict=True)
        both = ipw.HBox(list(map(ipw.VBox, columns)), layout=WRAP)
        self.box, self.use = ipw.VBox([self.text, both]), None

    def show(self, asked: Asked) -> None:
        """A view of each network, of the token that was clicked; layer and head stay."""
        (words, place), layer = asked.use, max(0, asked.layer - 1)
        token = 1 + as_pieces(asked.lab.vocab, words)[1][place][0]  # behind <cls>
        before, self.use, told = self.use, (asked.lab, asked.use), []
        read = {which: asked.lab.read(which, words) for which in NETWORKS}
        high = max(found.attention.max().item() for found in read.values())
        for which, view in self.views.items():
            tokens, attention = read[which].tokens, read[which].attention
            kept = view.kept if before == self.use else token
            view.show(tokens, attention, kept)
            view.layer, view.high = layer, high  # one scale for both
            weights = attention[layer, :, token].mean(0)
            told.append(
                f"in the {NAMES[which]} at {tokens[weights.argmax()]} ({weights.max():.2f})"
            )
        self.text.value = paragraph(
            f"Attention says from which tokens a token takes over how much. {tokens[token]} looks "
            f"most, {', '.join(told)}; with equal weights each has {1 / len(tokens):.2f} "
            f"(layer {layer + 1}, mean of all heads)."
        )


class HiddenWord(Part):
    """What could stand in the place of the clicked word? One's own guess comes first."""

    def __init__(self):
        super().__init__()
        how = dict(continuous_update=False, placeholder="a word, then Enter")
        self.guess = ipw.Text("", description="Your guess", **how)
        self.answers, self.is_told = ipw.Button(description="Show the answers"), False
        self.answers.on_click(lambda _: self._show_answers())
        self.box = ipw.VBox([ipw.HBox([self.guess, self.answers], layout=WRAP), self.text])
        self.about: tuple[Lab, tuple[Words, int]] | None = None
        self.guess.observe(lambda _: self._tell(), names="value")

    def show(self, asked: Asked) -> None:
        """The sentence with `<mask>`; the guess stays while the word does."""
        if (asked.lab, asked.use) != self.about:
            self.is_told, self.about, self.guess.value = False, (asked.lab, asked.use), ""
        self._tell()

    def _show_answers(self) -> None:
        self.is_told = True
        self._tell()

    def _tell(self) -> None:
        hint = "Which word is hidden? Type a guess, then Enter; or let the answers be shown."
        if self.about:
            is_told = self.is_told or self.guess.value
            self.text.value = self.kept() if is_told else self._sentence() + paragraph(hint)

    def _sentence(self) -> str:
        words, place = self.about[1]
        shown = list(map(escape, words))
        shown[place] = "<b>&lt;mask&gt;</b>"
        return f"<p>{' '.join(shown)}</p>"

    def kept(self) -> str:
        """The sentence, and the likeliest words beside the controls, one's own marked."""
        (lab, use), typed = self.about, whole_characters(self.guess.value).strip()
        answer, caption = self._sentence(), "The likeliest words, each with its probability"
        try:
            found = lab.guesses(*use)
        except ValueError as error:  # for example, a network without such a head
            return answer + paragraph(str(error))
        for about, word in (("The hidden word", use[0][use[1]]), ("Your guess", typed)):
            own = " ".join(pieces := lab.vocab.tokenize(word)) or word
            p = found["network"][lab.vocab[own]].item() if own in lab.vocab else 0
            told = f"{p:.2%}" if p else "not in its vocabulary"
            if len(pieces) > 1 and not lab.vocab.unknown(pieces):
                told = f"{len(pieces)} pieces, and it guesses one"
            answer += paragraph(f"{about}, {own}, by the network: {told}.") if own else ""
        random = found.pop("untrained").max()
        columns = (
            [f"{'→ ' * (token == own)}{token} {p:.1%}" for token, p in likeliest(lab.vocab, of, 10)]
            for of in found.values()
        )
        answer += table(list(found), list(zip(*columns, strict=True)), caption)
        return answer + paragraph(
            f"The untrained network gives no word more than {random:.1%}. On held-out text the "
            "networks in the package are right as often as they say. In short sentences that "
            "somebody types, only the bundled network's are: see benchmarks/README.md."
        )


class Layers(Part):
    """How alike a word is to itself in other sentences, by layer; and the two chosen words."""

    def show(self, asked: Asked) -> None:
        """A curve, beside two words, the untrained network, and the reader's own pair."""
        lab, sentences, (i, j), *_ = asked
        series = lab.layers()
        layers = range(1 + lab.nets["network"].config.num_layers)
        own = {str(n): lab.similarity(sentences, n)[i, j].item() for n in layers}
        series["your pair, network"] = own
        png = curves(series, "layer", "mean cosine", "One word in two sentences, and two words")
        lines = []
        for which in NETWORKS:
            first, *_, last = series[f"one word, {which}"].values()
            lines.append(f"{NAMES[which]} {first:.2f} before any layer, {last:.2f} at the end")
        text = f"A word and itself in another sentence: {'; '.join(lines)}. Your pair, "
        first, *_, last = own.values()
        text += f"{sentences[0][i]} and {sentences[1][j]}: {first:.2f} and {last:.2f}. These are "
        text += "cosines: not the number of 'similar words' for uses of a word with two senses."
        self.text.value = png_html(png, text) + paragraph(text)


def heat_table(view: TokenHeatmap) -> str:
    """A heat map's numbers, shaded."""
    head = "".join(f"<th scope='col'>{escape(word)}</th>" for word in view.columns)
    cell = "<td style='background:rgba(0,107,164,{:.2f})'>{:.2f}</td>".format
    width, rows = max(view.high - view.low, 1e-9), ""
    for word, values in zip(view.rows, view.values, strict=True):
        cells = "".join(cell((value - view.low) / width / 2, value) for value in values)
        rows += f"<tr><th scope='row'>{escape(word)}</th>{cells}</tr>"
    head = f"<caption>{escape(view.caption)}</caption><thead><tr><td></td>{head}</tr></thead>"
    return f"<table>{head}<tbody>{rows}</tbody></table>"


PARTS = {  # the first is shown first; the second where a word is too rare for it
    "map of uses": SenseMap,
    "similar words": Similarity,
    "nearest uses in the corpus": Nearest,
    "attention": Attention,
    "hidden word": HiddenWord,
    "layers": Layers,
}
READ = "map of uses", "nearest uses in the corpus"  # in these all uses of the word are read
