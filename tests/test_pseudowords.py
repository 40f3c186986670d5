"""The benchmarks' merged words: only the context tells which of the two stood there."""

import random
from pathlib import Path

import pytest

from bert_tutorial.text.wikitext_format import Corpus, paragraphs


def test_pseudowords_merge_what_only_context_can_tell(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks")
    from pseudowords import Pseudowords

    draw, words = random.Random(0), ["River", "song", "storm", "album", "tree", "road"]
    train, valid = (
        "".join(f" {' '.join(draw.choices(words, k=8))} . \n" for _ in range(n)) for n in (60, 20)
    )
    made_up = Corpus("made up", train, valid)
    merged = Pseudowords(made_up, num_pairs=2, lowest=3, highest=1000, seed=1)
    assert len({word for pair in merged.pairs for word in pair}) == 4
    for part, original in ((merged.corpus.train, train), (merged.corpus.valid, valid)):
        read, before, labels = paragraphs(part), paragraphs(original), merged.labels(part)
        tokens = [token for paragraph in read for sentence in paragraph for token in sentence]
        assert len(labels) == 2
        for word, found in labels.items():
            assert word not in original and {o.sense for o in found} == set(word.split("|"))
            assert tokens.count(word) == len(found) and not set(word.split("|")) & set(tokens)
            for o in found:
                assert read[o.paragraph][o.sentence][o.position] == word
                assert before[o.paragraph][o.sentence][o.position] == o.sense
    with pytest.raises(ValueError, match="50 pairs need 100 words"):
        Pseudowords(made_up, num_pairs=50)
