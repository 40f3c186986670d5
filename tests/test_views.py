"""The views, without a browser: their traits, what they say to wrong input, and their files."""

import re

import numpy as np
import pytest
import torch

from bert_tutorial.studio.widgets import views
from bert_tutorial.studio.widgets.views import (
    AttentionView,
    Meter,
    PointMap,
    TokenChips,
    TokenHeatmap,
    attention_view,
)

VIEWS = [TokenChips, TokenHeatmap, AttentionView, PointMap, Meter]
FILES = sorted(views.STATIC.iterdir())
NAMESPACE = '"http://www.w3.org/2000/svg"'  # which names SVG elements; nothing is fetched

each_view = pytest.mark.parametrize("view", VIEWS)
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def uniform(*shape):
    return np.full(shape, 1 / shape[-1])


@each_view
def test_a_view_has_a_text_to_stand_in_for_it(view):
    made = view()
    bundle = made._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert repr(made) == bundle["text/plain"] == view.fallback
    assert len(view.fallback) <= 110  # a longer one would be cut
    assert len({view.fallback for view in VIEWS}) == len(VIEWS)


@each_view
def test_all_traits_reach_the_browser(view):
    made = view()
    own = set(made.trait_names()) - set(views.anywidget.AnyWidget().trait_names())
    assert own and own <= set(made.get_state())
    assert "bert-view" in made._css and "export default { render }" in made._esm
    named = set(re.findall(r'"([a-z_]+)"', made._esm))
    assert own - {"_css", "_esm"} <= named  # each is read or set by name


def test_clicks_of_the_browser_are_heard():
    chips, heard = TokenChips(tokens=[{"text": "a", "note": "", "is_unknown": False}]), []
    chips.observe(lambda change: heard.append(change["new"]), names="clicked")
    for count in (1, 2):
        chips.set_state({"clicked": {"index": 0, "count": count}})
    assert heard == [{"index": 0, "count": 1}, {"index": 0, "count": 2}]


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.bfloat16])
def test_attention_arrives_as_float32_in_c_order(kind):
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 4, 3))
    is_tensor = isinstance(kind, torch.dtype)
    given = torch.tensor(weights, requires_grad=True).to(kind) if is_tensor else weights
    given = given if is_tensor else given.astype(kind)
    view = attention_view(["a", "crane", "flies"], given)
    found = np.frombuffer(view.attention, np.float32).reshape(view.shape)
    assert view.shape == [2, 4, 3, 3] and (view.layer, view.head, view.kept) == (0, -1, -1)
    np.testing.assert_allclose(found, weights, atol=0.01 if kind is torch.bfloat16 else 1e-6)


def test_attention_of_a_transposed_array_is_not_mixed_up():
    weights = np.random.default_rng(0).dirichlet(np.ones(2), size=(2, 4, 2))
    view = attention_view(["a", "b"], weights.transpose(1, 0, 2, 3))
    found = np.frombuffer(view.attention, np.float32).reshape(view.shape)
    np.testing.assert_allclose(found[3, 1], weights[1, 3], rtol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "weights", "why"),
    [
        (["a", "b"], uniform(2, 2), r"shape \(2, 2\), but 2 tokens need \(layers, heads, 2, 2\)"),
        (["a", "b"], uniform(1, 1, 3, 3), "but 2 tokens need"),
        (["a", "b"], uniform(0, 1, 2, 2), "but 2 tokens need"),
        ([], uniform(1, 1, 1, 1), "0 tokens cannot be shown: 1 to 64 can"),
        (["a"] * 65, uniform(1, 1, 65, 65), "65 tokens cannot be shown"),
        (["a", "b"], 2 * uniform(1, 1, 2, 2), "sum to 1; here the sums run from 2 to 2"),
        (["a", "b"], uniform(1, 1, 2, 2) * np.nan, "sum to 1"),
        (["a", "b"], np.array([[[[2.0, -1.0], [0.5, 0.5]]]]), "not negative"),
    ],
)
def test_wrong_attention_is_told_and_changes_nothing(tokens, weights, why):
    view = attention_view(["a", "crane"], uniform(1, 2, 2, 2))
    before = view.get_state()
    with pytest.raises(ValueError, match=why):
        view.show(tokens, weights)
    assert view.get_state() == before


def test_another_sentence_keeps_layer_and_head_where_they_exist():
    view = attention_view(["a", "crane"], uniform(4, 8, 2, 2))
    view.layer, view.head, view.kept = 3, 5, 1
    view.show(["a", "b", "c"], uniform(4, 8, 3, 3))
    assert (view.layer, view.head, view.kept) == (3, 5, -1)
    view.show(["a"], uniform(2, 4, 1, 1))
    assert (view.layer, view.head, view.kept) == (1, 3, -1)


@each_file
def test_files_need_nothing_from_elsewhere_and_insert_text_as_text(path):
    text = path.read_text("utf-8").replace(NAMESPACE, "")
    forbidden = r"http|//[a-z]|\bimport\b|@import|url\(|innerHTML|outerHTML|insertAdjacentHTML"
    forbidden += r"|\beval\(|document\.write|\bfetch\("
    assert re.findall(forbidden, text) == []


@each_file
def test_files_are_short(path):
    lines = path.read_text("utf-8").splitlines()
    assert max(map(len, lines)) <= 100
    assert path.suffix == ".css" or (path.suffix == ".js" and len(lines) < 250)


def test_there_is_a_file_for_each_view():
    names = {path.name for path in FILES}
    views_of = {"chips.js", "heatmap.js", "attention.js", "points.js", "meter.js"}
    assert names >= views_of | {"parts.js", "views.css"}
