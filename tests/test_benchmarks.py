"""The benchmarks' own arithmetic; what they measure needs the peers and minutes, see benchmarks/README.md."""

import importlib
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield importlib.import_module
    for name in ("bench", "programs"):
        sys.modules.pop(name, None)


def test_speed_is_that_of_the_median_step_without_the_first_ones(benchmark):
    def steps():
        for number in range(1000):
            time.sleep(0.3 if number < 3 else 0.01)
            yield 20

    found = benchmark("programs").measure(steps(), seconds=0.2)
    assert 500 < found["pairs_per_second"] < 2000 and found["steps"] >= 3 and found["peak_memory"] > 10_000_000


def test_the_operations_are_those_of_real_tokens(benchmark, wikitext2_server, monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    operations = benchmark("bench").operations_per_pair(num_batches=2)
    padded = 6 * (2 * 64 * (4 * 128**2 + 2 * 128 * 256 + 2 * 64 * 128) + 10 * 128 * (128 + 20_256) + 128 * 130)
    assert 0.5 * padded < operations < 0.9 * padded


def test_a_table_goes_where_it_belongs(benchmark, monkeypatch, tmp_path):
    bench = benchmark("bench")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\n")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    bench.put_into_readme("a", "new")
    assert readme.read_text() == (
        "before\n<!-- a -->\nnew\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\n"
    )
