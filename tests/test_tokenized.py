"""A text as token ids, and the cache that keeps it."""

import torch

from bert_tutorial.text.examples import load_data_wiki


def test_own_text_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    train_iter, vocab = load_data_wiki(8, 32, corpus=path)
    assert "cat" in vocab and len(train_iter) > 0 and len(train_iter.valid) > 0
    (cached,) = (tmp_path / "cache" / "tokenized").iterdir()
    again, _ = load_data_wiki(8, 32, corpus=path)
    assert torch.equal(again.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    cached.write_bytes(b"damaged")
    repaired, _ = load_data_wiki(8, 32, corpus=path)
    assert torch.equal(repaired.batch(1, 0).token_ids, train_iter.batch(1, 0).token_ids)
    # A changed text is not mistaken for the cached one.
    path.write_text(path.read_text().replace("dog", "cow"))
    assert "cow" in load_data_wiki(8, 32, corpus=path)[1]


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    path.write_text("".join(f"Cat {i} sat here. Then it ran. It saw a dog.\n" for i in range(40)))
    assert len(load_data_wiki(8, 32, corpus=path)[0]) > 0


def test_wikitext2_has_d2ls_vocabulary(tmp_path, monkeypatch, wikitext2_server):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path))
    monkeypatch.setenv("BERT_TUTORIAL_WIKITEXT2_URL", wikitext2_server.url)
    train_iter, vocab = load_data_wiki(512, 64, corpus="wikitext-2")
    assert len(vocab) == 20256  # as d2l's
    # D2l keeps 44,225 of them, those that fit 64 positions.
    assert train_iter.num_pairs == 59135
    assert tuple(train_iter.batch(0, 0).token_ids.shape) == (512, 64)
    assert load_data_wiki(512, 64, corpus="wikitext-2")[1].itos == vocab.itos
