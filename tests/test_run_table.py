"""The table of runs, without a browser: its traits, and what the browser sends."""

import re

import anywidget

from bert_tutorial.studio.widgets.run_table import RunTable

RUN = {"id": "a", "name": "heads 2", "cells": ["2"], "marked": [0], "state": "finished"}


def test_all_traits_reach_the_browser_and_a_text_stands_in_for_the_table():
    table = RunTable(columns=["heads"], rows=[RUN], ticked=["a"])
    own = set(table.trait_names()) - set(anywidget.AnyWidget().trait_names()) - {"_css", "_esm"}
    assert own == {"caption", "columns", "rows", "ticked", "event"} <= set(table.get_state())
    assert own <= set(re.findall(r'"([a-z_]+)"', table._esm))
    assert ".bert-view" in table._css and ".bert-runs" in table._css
    for key in (*RUN, "can_go_on", "colour", "dash"):  # the keys of a row
        assert re.search(rf"\b(run\.{key}|{{ {key} }})", table._esm), key
    assert repr(table) == table.fallback and len(table.fallback) <= 110  # or it would be cut


def test_what_the_browser_sends_is_heard():
    table, heard = RunTable(rows=[RUN]), []
    table.observe(lambda change: heard.append(change["new"]), names=["ticked", "event"])
    table.set_state({"ticked": ["a"]})
    events = [{"action": "go_on", "id": "a", "name": "heads 2", "count": n} for n in (1, 2)]
    for event in events:  # the same again is another event
        table.set_state({"event": event})
    assert heard == [["a"], *events]
