"""Type two sentences and compare their tokens' vectors, layer by layer."""

import ipywidgets as ipw

from ..network.model import BERTModel
from ..plots import heatmap
from ..representation.encoding import compare_tokens
from ..text.vocabulary import Vocab
from .parts import WIDE, Panel, cut_note, say, shortened, slider_with_number

MAX_WORDS = 40  # of a sentence; more cells than that nobody can read


class SentenceLab(Panel):
    """Two text boxes, a layer slider, and a heatmap of cosines between both sentences' tokens.

    Args:
        net, vocab: A pretrained network and its vocabulary. The network is only read.
        sentence_a, sentence_b: What stands in the boxes at first.
    """

    fallback = "Sentence lab (open this notebook in JupyterLab to use it)"

    def __init__(
        self,
        net: BERTModel,
        vocab: Vocab,
        sentence_a: str = "a crane is flying",
        sentence_b: str = "a crane driver came",
    ):
        self.net, self.vocab = net, vocab
        self.text_a = ipw.Text(
            sentence_a, description="Sentence 1", continuous_update=False, layout=WIDE
        )
        self.text_b = ipw.Text(
            sentence_b, description="Sentence 2", continuous_update=False, layout=WIDE
        )
        layers = net.config.num_layers
        self.layer = ipw.IntSlider(
            layers, min=0, max=layers, description="Layer", continuous_update=False
        )
        self.picture = ipw.Image(
            format="png", layout=ipw.Layout(max_width="100%", align_self="flex-start")
        )
        self.status = ipw.HTML()
        super().__init__(
            [self.text_a, self.text_b, slider_with_number(self.layer), self.status, self.picture]
        )
        for control in (self.text_a, self.text_b, self.layer):
            control.observe(lambda _: self.redraw(), names="value")
        self.redraw()

    def redraw(self) -> None:
        """Compare the two sentences at the chosen layer; a wrong input leaves the picture."""
        layer = self.layer.value
        texts = self.text_a.value, self.text_b.value
        try:
            tokens_a, tokens_b, similarity = compare_tokens(
                self.net, self.vocab, *map(shortened, texts), layer
            )
            if max(len(tokens_a), len(tokens_b)) > MAX_WORDS:
                raise ValueError(
                    f"a sentence has {max(len(tokens_a), len(tokens_b))} tokens: at most "
                    f"{MAX_WORDS} fit the picture"
                )
        except ValueError as error:
            say(self.status, str(error), is_error=True)
            return
        name = (
            "embeddings, before any layer"
            if layer == 0
            else f"after layer {layer} of {self.net.config.num_layers}"
        )
        self.picture.value = heatmap(
            similarity, tokens_a, tokens_b, f"cosine similarity of tokens, {name}"
        )
        note, unknown = cut_note(*texts), self.vocab.unknown(tokens_a + tokens_b)
        if unknown:
            say(
                self.status, f"{note}Not in the vocabulary, so read as <unk>: {', '.join(unknown)}."
            )
        else:
            say(self.status, f"{note}All words are in the vocabulary.")
