"""Texts larger than memory: files of token ids, blocks of a text, and the memory that both take.

`python tests/test_token_files.py TEXT 0 1` prepares a text, trains on it, and prints what it took.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from itertools import chain, islice, pairwise
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from one_sentence import assert_one_sentence
from small import (
    assert_identical,
    losses,
    made_up_text,
    small_net,
    some_examples,
    tokenized,
    topic_text,
)

from bert_tutorial import BERTModel, Settings, Vocab, baselines, load_data_wiki, train_steps
from bert_tutorial.cache import cache_dir
from bert_tutorial.pretraining.cooccurrence import count_near, start_from_neighbours
from bert_tutorial.pretraining.evaluation import count_pairs
from bert_tutorial.pretraining.optimizers import make_optimizers
from bert_tutorial.studio.published import wordpiece
from bert_tutorial.text import examples, own_file, token_files
from bert_tutorial.text import tokenized as tokenized_text
from bert_tutorial.text.corpora import read_text
from bert_tutorial.text.examples import PretrainingExamples
from bert_tutorial.text.own_file import cut_paragraphs, describe_own_text, read_chunks
from bert_tutorial.text.tokenized import tokenize_corpus


def written(paragraphs):
    """Paragraphs as somebody would write them."""
    return "\n\n".join(" ".join(f"{' '.join(s)}." for s in sentences) for sentences in paragraphs)


@pytest.fixture
def own_text(monkeypatch, tmp_path):
    """A text file; files are read in small pieces, and the cache is empty."""
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(own_file, "CHUNK", 3000)
    path = tmp_path / "own.txt"
    path.write_text(written(topic_text(300, seed=0)))
    return path


@pytest.fixture
def all_are_large(monkeypatch):
    """Every text goes the way of a large one."""
    monkeypatch.setattr(own_file, "LARGE", 0)


def kept(pattern="[!.]*"):
    return sorted((cache_dir() / "token_files").glob(pattern))


def assert_same(found, wanted):
    assert (found.vocab.itos, found.vocab.counts) == (wanted.vocab.itos, wanted.vocab.counts)
    for one, two in zip((*found.train, *found.valid), (*wanted.train, *wanted.valid), strict=True):
        assert one.tolist() == two.tolist()


# Files


PIECES = ["word ", "Wörter", "鶴", "😀", "\n", "\n \n", "\r\n", ".", "*** END OF A\n"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_the_pieces_of_a_file_are_the_file(pieces):
    text = "".join(pieces)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(own_file, "CHUNK", 16)
        path = Path(folder) / "own.txt"
        path.write_bytes(text.encode())
        assert "".join(read_chunks(path)) == text


def test_files_are_cut_between_paragraphs_and_behind_books(own_text):
    wanted = cut_paragraphs(own_text.read_text())
    pieces = list(read_chunks(own_text))
    assert len(pieces) > 3 and list(chain.from_iterable(map(cut_paragraphs, pieces))) == wanted
    book = "Licence. Of it.\n*** START OF B ***\n\n{}\n*** END OF B ***\nFree. It is.\n\n"
    own_text.write_text("".join(book.format(written([p])) for p in topic_text(300, seed=0)))
    assert list(chain.from_iterable(map(cut_paragraphs, read_chunks(own_text)))) == wanted


def test_a_large_text_has_the_tokens_that_it_has_in_memory(own_text, monkeypatch, capsys):
    wanted = tokenize_corpus(own_text)
    with monkeypatch.context() as patch:
        patch.setattr(own_file, "LARGE", 0)
        assert_same(tokenize_corpus(own_text), wanted)
        assert "cutting text into words: 100%" in capsys.readouterr().err
        patch.setattr(token_files, "cut_paragraphs", lambda _: pytest.fail("it was cut again"))
        again = tokenize_corpus(own_text)
        assert_same(again, wanted)
        assert again.train.token_ids.dtype == torch.uint16
    (folder,) = kept()
    assert sorted(file.name for file in folder.iterdir())[0] == "header.json"
    assert len(list(folder.iterdir())) == 7


def test_many_words_take_32_bits(own_text, all_are_large, monkeypatch):
    lines = (f"{' '.join(f'w{10 * i + j}' for j in range(10))}. So.\n\n" for i in range(8000))
    own_text.write_text("".join(lines))
    monkeypatch.setattr(own_file, "CHUNK", 2**20)
    train, _, vocab = tokenize_corpus(own_text, min_freq=1)
    assert len(vocab) > 2**16 and train.token_ids.dtype == torch.int32
    assert vocab.to_tokens(train.token_ids[-11:].long())[:2] == ["w79980", "w79981"]


def test_a_folder_and_a_pattern_are_one_text(own_text, monkeypatch):
    folder = own_text.parent / "texts"
    (folder / "more").mkdir(parents=True)
    halves = [topic_text(300, seed=0)[part] for part in (slice(0, 150), slice(150, None))]
    for name, half in zip(("a.txt", "more/b.txt"), halves, strict=True):
        (folder / name).write_text(written(half))
    whole, pattern = read_text(own_text), f"{folder}/**/*.txt"
    assert read_text(pattern)[1:] == whole[1:] and read_text(folder).name == "texts"
    assert read_text(folder)[1:] != whole[1:]  # its own files only
    assert (
        describe_own_text(Path(pattern)).split(":")[1:]
        == describe_own_text(own_text).split(":")[1:]
    )
    wanted = tokenize_corpus(own_text)
    monkeypatch.setattr(own_file, "LARGE", 0)
    assert_same(tokenize_corpus(pattern), wanted)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_file_that_is_not_utf8_in_the_middle_is_named(own_text, monkeypatch, is_large):
    monkeypatch.setattr(own_file, "LARGE", 0 if is_large else 10**9)
    content, place = own_text.read_bytes(), 20_001
    other = own_text.with_name("other.txt")
    other.write_bytes(content[:place] + b"Caf\xe9. " + content[place:])
    with pytest.raises(
        ValueError, match=rf"other\.txt must .* offset {place + 3} is not"
    ) as caught:
        tokenize_corpus(own_text.parent)
    assert_one_sentence(str(caught.value))
    assert kept() == []


def test_a_text_that_is_too_large_to_be_read_whole_says_who_takes_it(own_text, monkeypatch):
    monkeypatch.setattr(own_file, "LARGE", 10_000)
    with pytest.raises(ValueError, match="too many to read whole .* load_data_wiki") as caught:
        read_text(own_text)
    assert_one_sentence(str(caught.value))
    monkeypatch.setattr(own_file, "DESCRIBED", 5000)
    assert " words of its first 0 MB are used (100%)" in describe_own_text(own_text)


def test_a_large_text_with_few_paragraphs_is_refused(own_text, all_are_large):
    own_text.write_text("A b. C d.\n\n" * 19)
    with pytest.raises(ValueError, match="at least 20 paragraphs .* but 19 of its 19") as caught:
        tokenize_corpus(own_text)
    assert_one_sentence(str(caught.value))
    assert kept() == []


def test_damage_is_noticed_and_what_was_left_behind_is_cleared(own_text, monkeypatch):
    wanted = tokenize_corpus(own_text)
    monkeypatch.setattr(own_file, "LARGE", 0)
    tokenize_corpus(own_text)
    (folder,) = kept()
    left = folder.with_name("other.part")
    for name in ("train_token_ids", "valid_sentence_starts", "header.json"):
        left.mkdir()
        (left / "train_words").write_bytes(b"half")
        content = bytearray((folder / name).read_bytes())
        content[7] ^= 1
        (folder / name).write_bytes(content)
        assert_same(tokenize_corpus(own_text), wanted)
        assert kept() == [folder]
    own_text.write_text(own_text.read_text().replace("t0w0", "cow"))
    assert "cow" in tokenize_corpus(own_text).vocab  # a changed text is another one
    assert "cow" in tokenize_corpus(own_text, min_freq=3).vocab and len(kept()) == 3


def test_a_text_that_changes_meanwhile_is_refused(own_text, all_are_large, monkeypatch):
    def cut(text):
        own_text.write_text("It was. So.\n\n" * 999)
        return cut_paragraphs(text)

    monkeypatch.setattr(token_files, "cut_paragraphs", cut)
    with pytest.raises(ValueError, match="was changed while it was read"):
        tokenize_corpus(own_text)


def test_a_full_disk_is_told_and_nothing_is_left(own_text, all_are_large, full_disk):
    with full_disk(9000), pytest.raises(OSError, match="cannot be written .*make room") as caught:
        tokenize_corpus(own_text)
    assert_one_sentence(str(caught.value))
    assert kept() == []


def test_one_process_prepares_and_another_waits(own_text, all_are_large, capsys):
    tokenize_corpus(own_text)
    (folder,) = kept()
    (folder / "header.json").rename(own_text.with_name("header.json"))
    is_held = threading.Event()

    def finish():
        with FileLock(folder.parent / ".lock"):
            is_held.set()
            time.sleep(1.2)
            own_text.with_name("header.json").rename(folder / "header.json")

    thread = threading.Thread(target=finish)
    thread.start()
    is_held.wait()
    tokenize_corpus(own_text)
    thread.join()
    said = capsys.readouterr().err
    assert "waiting for another process, which cuts" in said and said.count("100%") == 1


def test_words_are_counted_in_bounded_memory(own_text, all_are_large, monkeypatch):
    draw = random.Random(0)
    lines = [f"The cow {draw.random()} ran. It {draw.random()} fell.\n\n" for _ in range(2000)]
    own_text.write_text("".join(lines))
    wanted, sizes, drop_rare = tokenize_corpus(own_text), [], token_files._Index.drop_rare

    def drop(index, counts):
        drop_rare(index, counts)
        sizes.append(len(index))

    monkeypatch.setattr(token_files, "MOST_WORDS", 200)
    monkeypatch.setattr(token_files, "FORMAT", 0)  # so that the files are written anew
    monkeypatch.setattr(token_files._Index, "drop_rare", drop)
    assert_same(tokenize_corpus(own_text), wanted)
    assert len(sizes) > 20 and max(sizes) <= 200 and min(sizes) >= len(wanted.vocab.word_ids)


# Vocabularies of one's own


def test_word_pieces_are_learned_from_a_text_and_train(own_text, monkeypatch):
    lines = [
        "A long-legged crane flies. Cranes fly 3.5 km.\n\n",
        "<unk> cranes lift. We lifted.\n\n",
    ]
    own_text.write_text("".join(lines * 100))
    pieces = wordpiece.train_wordpiece(own_text, 60, seed=1)
    assert len(pieces) == 60 and "@" not in pieces
    wanted = tokenize_corpus(own_text, vocab=pieces)
    first = wanted.train.token_ids[: wanted.train.sentence_starts[1]]
    assert wanted.vocab.to_tokens(first.long()) == pieces.tokenize("a long-legged crane flies")
    counts = wanted.train.token_ids.bincount(minlength=60).tolist()
    assert wanted.vocab.counts == counts and counts[pieces.unk_id] == 80 and not any(pieces.counts)
    monkeypatch.setattr(own_file, "LARGE", 0)
    monkeypatch.setattr(wordpiece, "SAMPLE", 3000)
    for _ in range(2):  # written, and read back
        assert_same(tokenize_corpus(own_text, vocab=pieces), wanted)
    train_iter, vocab = load_data_wiki(8, 24, own_text, vocab=pieces)
    assert vocab.pieces("flying") == pieces.pieces("flying")
    (step,) = train_steps(small_net(train_iter), train_iter, Settings(num_steps=1))
    assert step.mlm_loss < 2 * baselines(train_iter).uniform
    again = {tuple(wordpiece.train_wordpiece(own_text, 60, seed).itos) for seed in (1, 1, 1)}
    assert len(again) == 1  # the seed tells all


def test_words_of_another_text_are_a_vocabulary_too(own_text):
    vocab = Vocab(["t0w0", "t1w0"])
    train, _, found = tokenize_corpus(own_text, vocab=vocab)
    assert found.itos == vocab.itos and sum(found.counts) == len(train.token_ids)
    assert found.counts[found["t0w0"]] == read_text(own_text).train.split().count("t0w0") > 100


# Blocks


def in_blocks(monkeypatch, batch_size=8, **how):
    monkeypatch.setattr(examples, "BLOCK", 1000)
    return PretrainingExamples(*tokenized(made_up_text(60)), batch_size, 48, **how)


def test_blocks_are_about_equal_texts_of_their_own():
    paragraphs = made_up_text(60)
    vocab, text = tokenized(paragraphs)
    for size in (1, 700, 1000, 4000, 10**6):
        cuts = text.cuts(size)
        assert (cuts[0], cuts[-1]) == (0, 60) and min(b - a for a, b in pairwise(cuts)) >= 2
        for first, last in pairwise(cuts):
            wanted = text.from_paragraphs(vocab, paragraphs[first:last])
            found = text.block(first, last)
            assert all(torch.equal(*both) for both in zip(found, wanted, strict=True))
            longest = max(sum(map(len, p)) for p in paragraphs)
            assert len(found.token_ids) <= max(size + longest, 3 * longest)
    assert text.cuts(len(text.token_ids)) == [0, 60] and len(text.cuts(1000)) > 5


@pytest.mark.parametrize("counts", [1, (1, 2)])
def test_each_epoch_takes_every_block_and_pairs_stay_within_them(monkeypatch, counts):
    data = in_blocks(monkeypatch, sentences_per_segment=counts, batch_size=4)
    starts = data.text.paragraph_starts
    seen, orders = set(), set()
    for epoch in range(8):
        order = []
        for index in range(len(data)):
            block, row = data._find(epoch, index)
            first, last = data.blocks[block]
            pairs = data.pairs(epoch, block)[
                (epoch * len(data) + index) % len(data.sentence_counts)
            ]
            for sentences in (p[4 * row : 4 * row + 4] for p in pairs[:2]):
                assert len(sentences) == 4
                assert (sentences >= starts[first]).all() and (sentences < starts[last]).all()
                seen |= set((torch.searchsorted(starts, sentences, right=True) - 1).tolist())
            order += [block] * (order[-1:] != [block])
        assert sorted(order) == list(range(len(data.blocks)))
        orders.add(tuple(order))
    assert len(orders) > 5 and seen == set(range(60))
    with pytest.raises(IndexError):
        data.batch(0, len(data))


def test_pairs_of_a_block_are_those_of_a_text_that_is_this_block(monkeypatch):
    data = in_blocks(monkeypatch)
    monkeypatch.undo()
    first, last = data.blocks[0]
    alone = PretrainingExamples(data.vocab, data.text.block(first, last), 8, 48)
    assert_identical(alone.pairs(3)[0], data.pairs(3)[0])
    index = next(i for i in range(len(data)) if data._find(3, i) == (0, 1))
    one, other = data.batch(3, index), alone.batch(3, 1)
    assert_identical(one.valid_lens, other.valid_lens)  # the masks have their own place


def test_a_run_on_blocks_goes_on_exactly(monkeypatch):
    monkeypatch.setattr(examples, "BLOCK", 400)
    data, again = some_examples(), some_examples()
    last = len(data) + 5
    how = Settings(num_steps=last)
    wanted = losses(train_steps(small_net(data), data, how))
    net, found = small_net(data), []
    optimizers = make_optimizers(net, how)
    for first, until in ((0, last // 3), (last // 3, last)):
        steps = train_steps(net, again, how, optimizers=optimizers, first_step=first)
        found += islice(steps, until - first)
    assert len(data.blocks) == 3 and len({data._find(0, i)[0] for i in range(last // 3)}) > 1
    assert_identical(losses(found), wanted)


def test_blocks_without_enough_pairs_are_passed_over(monkeypatch):
    monkeypatch.setattr(examples, "BLOCK", 40)
    lone, many = [[["w"] * 5]] * 8, [[["w"] * 5] * 4] * 8  # paragraphs of 1 and of 4 sentences
    data = PretrainingExamples(*tokenized(many + lone + many), 1000, 32)
    assert 0 in data.batches_of and len(data) == sum(data.batches_of) > 1
    assert len(list(data)) == len(data) and data.batch_size < 24


def test_neighbours_are_counted_in_the_beginning_of_a_large_text(monkeypatch):
    vocab, text = tokenized(made_up_text(60))
    monkeypatch.setattr(tokenized_text, "BEGINNING", 1000)
    beginning = text.block(0, text.cuts(1000)[1])
    assert 500 < len(beginning.token_ids) < 1500
    assert (
        count_pairs(text, vocab).sum()
        == len(beginning.token_ids) + beginning.sentence_starts.numel() - 1
    )
    assert (count_near(text, vocab, 2) != count_near(beginning, vocab, 2)).nnz == 0


# Memory


def write_large(path, size, is_wikitext=False):
    """Sentences of the bundled corpus, shuffled, with a random word in each paragraph."""
    draw, lines = random.Random(0), read_text("bundled").train.split("\n")
    sentences = [part.strip() for line in lines for part in line.split(" . ") if part.strip()]
    start, between, end = " = x = \n\n ", " . ", " . \n\n"
    if not is_wikitext:  # that is cut faster
        start, between, end = "", ". ", ".\n\n"
        sentences = [x.replace(" @-@ ", "-").replace(" ,", ",").capitalize() for x in sentences]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            for _ in range(10_000):
                some = draw.choices(sentences, k=draw.randint(2, 7))
                some.append(f"It is x{draw.randrange(10**7)}")
                file.write(f"{start}{between.join(some)}{end}")


def private_memory():
    """Bytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(x for x in status.splitlines() if x.startswith("RssAnon")).split()[1])


def measure(path, large, counts):
    """Prepare a text, train a little, look at places all over an epoch; say what that took."""
    own_file.LARGE = large
    before, done, most = private_memory(), threading.Event(), [0]

    def watch():
        while not done.wait(0.01):
            most[0] = max(most[0], private_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, used = time.perf_counter(), time.process_time()
    train_iter, vocab = load_data_wiki(64, 64, path)
    found = {"seconds": time.perf_counter() - began, "of processor": time.process_time() - used}
    torch.manual_seed(0)
    net = BERTModel(len(vocab), num_hiddens=64, ffn_num_hiddens=128)
    how = Settings(num_steps=3, word_neighbours=False)
    found["losses"] = [step.mlm_loss for step in train_steps(net, train_iter, how)]
    places = [len(train_iter) * i // 5 + i for i in range(6)]
    ids = b"".join(train_iter.batch_at(place).token_ids.numpy().tobytes() for place in places)
    found |= {"batches": hashlib.sha256(ids).hexdigest(), "blocks": len(train_iter.blocks)}
    found |= {"tokens": len(train_iter.text.token_ids), "words": len(vocab)}
    if counts:
        start_from_neighbours(net, train_iter.text, vocab)
        baselines(train_iter)
    done.set()
    watcher.join()
    return found | {"megabytes": (most[0] - before) / 1e6}


def measured(path, large=0, counts=0):
    command = [sys.executable, __file__, path, str(large), str(counts)]
    return json.loads(subprocess.check_output(command, text=True).splitlines()[-1])


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
@pytest.mark.parametrize(("megabytes", "is_wikitext"), [
    (50, True), pytest.param(2000, False, marks=pytest.mark.nightly)
])  # fmt: skip
def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch, megabytes, is_wikitext):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "own.txt"
    write_large(path, megabytes * 1e6, is_wikitext)
    is_night = not is_wikitext
    first, again = measured(path, counts=int(is_night)), measured(path)
    disk, size = sum(file.stat().st_size for file in kept("[!.]*/*")), path.stat().st_size
    print(f"{size / 1e6:.0f} MB of text, {disk / 1e6:.0f} MB on disk: {first}, again: {again}")
    assert (first["losses"], first["batches"]) == (again["losses"], again["batches"])
    assert disk < 0.65 * size and again["of processor"] < first["of processor"] / 2
    most = 700 if is_night else 350  # a whole block is large
    assert first["megabytes"] < most and again["megabytes"] < most


@pytest.mark.nightly
def test_the_same_text_in_memory_takes_much_more(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_TUTORIAL_CACHE", str(tmp_path / "cache"))
    write_large(tmp_path / "own.txt", 50e6)
    on_disk, in_memory = (measured(tmp_path / "own.txt", large) for large in (0, 10**9))
    assert on_disk["batches"] == in_memory["batches"]
    assert in_memory["megabytes"] > 700 > 2 * on_disk["megabytes"]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:]))))
