"""Every notebook once more, from top to bottom, on other texts than the bundled one."""

import random

import pytest
from run_notebooks import NOTEBOOKS, printed, run_notebook


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_notebooks_run_on_wikitext2(wikitext2_server, tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    for path in NOTEBOOKS:
        num_steps = 10 if path.stem == "04_exercises" else 60  # which trains nine times
        found = run_notebook(path, tmp_path, corpus="wikitext-2", num_steps=num_steps)
        assert "corpus: wikitext-2 " in printed(found)
    # Downloaded by the first notebook, found in the cache by the others.
    assert wikitext2_server.request_count == 1
    assert (tmp_path / "cache" / "trained" / "wikitext-2.safetensors").is_file()


def german(draw: random.Random) -> str:
    """The shortest text that is accepted: four paragraphs of two sentences."""
    who, where = ["Der Müller", "Die Köchin", "Ein Bär", "Das Mädchen"], ["Fluss", "Wald"]
    return "\n\n".join(f"„Komm!“ {name} geht zum {draw.choice(where)}." for name in who)


def chinese(draw: random.Random) -> str:
    """Who does what where, in sixty paragraphs."""
    who, does, where = "我你他她它", "看听吃写走", ["在家里", "在山上", "在水边", "在路上"]
    return "\n\n".join(
        "".join(f"{draw.choice(who)}{draw.choice(where)}{draw.choice(does)}。" for _ in range(4))
        for _ in range(60)
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", [german, pytest.param(chinese, marks=pytest.mark.nightly)])
def test_the_lessons_run_on_a_text_of_ones_own(text, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(text(random.Random(0)), encoding="utf-8")
    for notebook in NOTEBOOKS[:3]:
        said = printed(run_notebook(notebook, tmp_path, corpus=str(path), num_steps=20))
        assert "own.txt: " in said and " words are used" in said
    assert "too short even for hidden pairs" in said
    assert "network trained in notebook 02" in said
    assert "crane" not in said
