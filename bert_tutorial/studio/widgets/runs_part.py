"""The training panel's list of runs: a table, curves over one another, files of both."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from ..runs.queue import RunQueue
from ..runs.saved_runs import SavedRun
from ..runs.settings import NAMES, as_text
from .panel_views import ButtonRow, Picture
from .run_table import RunTable

TOLD = ("seconds", "step", "held-out loss", "words right")  # columns beside the settings


def loss_of(run: SavedRun) -> float | None:
    """The last held-out loss of a kept run."""
    held_out = run.story.get("held_out")
    return held_out[-1][1] if held_out else None


def told(run: SavedRun) -> list[str]:
    """The cells of TOLD."""
    held_out = run.story.get("held_out")
    loss, right = held_out[-1][1:3] if held_out else (None, None)
    return [
        f"{run.story.get('seconds', 0):.0f}",
        f"{run.story.get('step', 0)} of {run.story['num_steps']}",
        "" if loss is None else f"{loss:.3f}",
        "" if right is None else f"{right:.1%}",
    ]


class RunsPart:
    """All kept runs: a table, the curves of those that are ticked, and files of both.

    Args:
        folder: Where the files are written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.table, self.picture = RunTable(), Picture()
        self.buttons = ButtonRow(names=["Save CSV", "Save PNG"], label="Files of these runs")
        self.size = ipw.HTML()
        self.box = ipw.VBox([self.table, self.size, self.buttons, self.picture])
        self.drawn: tuple = ()
        self.smoothing = 0.9

    def show(self, bench: RunQueue) -> None:
        """Show the runs as they are on disk now."""
        runs = bench.runs()
        all_settings = [run.story["settings"] for run in runs]
        names = [n for n in NAMES if len({repr(s.get(n)) for s in all_settings}) > 1]
        usual = {n: most_frequent([s.get(n) for s in all_settings]) for n in names}
        ticked = [run.id for run in runs if run.id in self.table.ticked]
        with self.table.hold_sync():
            self.table.columns = [*(NAMES[n] for n in names), *TOLD]
            self.table.rows = [row_of(run, names, usual, bench, ticked) for run in reversed(runs)]
            self.table.ticked = ticked
        used, limit = bench.kept.size() / 1e6, bench.kept.limit / 1e6
        self.size.value = (
            f"<p>Runs of this text: {len(runs)}. All kept runs take {used:,.0f} of the "
            f"{limit:,.0f} MB that they may take. Stopped runs can go on.</p>"
        )
        self.buttons.active = [*(["Save CSV"] if runs else []), *(["Save PNG"] if ticked else [])]
        self.draw([run for run in runs if run.id in ticked])

    def draw(self, runs: list[SavedRun]) -> None:
        """Draw the curves of some runs over one another."""
        from ...pretraining.overlay import describe_overlay, overlay

        what = tuple((run.id, run.story["name"], run.story.get("step")) for run in runs)
        if (what, self.smoothing) != self.drawn:
            self.drawn = what, self.smoothing
            curves = dict(zip(labels(runs), (run.read()[:2] for run in runs), strict=True))
            known = next((run.baselines for run in runs if run.baselines), None)
            png = overlay(curves, known, self.smoothing) if curves else b""
            self.picture.show(png, describe_overlay(curves) if curves else "")

    def save_csv(self, bench: RunQueue) -> Path:
        """Write the settings and results of all runs, those of this text."""
        file = io.StringIO()
        rows = csv.writer(file)
        rows.writerow(["name", *NAMES, "step", "seconds", "held_out_mlm_loss", "mlm_accuracy"])
        for run in bench.runs():
            loss, right = run.story["held_out"][-1][1:3] if run.story.get("held_out") else ("", "")
            settings = [run.story["settings"].get(name) for name in NAMES]
            done = [run.story.get("step", 0), run.story.get("seconds", 0)]
            rows.writerow([run.story["name"], *settings, *done, loss, right])
        return self._write("runs.csv", file.getvalue().encode())

    def save_png(self) -> Path:
        """Write the picture."""
        return self._write("runs.png", self.picture.png)

    def _write(self, name: str, content: bytes) -> Path:
        path = (self.folder / name).resolve()
        path.write_bytes(content)
        return path


def labels(runs: list[SavedRun]) -> list[str]:
    """A name for each run; runs of one name are numbered."""
    names = [run.story["name"] for run in runs]
    twice, seen = Counter(names), Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(f"{name} ({seen[name]})" if twice[name] > 1 else name)
    return found


def most_frequent(values: list[Any]) -> Any:
    """The value that most have."""
    return max(values, key=values.count)


def row_of(
    run: SavedRun, names: list[str], usual: dict[str, Any], bench: RunQueue, ticked: list[str]
) -> dict[str, Any]:
    """A row of `RunTable`."""
    from ...pretraining.overlay import style_of

    settings, going = run.story["settings"], bench.is_going(run)
    colour, dash, _ = style_of(ticked.index(run.id)) if run.id in ticked else ("", "", "")
    state = "finished" if run.is_finished else "stopped"
    if run.story.get("error"):
        state = "failed"
    return {
        "id": run.id,
        "name": run.story["name"],
        "cells": [*(as_text(n, settings[n]) if n in settings else "" for n in names), *told(run)],
        "marked": [i for i, n in enumerate(names) if settings.get(n) != usual[n]],
        "state": bench.run.state if going else state,
        "can_go_on": not run.is_finished and not bench.is_busy,
        "colour": colour,
        "dash": dash,
    }
