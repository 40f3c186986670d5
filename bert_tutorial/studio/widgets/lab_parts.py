"""The views below the sense meter, one at a time. A new one is a class here, and a line in `PARTS`.

Each asks a `Lab`, and shows the network beside the untrained one.
"""

import html
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw

from ..lab.lab import NETWORKS, Lab, Words, same_words, whole_characters
from . import lab_html
from .views import AttentionView, PointMap, TokenHeatmap

WRAP = ipw.Layout(flex_flow="row wrap", align_items="flex-start")


@dataclass(frozen=True)
class Asked:
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
    """One view: a text, and under it something of a kind for each network."""

    has_raw = False  # whether the check box for raw cosines means something here

    def __init__(self, kind: type[ipw.DOMWidget] | None = None):
        self.text = ipw.HTML()
        self.views: dict[str, Any] = {which: kind() for which in NETWORKS} if kind else {}
        self.box = ipw.VBox([self.text, ipw.HBox(list(self.views.values()), layout=WRAP)])

    def show(self, asked: Asked) -> None:
        """Show an answer; a ValueError says why there is none."""
        raise NotImplementedError

    def kept(self) -> str:
        """What the kept file has of the answer that is shown."""
        return self.text.value


class Similarity(Part):
    """Cosines of all pairs of words; the untrained network beside, in the same colours."""

    has_raw = True

    def __init__(self):
        super().__init__(TokenHeatmap)
        self.asked: Asked | None = None  # what is shown
        self.views["network"].observe(lambda _: self._tell(), names="selected")

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        sentences, layer, is_raw = asked.sentences, asked.layer, asked.is_raw
        found = {w: asked.lab.similarity(sentences, layer, is_raw, w) for w in NETWORKS}
        before, self.asked = self.asked, None  # so that nothing is told of what is half shown
        is_same = before and (before.sentences, before.picked) == (sentences, asked.picked)
        kind = "raw" if is_raw else "common direction out"
        for which, view in self.views.items():
            with view.hold_sync():
                view.rows, view.columns = map(list, sentences)
                view.low = min(cosines.min().item() for cosines in found.values())
                view.high = max(cosines.max().item() for cosines in found.values())
                view.caption = f"{lab_html.name_of(which)}, layer {layer}, cosines, {kind}"
                view.marked = [list(pair) for pair in same_words(sentences)]
                view.values = found[which].tolist()
                if not is_same:  # otherwise the cell that was clicked stays chosen
                    view.selected = asked.picked
        self.asked = asked
        self._tell()

    def _tell(self) -> None:
        asked, places = self.asked, tuple(self.views["network"].selected)
        if not asked or len(places) != 2:
            return
        about = asked.sentences, places, asked.layer, asked.is_raw
        if all(place < len(words) for place, words in zip(places, asked.sentences, strict=True)):
            self.text.value = lab_html.pair_html(asked.lab, *about)

    def kept(self) -> str:
        """See `Part`."""
        return self.text.value + "".join(map(lab_html.heat_table, self.views.values()))


class Nearest(Part):
    """The five nearest uses of the clicked word in the corpus."""

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        words, place = asked.use
        lists = [lab_html.uses_list(asked.lab, *asked.use, asked.layer, w) for w in NETWORKS]
        self.text.value = (
            f"<p>The five uses of <b>{html.escape(words[place])}</b> (sentence "
            f"{asked.sentence + 1}) in the corpus that are nearest. Click another token to ask "
            f"about it.</p><div style='display:flex;flex-wrap:wrap;gap:0 2rem'>{''.join(lists)}"
            "</div>"
        )


class SenseMap(Part):
    """All occurrences of the clicked word as points, and the typed ones among them."""

    def __init__(self):
        super().__init__(PointMap)

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        (words, place), right = asked.use, []
        for which, view in self.views.items():
            about = words[place], asked.layer, asked.number
            points, names, accuracy = asked.lab.map(asked.sentences, *about, which)
            with view.hold_sync():
                view.selected = []
                view.points, (view.x_name, view.y_name) = points, names
                view.caption = f"{words[place]}, {lab_html.name_of(which)}, layer {asked.layer}"
            if accuracy is not None:
                right.append(f"{lab_html.name_of(which)} {accuracy:.0%}")
        name = (asked.lab.key(words[place]) or words[place]).replace("/", " or ")
        self.text.value = lab_html.paragraph(
            f"Each point is a use of {name}; the large ones are yours. "
            + (f"Held-out uses on the right side: {', '.join(right)}." if right else "")
        )

    def kept(self) -> str:
        """See `Part`."""
        return self.text.value + "".join(map(lab_html.map_picture, self.views.values()))


class Attention(Part):
    """Which token looks at which, in the sentence that was clicked last."""

    def __init__(self):
        super().__init__(AttentionView)
        heads = (ipw.HTML(f"<b>{lab_html.name_of(which)}</b>") for which in NETWORKS)
        columns = zip(heads, self.views.values(), strict=True)
        self.box = ipw.HBox(list(map(ipw.VBox, columns)), layout=WRAP)

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        for which, view in self.views.items():
            found = asked.lab.read(which, asked.use[0])
            view.show(found.tokens, found.attention)
            view.layer = max(0, asked.layer - 1)


class HiddenWord(Part):
    """What could stand in the place of the clicked word? One's own guess comes first."""

    def __init__(self):
        super().__init__()
        self.guess = ipw.Text(
            "", description="Your guess", continuous_update=False, placeholder="a word, then Enter"
        )
        self.box = ipw.VBox([self.guess, self.text])
        self.about: tuple[Lab, tuple[Words, int]] | None = None
        self.guess.observe(lambda _: self._tell(), names="value")

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        if (asked.lab, asked.use) != self.about:
            self.about, self.guess.value = (asked.lab, asked.use), ""
        self._tell()

    def _tell(self) -> None:
        if self.about:
            self.text.value = self._sentence() + (self._answer() if self.guess.value else "")

    def _sentence(self) -> str:
        words, place = self.about[1]
        shown = [html.escape(word) for word in words]
        shown[place] = "<b>&lt;mask&gt;</b>"
        return f"<p>{' '.join(shown)}</p>"

    def _answer(self) -> str:
        (lab, use), own = self.about, whole_characters(self.guess.value).strip().lower()
        try:
            found = lab.guesses(*use)
        except ValueError as error:
            return lab_html.paragraph(str(error))
        p = found["network"][lab.vocab[own]].item() if own in lab.vocab else 0
        said = f"Your guess, {own}, by the network: {f'{p:.2%}' if p else 'not in its vocabulary'}."
        answer = lab_html.paragraph(said) if own else ""
        return f"{answer}{lab_html.guesses_table(lab.vocab, found, own)}" + lab_html.paragraph(
            "On held-out text the networks in the package are right as often as they say. On short "
            "sentences that somebody types they are not: see benchmarks/README.md."
        )

    def kept(self) -> str:
        """See `Part`."""
        return self._sentence() + self._answer()


class Layers(Part):
    """How alike a word is to itself in other sentences, by layer."""

    def show(self, asked: Asked) -> None:
        """See `Part`."""
        self.text.value = lab_html.layers_picture(asked.lab)


PARTS = {
    "similar words": Similarity,
    "nearest uses in the corpus": Nearest,
    "map of uses": SenseMap,
    "attention": Attention,
    "hidden word": HiddenWord,
    "layers": Layers,
}
