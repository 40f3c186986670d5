"""Type a sentence, move the mask rate, and see which tokens are hidden and how."""

import html

import ipywidgets as ipw
import torch

from ..examples import MASK_ID, get_tokens_and_segments, mask_tokens
from ..vocabulary import Vocab, tokenize
from .parts import WIDE, Panel, say, slider_with_number

STYLES = {
    "masked": "background:#006BA4;color:white",
    "random": "background:#FF800E;color:black",
    "kept": "border:2px solid #595959",
    "": "",
}


def masked_example(vocab: Vocab, text: str, mask_rate: float, seed: int) -> list[tuple[str, str, str]]:
    """Mask one sentence as in pretraining.

    Returns:
        For each token: what the network reads, what stood there, and its fate: "masked", "random", "kept", or "" for a token
        that is not to be predicted.

    Raises:
        ValueError: There is no word in the text.
    """
    words = tokenize(text)
    if not words:
        raise ValueError("there is no word in this text: type a sentence, for example: a crane is flying")
    tokens, _ = get_tokens_and_segments(words)
    token_ids = torch.tensor([vocab[tokens]])
    generator = torch.Generator().manual_seed(seed)
    masked, positions, weights, _ = mask_tokens(token_ids, len(vocab), generator, mask_rate)
    chosen = set(positions[weights.bool()].tolist())
    result = []
    for place, (number, before) in enumerate(zip(masked[0].tolist(), token_ids[0].tolist(), strict=True)):
        fate = (
            "" if place not in chosen else "masked" if number == MASK_ID else "kept" if number == before else "random"
        )
        result.append((vocab.to_tokens(number), vocab.to_tokens(before), fate))
    return result


class MaskExplorer(Panel):
    """A text box, a mask-rate slider and a button that draws again.

    Args:
        vocab: The vocabulary that the text is read with.
        text: What stands in the box at first.
    """

    fallback = "Mask explorer (open this notebook in JupyterLab to use it)"

    def __init__(self, vocab: Vocab, text: str = "the crane spread its wings and the whole flock left the wet field"):
        self.vocab, self.seed = vocab, 0
        self.text = ipw.Text(text, description="Sentence", continuous_update=False, layout=WIDE)
        self.rate = ipw.IntSlider(15, min=5, max=95, step=5, description="Mask rate, %", continuous_update=False)
        self.again = ipw.Button(description="Draw again")
        self.picture, self.status = ipw.HTML(), ipw.HTML()
        super().__init__([self.text, ipw.HBox([slider_with_number(self.rate), self.again]), self.picture, self.status])
        self.text.observe(lambda _: self.redraw(), names="value")
        self.rate.observe(lambda _: self.redraw(), names="value")
        self.again.on_click(self._draw_again)
        self.redraw()

    def _draw_again(self, _) -> None:
        self.seed += 1
        self.redraw()

    def redraw(self) -> None:
        """Show the masks for the present text, rate and draw."""
        try:
            tokens = masked_example(self.vocab, self.text.value, self.rate.value / 100, self.seed)
        except ValueError as error:
            say(self.status, str(error), is_error=True)
            return
        spans = []
        for token, before, fate in tokens:
            note = f" <small>({html.escape(fate)}: {html.escape(before)})</small>" if fate else ""
            spans.append(f"<span style='padding:2px 4px;{STYLES[fate]}'>{html.escape(token)}{note}</span>")
        self.picture.value = f"<div style='line-height:2.2'>{' '.join(spans)}</div>"
        fates = [fate for _, _, fate in tokens]
        say(
            self.status,
            f"{len(fates)} tokens, {sum(map(bool, fates))} to be predicted: {fates.count('masked')} masked, "
            f"{fates.count('random')} replaced by a random word, {fates.count('kept')} kept as they are.",
        )
