"""For tests and for notebooks run by nbval.

It stands here because pytest sees tests/conftest.py only from tests/.
"""

import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent
# Tests and the kernels they start, before PyTorch is loaded: see bert_tutorial/__init__.py.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def pytest_configure(config):
    """Downloads and trained networks of a test run go into a folder of its own, not yours."""
    config.own_cache = (
        tempfile.mkdtemp(prefix="bert_tutorial-")
        if "BERT_TUTORIAL_CACHE" not in os.environ
        else None
    )
    if config.own_cache:
        os.environ["BERT_TUTORIAL_CACHE"] = config.own_cache
    # Here and not in pyproject.toml, so that it is found from every folder.
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")


def pytest_unconfigure(config):
    if config.own_cache:
        del os.environ["BERT_TUTORIAL_CACHE"]
        shutil.rmtree(config.own_cache, ignore_errors=True)


def pytest_itemcollected(item):
    if hasattr(
        item, "output_timeout"
    ):  # a notebook's cell: nbval waits only 5 s for each output, too short here
        item.output_timeout = 60
