"""The masked-word game, played by the reader: which words stood where the network is asked?"""

import html
from typing import NamedTuple

import ipywidgets as ipw
import torch

from ...plots import shorten
from ...text.masking import mask_tokens
from ...text.pairs import get_tokens_and_segments
from ...text.vocabulary import Vocab
from .parts import LONGEST_TEXT, WRAP, Panel, cut_note
from .views import NumberSlider, StatusLine, TokenChips

EXAMPLES = (
    "he put the key in the lock and turned it twice",
    "the crane spread its wings and the whole flock left the wet field",
    "the bank lends money to people who want to buy a house",
    "in winter the lake freezes and the children skate on the ice",
)
ANSWERS = {
    "masked": "<code>{read}</code> hides <i>{typed}</i>.",
    "random": "<code>{read}</code> stands here at random, in place of <i>{typed}</i>.",
    "kept": "<i>{typed}</i> was left as it is. The network does not know that.",
}
UNKNOWN = " <i>{typed}</i> is not in the vocabulary: the network reads &lt;unk&gt; for it."


class Masked(NamedTuple):
    """A token of a masked row."""

    read: str  # what the network reads
    typed: str  # what stood there
    fate: str  # "masked", "random", "kept", or "" where nothing is asked
    is_unknown: bool  # whether what stood there is not in the vocabulary

    def answer(self) -> str:
        """What stood there and what became of it, as escaped HTML."""
        text = ANSWERS[self.fate] + UNKNOWN * self.is_unknown
        return text.format(read=html.escape(self.read), typed=html.escape(self.typed))


def masked_example(vocab: Vocab, sentence: str, mask_rate: float, seed: int) -> list[Masked]:
    """Mask one sentence as in pretraining, special tokens included; the seed says what is drawn."""
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
        found.append(Masked(now, word, fate if place in chosen else "", word not in vocab))
    return found


class MaskExplorer(Panel):
    """A row as the network reads it; what stood where it is asked has to be guessed.

    Args:
        vocab: The vocabulary that the text is read with.
        sentence: What is asked at first. It does not stand in the box, where one could read it.
    """

    fallback = "Mask explorer (run this cell to use it)"

    def __init__(self, vocab: Vocab, sentence: str = EXAMPLES[0]):
        self.vocab, self.prepared, self.seed = vocab, list(dict.fromkeys([sentence, *EXAMPLES])), 0
        field = dict(continuous_update=False, style={"description_width": "7rem"})
        wide, hint = ipw.Layout(width="auto", max_width="60rem"), "type your own, then press Enter"
        self.text = ipw.Text(description="Sentence", placeholder=hint, layout=wide, **field)
        self.rate = NumberSlider(value=15, min=1, max=95, description="Mask rate, %")
        self.guess = ipw.Text(description="Your guess", placeholder="a word, then Enter", **field)
        self.again = ipw.Button(description="Draw again")
        self.reveal = ipw.Button(description="Show answer")
        self.chips = TokenChips(label="What the network reads")
        self.answers, self.status = ipw.HTML(), StatusLine()
        choices = ipw.HBox([self.rate, self.again], layout=WRAP)
        guess = ipw.HBox([self.guess, self.reveal], layout=WRAP)
        game = [self.chips, guess, self.status, self.answers]
        super().__init__([self.text, choices, *game])
        for control in (self.text, self.rate):
            control.observe(lambda _: self.redraw(), names="value")
        self.again.on_click(lambda _: self.redraw(again=True))
        self.reveal.on_click(lambda _: self._answer())
        self.chips.observe(lambda change: self._choose(change["new"]["index"]), names="clicked")
        self.guess.observe(lambda change: self._check(change["new"]), names="value")
        self.redraw()

    def redraw(self, again: bool = False) -> None:
        """Ask of the present text and rate, as drawn before or again.

        If there is no text, a prepared one is asked, and again the next one.
        """
        self.seed += again
        text = self.text.value or self.prepared[self.seed % len(self.prepared)]
        try:
            text, rate = text[:LONGEST_TEXT], self.rate.value / 100
            self.tokens = masked_example(self.vocab, text, rate, self.seed)
        except ValueError as error:
            self.status.say(str(error), is_error=True)
            return
        asked = [place for place, token in enumerate(self.tokens) if token.fate]
        self.questions = {place: number for number, place in enumerate(asked, 1)}
        self.known, self.guessed, self.guess.value, self.question = set(), 0, "", None
        self._tell()

    def _choose(self, place: int) -> None:
        """Let the next guess belong to the question that was clicked, if it is open."""
        if place in self.questions and place not in self.known:
            self.question, self.guess.value = place, ""
            self._tell()

    def _check(self, guess: str) -> None:
        """Compare a guess with what stood at the question; a wrong one stays in its box."""
        place = self.question
        if not guess.strip() or place is None:
            return
        typed = self.tokens[place].typed
        if self.vocab.tokenize(guess) != self.vocab.tokenize(typed):
            self._tell(f"It was not {shorten(guess)}. ")
            return
        self.guessed += 1
        self._answer(f"Right, {typed}. ")

    def _answer(self, said: str = "") -> None:
        """Show what stood at the question, and go on to the next one that is open."""
        if self.question is not None:
            self.known.add(self.question)
            self.guess.value = ""
            self._tell(said)

    def _tell(self, said: str = "") -> None:
        """Show the row, the answers that are known, and what is asked next."""
        chips, answers, row = [], {}, ""
        left = [place for place in self.questions if place not in self.known]
        now, *_ = [place for place in left if place >= (self.question or 0)] or left or [None]
        for place, token in enumerate(self.tokens):
            text, note, is_unknown = token.typed, "", token.is_unknown
            if number := self.questions.get(place):
                stood = f": {token.typed}" if place in self.known else ""
                text, note, is_unknown = token.read, f"question {number}{stood}", False
                answers[place] = f"<div>Question {number}: {token.answer()}</div>"
            chips.append(dict(text=text, note=note, is_unknown=is_unknown))
            row += f"{html.escape(text)} <small>{html.escape(note)}</small> "
        with self.chips.hold_sync():
            self.chips.tokens, self.chips.chosen = chips, [] if now is None else [now]
        self.question, self.reveal.disabled = now, now is None
        self.answers.value = "".join(answers[place] for place in answers if place in self.known)
        if now is None:
            said += f"You guessed {self.guessed} of {len(answers)}. Type a sentence, or draw again."
        else:
            seen = "" if self.tokens[now].fate == "masked" else "Perhaps the one that you see. "
            said += f"Question {self.questions[now]}: which word stood there? {seen}"
            said += f"Type a guess{', or click another question' * (len(left) > 1)}."
        said = f"{len(chips)} tokens, {len(answers)} to be predicted. {said}"
        self.status.say(f"{cut_note(self.text.value)}{said}")
        hidden = f"<details><summary>Answers</summary>{''.join(answers.values())}</details>"
        self.keep_static(f"<p>{row}</p>{hidden}")
