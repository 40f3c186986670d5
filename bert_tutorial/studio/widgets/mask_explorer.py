"""Type a sentence, move the mask rate, and see which tokens are hidden and how."""

import html
from typing import NamedTuple

import ipywidgets as ipw
import torch

from ...text.masking import mask_tokens
from ...text.pairs import get_tokens_and_segments
from ...text.vocabulary import Vocab
from .parts import NAME, WIDE, Panel, cut_note, shortened
from .status import StatusLine
from .views import NumberSlider

EXAMPLE = "the crane spread its wings and the whole flock left the wet field"
STYLES = {
    "masked": "background:#006BA4;color:white",
    "random": "background:#FF800E;color:black",
    "kept": "border:2px solid #595959",
    "": "",
}


class MaskedToken(NamedTuple):
    """One token of a masked sentence."""

    token: str  # what the network reads; "typed → <unk>" for a word that has no entry
    original: str  # what stood there, the same way
    fate: str  # "masked", "random", "kept", or "" for a token that is not to be predicted


def masked_example(vocab: Vocab, sentence: str, mask_rate: float, seed: int) -> list[MaskedToken]:
    """Mask one sentence as in pretraining.

    Args:
        vocab: The vocabulary that the sentence is read with.
        sentence: What somebody typed.
        mask_rate: As in `mask_tokens`.
        seed: What the draw follows from.

    Returns:
        All tokens, special ones included.

    Raises:
        ValueError: There is no word in the sentence.
    """
    words = vocab.tokenize(sentence)
    if not words:
        raise ValueError(
            "there is no word in this text: type a sentence, for example: a crane is flying"
        )
    cls, sep = vocab.to_tokens([vocab.cls_id, vocab.sep_id])
    tokens, _ = get_tokens_and_segments(words, cls=cls, sep=sep)
    token_ids = torch.tensor([vocab[tokens]])
    masked = mask_tokens(vocab, token_ids, torch.Generator().manual_seed(seed), mask_rate)
    chosen = set(masked.pred_positions[masked.mlm_weights.bool()].tolist())
    found = []
    ids = zip(tokens, masked.token_ids[0].tolist(), token_ids[0].tolist(), strict=True)
    for place, (typed, now, before) in enumerate(ids):
        fate = "masked" if now == vocab.mask_id else "kept" if now == before else "random"
        fate = fate if place in chosen else ""
        original = vocab.to_tokens(before)
        original = original if typed in vocab else f"{typed} → {original}"
        shown = original if now == before else vocab.to_tokens(now)
        found.append(MaskedToken(shown, original, fate))
    return found


class MaskExplorer(Panel):
    """A text box, a mask-rate slider and a button that draws again.

    Args:
        vocab: The vocabulary that the text is read with.
        sentence: What stands in the box at first.
    """

    fallback = "Mask explorer (open this notebook in JupyterLab to use it)"

    def __init__(self, vocab: Vocab, sentence: str = EXAMPLE):
        self.vocab, self.seed = vocab, 0
        how = dict(continuous_update=False, layout=WIDE, style=NAME)
        self.text = ipw.Text(sentence, description="Sentence", **how)
        self.rate = NumberSlider(value=15, min=1, max=95, description="Mask rate, %")
        self.again = ipw.Button(description="Draw again")
        self.picture, self.status = ipw.HTML(), StatusLine()
        choices = ipw.HBox([self.rate, self.again], layout=ipw.Layout(flex_flow="row wrap"))
        super().__init__([self.text, choices, self.picture, self.status])
        self.text.observe(lambda _: self.redraw(), names="value")
        self.rate.observe(lambda _: self.redraw(), names="value")
        self.again.on_click(self._draw_again)
        self.redraw()

    def _draw_again(self, _: ipw.Button) -> None:
        self.seed += 1
        self.redraw()

    def redraw(self) -> None:
        """Show the masks for the present text, rate and draw."""
        try:
            text = shortened(self.text.value)
            tokens = masked_example(self.vocab, text, self.rate.value / 100, self.seed)
        except ValueError as error:
            self.status.say(str(error), is_error=True)
            return
        spans = []
        for token, original, fate in tokens:
            note = f" <small>({html.escape(fate)}: {html.escape(original)})</small>" if fate else ""
            style = f"padding:2px 4px;{STYLES[fate]}"
            spans.append(f"<span style='{style}'>{html.escape(token)}{note}</span>")
        self.picture.value = f"<div style='line-height:2.2'>{' '.join(spans)}</div>"
        fates = [fate for _, _, fate in tokens]
        self.status.say(
            f"{cut_note(self.text.value)}{len(fates)} tokens, "
            f"{sum(map(bool, fates))} to be predicted: "
            f"{fates.count('masked')} masked, {fates.count('random')} replaced by a random word, "
            f"{fates.count('kept')} kept as they are."
        )
        self.keep_static(f"{self.picture.value}<p>{html.escape(self.status.text)}</p>")
