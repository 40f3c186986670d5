"""Every notebook once more, on d2l's own text: executed, not compared; the saved outputs are of the
other corpus.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_notebooks_run_on_wikitext2(wikitext2_server, tmp_path):
    every_thread = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment = every_thread | {
        "BERT_TUTORIAL_CORPUS": "wikitext-2",
        "BERT_TUTORIAL_CACHE": str(tmp_path),
        "BERT_TUTORIAL_WIKITEXT2_URL": wikitext2_server.url,
    }
    notebooks = sorted(map(str, (ROOT / "notebooks").glob("*.ipynb")))
    options = [
        "--nbval-lax",
        "--nbval-current-env",
        "--nbval-cell-timeout=600",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *notebooks],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    # Downloaded by the first notebook, found in the cache by the others.
    assert wikitext2_server.request_count == 1
    assert (tmp_path / "trained" / "wikitext-2.safetensors").is_file()
