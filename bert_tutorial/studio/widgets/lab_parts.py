"""The views below the sense meter, one at a time: each shows a lab's state in its own way."""

import html
from typing import Any

import ipywidgets as ipw

from ..lab.lab import NETWORKS
from ..lab.lab_senses import sense_map
from ..lab.lab_state import LabState, whole_characters
from . import lab_html
from .views import AttentionView, PointMap, TokenHeatmap

WRAP = ipw.Layout(flex_flow="row wrap", align_items="flex-start")


class Part:
    """One view. It computes nothing itself.

    Attributes:
        box: What is shown.
        sentence: Which sentence was clicked last: 0 or 1.
        has_raw: Whether the check box for raw cosines means something here.
    """

    has_raw = False

    def __init__(self):
        self.sentence = 0
        self.text = ipw.HTML()
        self.box: Any = self.text

    def show(
        self, state: LabState, picked: list[int], layer: int, number: int, is_raw: bool
    ) -> None:
        """Show a state. `picked` are the chosen words of both sentences."""
        self.text.value = self.as_html(state, picked, layer)

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """The same without anything that moves."""
        return ""


class Similarity(Part):
    """Cosines of all pairs of words; the untrained network beside, in the same colours."""

    has_raw = True

    def __init__(self):
        super().__init__()
        self.maps = {which: TokenHeatmap() for which in NETWORKS}
        self.box = ipw.VBox([self.text, ipw.HBox(list(self.maps.values()), layout=WRAP)])
        self.last: tuple | None = None
        self.about: tuple | None = None  # the words, and which of them are chosen
        self.maps["network"].observe(self._clicked, names="selected")

    def show(
        self, state: LabState, picked: list[int], layer: int, number: int, is_raw: bool
    ) -> None:
        """See `Part`."""
        self.last = None
        about = state.words, list(picked)
        found = {which: state.similarity(layer, is_raw, which) for which in NETWORKS}
        low = min(cosines.min().item() for cosines in found.values())
        high = max(cosines.max().item() for cosines in found.values())
        same = [
            [i, j]
            for i, word in enumerate(state.words[0])
            for j, other in enumerate(state.words[1])
            if word == other
        ]
        kind = "raw" if is_raw else "common direction out"
        for which, cosines in found.items():
            view = self.maps[which]
            with view.hold_sync():
                view.rows, view.columns = state.words
                view.low, view.high = low, high
                view.caption = f"{lab_html.name_of(which)}, layer {layer}, cosines, {kind}"
                view.marked, view.values = same, cosines.tolist()
                if about != self.about:  # otherwise the cell that was clicked stays chosen
                    view.selected = list(picked)
        self.last, self.about = (state, layer, is_raw), about
        self._tell(*self.maps["network"].selected)

    def _clicked(self, change: Any) -> None:
        if not self.last or len(change.new) != 2:
            return
        i, j = change.new
        if i < len(self.last[0].words[0]) and j < len(self.last[0].words[1]):
            self._tell(i, j)

    def _tell(self, i: int, j: int) -> None:
        state, layer, is_raw = self.last
        self.text.value = lab_html.pair_html(state, i, j, layer, is_raw)

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        return self.text.value


class Nearest(Part):
    """The five nearest uses of the clicked word in the corpus."""

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        place = picked[self.sentence]
        word = html.escape(state.words[self.sentence][place])
        about = f"<p>The five uses of <b>{word}</b> (sentence {self.sentence + 1}) in the corpus"
        lists = lab_html.uses_lists(state, self.sentence, place, layer)
        return f"{about} that are nearest. Click another token to ask about it.</p>{lists}"


class SenseMap(Part):
    """All occurrences of the clicked word as points, and the typed ones among them."""

    def __init__(self):
        super().__init__()
        self.maps = {which: PointMap() for which in NETWORKS}
        self.box = ipw.VBox([self.text, ipw.HBox(list(self.maps.values()), layout=WRAP)])

    def show(
        self, state: LabState, picked: list[int], layer: int, number: int, is_raw: bool
    ) -> None:
        """See `Part`."""
        word = state.words[self.sentence][picked[self.sentence]]
        right = []
        for which, view in self.maps.items():
            found = sense_map(state, word, layer, number, which)
            with view.hold_sync():
                view.selected = []
                view.points, (view.x_name, view.y_name) = found.points, found.names
                view.caption = f"{word}, {lab_html.name_of(which)}, layer {layer}"
            if found.accuracy is not None:
                right.append(f"{lab_html.name_of(which)} {found.accuracy:.0%}")
        self.text.value = lab_html.paragraph(
            f"Each point is a use of {found.word}; the large ones are yours. "
            + (f"Held-out uses on the right side: {', '.join(right)}." if right else "")
        )

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        pictures = [
            lab_html.map_picture(view.points, (view.x_name, view.y_name), view.caption)
            for view in self.maps.values()
        ]
        return self.text.value + "".join(pictures)


class Attention(Part):
    """Which token looks at which, in the sentence that was clicked last."""

    def __init__(self):
        super().__init__()
        self.views = {which: AttentionView() for which in NETWORKS}
        columns = [
            ipw.VBox([ipw.HTML(f"<b>{lab_html.name_of(which)}</b>"), view])
            for which, view in self.views.items()
        ]
        self.box = ipw.HBox(columns, layout=WRAP)

    def show(
        self, state: LabState, picked: list[int], layer: int, number: int, is_raw: bool
    ) -> None:
        """See `Part`."""
        for which, view in self.views.items():
            view.show(*state.attention(self.sentence, which))
            view.layer = max(0, layer - 1)

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        return lab_html.attention_pictures(state, self.sentence, layer)


class HiddenWord(Part):
    """What could stand in the place of the clicked word? One's own guess comes first."""

    def __init__(self):
        super().__init__()
        self.guess = ipw.Text(
            "", description="Your guess", continuous_update=False, placeholder="a word, then Enter"
        )
        self.box = ipw.VBox([self.guess, self.text])
        self.asked: tuple | None = None
        self.text.value = ""
        self.guess.observe(lambda _: self._tell(), names="value")

    def show(
        self, state: LabState, picked: list[int], layer: int, number: int, is_raw: bool
    ) -> None:
        """See `Part`."""
        asked = state, self.sentence, picked[self.sentence]
        if self.asked is None or asked[1:] != self.asked[1:] or state is not self.asked[0]:
            self.asked = asked
            self.guess.value = ""
        self._tell()

    def _tell(self) -> None:
        if self.asked is None:
            return
        state, sentence, place = self.asked
        words = [html.escape(word) for word in state.words[sentence]]
        words[place] = "<b>&lt;mask&gt;</b>"
        shown = f"<p>{' '.join(words)}</p>"
        own = whole_characters(self.guess.value).strip().lower()
        if own:
            try:
                table = lab_html.guesses_table(state.guesses(sentence, place), own)
                found = state.probability(sentence, place, own)
                said = "not in its vocabulary" if found is None else f"{found:.2%}"
                table = lab_html.paragraph(f"Your guess, {own}, by the network: {said}.") + table
            except ValueError as error:
                table = lab_html.paragraph(str(error))
            shown += table + lab_html.paragraph(
                "On held-out text the networks in the package are right as often as they say. On "
                "short sentences that somebody types they are not: see benchmarks/README.md."
            )
        self.text.value = shown

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        return self.text.value


class Layers(Part):
    """How alike a word is to itself in other sentences, by layer."""

    def as_html(self, state: LabState, picked: list[int], layer: int) -> str:
        """See `Part`."""
        return lab_html.layers_picture(state.lab)


PARTS = {
    "similar words": Similarity,
    "nearest uses in the corpus": Nearest,
    "map of uses": SenseMap,
    "attention": Attention,
    "hidden word": HiddenWord,
    "layers": Layers,
}
