"""A table of training runs: which curves to show, and what to do with each run."""

import traitlets as t

from .views import STATIC, View, module_of


class RunTable(View):
    """Training runs, one a row. What a user does arrives in `ticked` and `event`.

    Attributes:
        caption: The table's name, one line above it.
        columns: C headings of the cells; "Show" and "Run" stand before them.
        rows: Dictionaries with the keys `id` (no two alike), `name`, `cells` (C texts), `marked`
            (indices of cells in which this run differs from the others), `state` (such as
            "running"), `can_go_on` (whether it has the button "Go on"), `colour` and `dash` (a CSS
            colour and an SVG dash pattern, as of the run's curve; empty where it has none).
        ticked: The `id` of each run whose box "Show" is ticked.
        event: `{"action": ..., "id": ..., "name": ..., "count": ...}` of what was asked for last,
            or empty. The action is "rename" (`name` is the new name), "delete" (the user has been
            asked whether to) or "go_on". The count rises each time, so that asking for the same
            thing twice is noticed. The table itself changes only when `rows` does.
    """

    _esm = module_of("runs.js")
    _css = "".join((STATIC / name).read_text("utf-8") for name in ("views.css", "runs.css"))
    fallback = "Table of training runs (open this notebook in JupyterLab to see it)"
    caption = t.Unicode("Training runs").tag(sync=True)
    columns = t.List(t.Unicode()).tag(sync=True)
    rows = t.List(t.Dict()).tag(sync=True)
    ticked = t.List(t.Unicode()).tag(sync=True)
    event = t.Dict().tag(sync=True)
