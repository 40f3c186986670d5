"""Every notebook once more, from top to bottom, on other texts than the bundled one."""

import pytest
from run_notebooks import NOTEBOOKS, printed, run_notebook


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_notebooks_run_on_wikitext2(wikitext2_server, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a kernel has all threads
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    for path in NOTEBOOKS:
        found = run_notebook(path, tmp_path, corpus="wikitext-2", num_steps=60)
        assert "corpus: wikitext-2 " in printed(found)
    # Downloaded by the first notebook, found in the cache by the others.
    assert wikitext2_server.request_count == 1
    assert (tmp_path / "cache" / "trained" / "wikitext-2.safetensors").is_file()
