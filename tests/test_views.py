"""The views, sliders and status line, without a browser: traits, values, and their files."""

import re

import numpy as np
import pytest
import torch

from bert_tutorial.studio.widgets import views
from bert_tutorial.studio.widgets.views import AttentionView, ChoiceSlider, NumberSlider, RateSlider

VIEWS = [views.TokenChips, views.TokenHeatmap, AttentionView, views.PointMap, views.Meter,
         views.RunTable, views.ButtonRow, views.Picture, views.StatusLine,
         NumberSlider, ChoiceSlider, RateSlider]  # fmt: skip
FILES = sorted(views.STATIC.iterdir())
NAMESPACE = '"http://www.w3.org/2000/svg"'  # which names SVG elements; nothing is fetched


@pytest.mark.parametrize("view", VIEWS)
def test_all_traits_reach_the_browser_and_a_text_stands_in_where_there_is_none(view):
    made = view()
    own = set(made.trait_names()) - set(views.anywidget.AnyWidget().trait_names())
    own -= {"_css", "_esm"}
    assert own and own <= set(made.get_state())
    assert "bert-view" in str(made._css) and "export default { render }" in str(made._esm)
    assert own <= set(re.findall(r'"([a-z_]+)"', str(made._esm)))  # each is read or set by name
    bundle = made._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["text/plain"] == f"{view.__name__} (run this cell to see it)"


@pytest.mark.parametrize("kind", [np.float64, torch.bfloat16])
def test_attention_arrives_as_float32_in_c_order_and_what_was_chosen_stays(kind):
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(8, 4, 3)).transpose(1, 0, 2, 3)
    is_tensor = isinstance(kind, torch.dtype)
    given = torch.tensor(weights, requires_grad=True).to(kind) if is_tensor else weights
    view = AttentionView(layer=3, head=5, kept=1)
    view.show([*"abc"], given)
    found = np.frombuffer(view.attention, np.float32).reshape(view.shape)
    assert view.shape == [4, 8, 3, 3] and (view.layer, view.head, view.kept) == (3, 5, -1)
    np.testing.assert_allclose(found, weights, atol=0.01 if is_tensor else 1e-6)
    view.show(["a"], np.ones((2, 4, 1, 1)))  # from a network with less of both
    assert (view.layer, view.head, view.kept) == (1, 3, -1)
    with pytest.raises(ValueError, match="65 tokens cannot be shown: 1 to 64 can"):
        view.show(["a"] * 65, np.full((1, 1, 65, 65), 1 / 65))
    assert view.tokens == ["a"]


def test_the_nearest_choice_is_taken_also_when_the_choices_change():
    for typed, value in ((70, 64), (96, 64), (97, 128), (-5, 32), (999, 128)):
        slider = ChoiceSlider(choices=[32, 64, 128], value=64)
        slider.value = typed
        assert slider.value == value == ChoiceSlider(choices=[32, 64, 128], value=typed).value
    slider, heard = ChoiceSlider(choices=[1, 2, 4, 8], value=8), []
    assert ChoiceSlider(choices=[3, 5]).value == 3
    slider.observe(lambda change: heard.append(change["new"]), names="value")
    slider.choices = [1, 3, 5]
    slider.choices = [1, 5]  # it is still there
    assert slider.value == 5 and heard == [5]


def test_numbers_stay_in_their_range():
    slider = RateSlider(value=3.3e-4, min=1e-5, max=1e-2)
    assert slider.value == 3.3e-4
    for value, found in ((1.0, 1e-2), (0, 1e-5)):
        slider.value = value
        assert slider.value == found
    slider.min = 1e-4
    assert slider.value == 1e-4
    assert RateSlider(min=0.01).value == 0.01
    number = NumberSlider(value=9, min=1, max=4)
    assert number.value == 4
    number.max = 2
    assert number.value == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_need_nothing_from_elsewhere_and_insert_text_as_text(path):
    text = path.read_text("utf-8").replace(NAMESPACE, "")
    forbidden = r"http|//[a-z]|\bimport\b|@import|url\(|innerHTML|outerHTML|insertAdjacentHTML"
    forbidden += r"|\beval\(|document\.write|\bfetch\("
    assert re.findall(forbidden, text) == []
    assert max(map(len, text.splitlines())) <= 100


def test_every_file_and_every_class_of_the_style_is_used():
    used = "".join(path.read_text("utf-8") for path in views.STATIC.parent.rglob("*.[jp][sy]"))
    styled = {name for path in FILES for name in re.findall(r"\.(bert-[a-z-]+)", path.read_text())
              if path.suffix == ".css"}  # fmt: skip
    assert {path.name for path in FILES if path.name not in used} == set()
    assert {name for name in styled if name.removeprefix("bert-") not in used} == set()
