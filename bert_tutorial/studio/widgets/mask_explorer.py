"""Type a sentence, move the mask rate, and see which tokens are hidden and how."""

import html

import ipywidgets as ipw
import torch

from ...text.masking import mask_tokens
from ...text.pairs import get_tokens_and_segments
from ...text.vocabulary import Vocab
from .parts import FIELD, LONGEST_TEXT, WRAP, Panel, cut_note
from .views import NumberSlider, StatusLine

EXAMPLE = "the crane spread its wings and the whole flock left the wet field"
STYLES = {
    "masked": "background:#006BA4;color:white",
    "random": "background:#FF800E;color:black",
    "kept": "border:2px solid #595959",
    "": "",
}


def masked_example(
    vocab: Vocab, sentence: str, mask_rate: float, seed: int
) -> list[tuple[str, str, str]]:
    """Mask one sentence as in pretraining; what is drawn follows from the seed.

    For each token, special ones included: what the network reads, what stood there ("typed → <unk>"
    for a word that has no entry), and its fate: "masked", "random", "kept", or "" for a token that
    is not to be predicted.
    """
    words = vocab.tokenize(sentence)
    if not words:
        raise ValueError("there is no word in this text: type one, such as: a crane is flying")
    cls, sep, mask = vocab.to_tokens([vocab.cls_id, vocab.sep_id, vocab.mask_id])
    typed, _ = get_tokens_and_segments(words, cls=cls, sep=sep)
    ids = torch.tensor([vocab[typed]])
    masked = mask_tokens(vocab, ids, torch.Generator().manual_seed(seed), mask_rate)
    chosen = set(masked.pred_positions[masked.mlm_weights.bool()].tolist())
    found, tokens = [], (typed, *map(vocab.to_tokens, (ids[0], masked.token_ids[0])))
    for place, (word, before, now) in enumerate(zip(*tokens, strict=True)):
        fate = "masked" if now == mask else "kept" if now == before else "random"
        original = before if word in vocab else f"{word} → {before}"
        shown = original if now == before else now
        found.append((shown, original, fate if place in chosen else ""))
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
        self.text = ipw.Text(sentence, description="Sentence", **FIELD)
        self.rate = NumberSlider(value=15, min=1, max=95, description="Mask rate, %")
        self.again = ipw.Button(description="Draw again")
        self.picture, self.status = ipw.HTML(), StatusLine()
        choices = ipw.HBox([self.rate, self.again], layout=WRAP)
        super().__init__([self.text, choices, self.picture, self.status])
        for control in (self.text, self.rate):
            control.observe(lambda _: self.redraw(), names="value")
        self.again.on_click(lambda _: self.redraw(again=True))
        self.redraw()

    def redraw(self, again: bool = False) -> None:
        """Show the masks for the present text and rate, as drawn before or drawn again."""
        self.seed += again
        try:
            text, rate = self.text.value[:LONGEST_TEXT], self.rate.value / 100
            tokens = masked_example(self.vocab, text, rate, self.seed)
        except ValueError as error:
            self.status.say(str(error), is_error=True)
            return
        spans = []
        for token, original, fate in tokens:
            note = f" <small>({fate}: {html.escape(original)})</small>" if fate else ""
            style = f"padding:2px 4px;{STYLES[fate]}"
            spans.append(f"<span style='{style}'>{html.escape(token)}{note}</span>")
        self.picture.value = f"<div style='line-height:2.2'>{' '.join(spans)}</div>"
        fates = [fate for _, _, fate in tokens]
        masked, random, kept = map(fates.count, ("masked", "random", "kept"))
        found = f"{len(tokens)} tokens, {masked + random + kept} to be predicted"
        each = f"{masked} masked, {random} replaced by a random word, {kept} kept as they are."
        self.status.say(f"{cut_note(self.text.value)}{found}: {each}")
        self.keep_static(f"{self.picture.value}<p>{html.escape(self.status.text)}</p>")
