"""The arithmetic and the tables of benchmarks/. Nothing is measured here: that takes minutes."""

import ast
import importlib
import inspect
import math
import random
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import torch
from small import small_net, some_examples

from bert_tutorial import Settings, evaluate, read_text, tokenize, train_steps
from bert_tutorial.representation.fill_mask import Guess
from bert_tutorial.representation.occurrences import Occurrence, labelled_occurrences
from bert_tutorial.text.vocabulary import Vocab
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for path in FOLDER.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_speed_is_that_of_all_steps_but_the_first_ones(benchmark):
    def steps():
        for number in range(1000):
            time.sleep(0.3 if number < 3 else 0.01)
            yield 20

    found = benchmark("programs").measure(steps(), seconds=0.2)
    assert 500 < found["pairs_per_second"] < 2000 and found["steps"] >= 3
    assert found["peak_memory"] > 10_000_000


@pytest.fixture
def wikitext2(wikitext2_server, monkeypatch, tmp_path):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)


def test_the_operations_are_those_of_real_tokens(benchmark, wikitext2):
    programs = benchmark("programs")
    train_iter, _ = programs.our_training(batch_size=64)
    batch = train_iter.batch_at(0)
    operations = programs.operations(batch, 20_256)
    layers = 2 * 64 * (4 * 128**2 + 2 * 128 * 256 + 2 * 64 * 128)
    padded = 64 * 6 * (layers + 10 * 128 * (128 + 20_256) + 128 * 130)
    assert 0.5 * padded < operations < 0.9 * padded
    assert 0.7 * operations < programs.operations(batch, 20_256, True) < 0.95 * operations


def test_the_roofline_counts_the_steps_it_measured(benchmark, wikitext2):
    found = benchmark("programs").roofline(seconds=0.1)
    assert found["pairs"] >= 512 and found["pairs"] % 512 == 0
    assert found["that_are_used"] < found["operations"]


def test_a_table_goes_where_it_belongs(benchmark, monkeypatch, tmp_path):
    report, readme = benchmark("report"), tmp_path / "README.md"
    text = "1\n<!-- a -->\nold\n<!-- end of a -->\n2\n<!-- b -->\n<!-- end of b -->\n"
    readme.write_text(text)
    monkeypatch.setattr(report, "HERE", tmp_path)
    report.put_into_readme("a", "new")
    assert readme.read_text() == text.replace("old", "new")


def test_the_control_without_a_network_tells_senses_by_the_words_around(benchmark):
    def accuracy(*around):
        told = zip(around, ("river", "song"), strict=True)
        lines = [f" we {words} {word} . {word} {word} again . \n" for words, word in told]
        made_up = Corpus("made up", "".join(9 * lines), "".join(3 * lines))
        merged = benchmark("pseudowords").Pseudowords(made_up, num_pairs=1, lowest=27, highest=27)
        return benchmark("learning").naive_bayes(merged)

    assert accuracy("crossed that", "sang her") == 1.0
    assert accuracy("saw this", "saw this") == 0.5


@pytest.mark.parametrize(("difference", "low", "high"), [(3.0, 0.9, 1), (0.0, 0.3, 0.7)])
def test_the_linear_discriminant_sees_a_small_difference_beside_a_wide_spread(
    benchmark, monkeypatch, difference, low, high
):
    search, draw = benchmark("search"), torch.Generator().manual_seed(0)
    places = [Occurrence(i, 0, 0, "river" if i % 2 else "song") for i in range(100)]

    def vectors(*_):
        drawn = torch.randn(100, 8, generator=draw) * torch.tensor([1.0] * 7 + [30.0])
        drawn[1::2, 0] += 2 * difference
        return drawn

    monkeypatch.setattr(search, "occurrence_vectors", vectors)
    empty = Corpus("made up", "", "")
    right = search.linear_discriminant(None, None, empty, lambda part: {"river|song": places})
    assert low < right <= high


def test_pseudowords_merge_what_only_context_can_tell(benchmark):
    draw, words = random.Random(0), ["River", "song", "storm", "album", "tree", "road"]
    train, valid = (
        "".join(f" {' '.join(draw.choices(words, k=8))} . \n" for _ in range(n)) for n in (60, 20)
    )
    made_up, pseudowords = Corpus("made up", train, valid), benchmark("pseudowords").Pseudowords
    merged = pseudowords(made_up, num_pairs=2, lowest=3, highest=1000, seed=1)
    assert len({word for pair in merged.pairs for word in pair}) == 4
    for part, original in ((merged.corpus.train, train), (merged.corpus.valid, valid)):
        read, before, labels = paragraphs(part), paragraphs(original), merged.labels(part)
        tokens = part.split()
        assert len(labels) == 2
        for word, found in labels.items():
            assert word not in original and {o.sense for o in found} == set(word.split("|"))
            assert tokens.count(word) == len(found) and not set(word.split("|")) & set(tokens)
            for number, sentence, position, sense, _ in found:
                assert read[number][sentence][position] == word
                assert before[number][sentence][position] == sense
    with pytest.raises(ValueError, match="50 pairs need 100 words"):
        pseudowords(made_up, num_pairs=50)


def test_the_tables_in_the_readme_are_those_of_the_kept_results(benchmark):
    report, search = benchmark("report"), benchmark("search")
    tables = {
        name: benchmark(name).table(report.kept(name))
        for name in ("bench", "ablations", "scaling", "learning")
    }
    for corpus in search.BEST:
        trials = report.kept(f"search_{corpus}")["trials"]
        tables[f"search {corpus}"] = search.table(corpus, trials)
    typed = benchmark("typed")
    sizes = len(typed.read_senses("test")), len(typed.read_masked("test"))
    tables["typed"] = typed.table(report.kept("typed"), *sizes)
    tables["time to loss"] = benchmark("time_to_loss").table(report.kept("time_to_loss"))
    for name in ("minute", "five_minutes"):
        runs = report.kept(name)["runs"]
        tables[name] = report.table_of_seeds(runs, benchmark(name).ABOUT)
    readme = (FOLDER / "README.md").read_text("utf-8")
    for name, table in tables.items():
        assert f"<!-- {name} -->\n{table}\n<!-- end of {name} -->\n" in readme, name


def is_looked_up(name: str, module: ModuleType) -> bool:
    """Whether the code of a module uses a global name, rather than only importing or setting it."""
    names = (n for n in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(n, ast.Name))
    return any(n.id == name and isinstance(n.ctx, ast.Load) for n in names)


def test_each_ablation_is_in_force_while_it_lasts_and_training_still_works(benchmark):
    ablations = benchmark("ablations")
    for label, changes in ablations.ABLATIONS.items():
        before = [getattr(owner, name) for owner, name, _ in changes]
        for owner, name, _ in changes:
            assert not isinstance(owner, ModuleType) or is_looked_up(name, owner), label
        with ablations.without(label):
            assert all(getattr(owner, name) is value for owner, name, value in changes), label
            examples = some_examples()
            steps = train_steps(small_net(examples), examples, Settings(num_steps=3))
            assert all(0 < step.mlm_loss < 10 for step in steps), label
        assert [getattr(owner, name) for owner, name, _ in changes] == before, label


def test_typed_sentences_can_be_asked_and_the_two_sets_have_nothing_in_common(benchmark):
    typed, known = benchmark("typed"), labelled_occurrences(read_text("bundled").train)
    seen = {"choice": set(), "test": set()}
    for name, cut in seen.items():
        for word, sense, sentence in typed.read_senses(name):
            assert tokenize(sentence).count(word) == 1, sentence
            assert sense in {occurrence.sense for occurrence in known[word]}
            cut.add(tuple(tokenize(sentence.rstrip(".?!"))))
        counts = Counter((word, sense) for word, sense, _ in typed.read_senses(name))
        assert len(counts) == 64 and (name == "choice" or set(counts.values()) == {5})
        for sentence, acceptable in typed.read_masked(name):
            assert tokenize(sentence).count("<mask>") == 1 and len(acceptable) >= 2, sentence
            assert all(tokenize(word) == [word] for word in acceptable), sentence
            cut.add(tuple(tokenize(sentence.rstrip(".?!"))))
    assert not seen["choice"] & seen["test"]


def test_sure_guesses_are_compared_with_how_often_they_are_right(benchmark, monkeypatch):
    typed = benchmark("typed")
    guesses = {
        "a": [Guess("cat", 0.6), Guess("dog", 0.2)],
        "b": [Guess("cow", 0.4), Guess("hen", 0.2)],
        "c owl": [Guess("owl", 0.2), Guess("bee", 0.1)],
    }
    monkeypatch.setattr(typed, "fill_mask", lambda net, vocab, sentence: [guesses[sentence]])
    asked = [typed.Masked("a", {"cat"}), typed.Masked("b", {"hen"}), typed.Masked("c owl", {"ant"})]
    found = typed.masked_right(None, Vocab(["owl"]), asked)
    assert found["first_five"] == 2 / 3 and found["sure"] == 2 and found["repeats"] == 1 / 3
    assert found["sure_says"] == pytest.approx(0.5) and found["sure_right"] == 0.5


def test_the_temperature_makes_guesses_as_right_as_they_say(benchmark):
    typed = benchmark("typed")
    for said in (0.6, 0.9):  # log odds 0.41 and 2.2; right are 6 of 10, 0.41
        guesses = [(said, i < 6) for i in range(10)]
        found = typed.best_temperature(guesses, most=6.0)
        assert found == pytest.approx(math.log(said / (1 - said)) / math.log(1.5), abs=0.05)


def test_guesses_are_sorted_by_their_probability(benchmark):
    typed = benchmark("typed")
    guesses = [(0.95, True), (0.85, False), (0.4, True), (0.05, False), (0.1, False)]
    (few, low, wrong), (one, middle, right), (two, high, half) = typed.reliability(guesses)
    assert (few, one, two) == (2, 1, 2)
    assert (low, middle, high) == pytest.approx((0.075, 0.4, 0.9))
    assert (wrong, right, half) == (0.0, 1.0, 0.5)


def test_the_first_guesses_on_held_out_text_are_those_that_are_evaluated(benchmark, monkeypatch):
    typed, examples = benchmark("typed"), some_examples()
    monkeypatch.setattr(typed, "load_data_wiki", lambda corpus: (examples, examples.vocab))
    net = small_net(examples).eval()
    for _ in train_steps(net, examples, Settings(num_steps=30)):
        pass
    guesses = typed.held_out_guesses(net.eval(), examples.vocab, "made up")
    accuracy = sum(right for _, right in guesses) / len(guesses)
    assert accuracy == pytest.approx(evaluate(net, examples.valid).mlm_accuracy) and accuracy > 0.05
    assert len(guesses) == sum(number for number, *_ in typed.reliability(guesses))


def test_time_to_a_loss_is_when_it_was_first_reached(benchmark):
    program = benchmark("time_to_loss")
    points = [(1.0, 10, 6.2), (2.0, 20, 5.9), (3.0, 30, 6.1), (4.0, 40, 4.9)]
    assert program.seconds_until(points, 6.0) == 2.0
    assert program.seconds_until(points, 4.0) is None
    losses = iter([3.0, 2.0])
    curve = program.Curve(lambda: next(losses), every=2)
    for _ in range(5):
        curve.step()
    assert [(steps, nats) for _, steps, nats in curve.points] == [(2, 3.0), (4, 2.0)]
