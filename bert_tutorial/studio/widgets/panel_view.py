"""How the training panel shows a run that goes on; `pretraining/live.watch` is the loop."""

import base64
import html
from typing import TYPE_CHECKING

from ...pretraining.live import PlotView, progress
from ..runs.run import TrainingRun

if TYPE_CHECKING:
    from .training_panel import TrainingPanel

BEAT_EVERY = 20  # looks at the run: the page is told that the kernel is alive


def counted(number: int, what: str) -> str:
    """A number of something.

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


class Replaced(Exception):
    """Another panel shows the run now."""


class PanelView:
    """Shows one run in a panel."""

    def __init__(self, panel: "TrainingPanel", run: TrainingRun):
        self.panel, self.run, self.looks = panel, run, 0
        self.plot = PlotView(run, self._draw)
        self.smooth(panel.smoothing.value / 100)

    @property
    def name(self) -> str:
        """Of the run; an experiment may have begun the next one already."""
        return self.run.kept.story["name"]

    def smooth(self, smoothing: float) -> None:
        """Draw the next picture so."""
        self.plot.smoothing, self.plot.next_drawing = smoothing, 0.0

    def update(self) -> None:
        """Show where the run stands.

        Raises:
            Replaced: Another panel does from now on.
        """
        panel, run = self.panel, self.run
        if panel.bench.viewer is not panel:
            raise Replaced
        self._bar(progress(run))
        name, done = self.name, len(run.history)
        if run.is_still:
            panel.say(f"{name} is paused after step {done} of {run.recipe.num_steps}.")
        elif run.state == "running":
            heads = counted(run.net.config.num_heads, "head")
            panel.say(f"{name} trains: {counted(run.recipe.num_steps, 'step')}, {heads}.")
        panel.mark()
        self.plot.update()  # takes longest
        self.looks += 1
        if self.looks % BEAT_EVERY == 0:
            panel.status.beat += 1
        if self.looks % 5 == 0:
            panel.show_part()

    def close(self) -> None:
        """Show how the run ended.

        Raises:
            Exception: What ended it, if it failed.
        """
        panel, run = self.panel, self.run
        self.plot.close()
        done, heads = len(run.history), run.net.config.num_heads
        self._bar(f"step {done} of {run.recipe.num_steps}: {run.state}")
        if run.error is not None:
            raise run.error
        said = f"{self.name}: {run.state} after {counted(done, 'step')} "
        said += f"with {counted(heads, 'head')}"
        if run.held_out:
            step, found = run.held_out[-1]
            told = found if self.panel.bench.settings.next_sentence else found.masked_words
            said += f"; held-out text{'' if step == done else f' after step {step}'}: {told}"
        panel.say(said)
        alt, png = html.escape(panel.picture.alt), base64.b64encode(panel.picture.png).decode()
        picture = f'<img alt="{alt}" src="data:image/png;base64,{png}">'
        panel.keep_static(f"{picture}<p>{html.escape(said)}</p>")

    def _bar(self, text: str) -> None:
        done, total = len(self.run.history), self.run.recipe.num_steps
        bar = f"<progress aria-label='Steps done' value='{done}' max='{total}'></progress>"
        self.panel.bar.value = f"{bar} {html.escape(text)}"

    def _draw(self, png: bytes, title: str, alt: str) -> None:
        self.panel.picture.show(png, alt)
