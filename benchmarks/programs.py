"""One training program per function: ours and two that people use, with d2l's sizes on WikiText-2.

`python benchmarks/programs.py NAME SECONDS` runs one of them in a process of its own and prints
what it measured as JSON.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from itertools import islice
from pathlib import Path

import torch

from bert_tutorial import BERTModel, Settings, load_data_wiki, train_steps
from bert_tutorial.text.corpora import read_text

BATCH_SIZE, MAX_LEN = 512, 64
SIZES = dict(num_hiddens=128, ffn_num_hiddens=256, num_heads=2, num_layers=2, dropout=0.2)
WARM_UP = 3  # steps that are not counted


def our_training(
    batch_size=BATCH_SIZE,
    max_len=MAX_LEN,
    sentences_per_segment=1,
    min_freq=None,
    precision="auto",
    **sizes,
):
    """Our `train_steps`, as `train_bert` runs it: its examples, and its steps."""
    train_iter, vocab = load_data_wiki(
        batch_size,
        max_len,
        "wikitext-2",
        sentences_per_segment=sentences_per_segment,
        min_freq=min_freq,
    )
    net = BERTModel(len(vocab), max_len=max_len, **(SIZES | sizes))
    return train_iter, train_steps(net, train_iter, Settings(num_steps=10_000, precision=precision))


def ours(**changes):
    """Pairs of each of our steps."""
    for step in our_training(**changes)[1]:
        yield step.num_pairs


def import_d2l():
    """d2l's PyTorch module, without torchvision, which only its chapters on images need."""
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    from d2l import torch as d2l

    return d2l


def d2l_as_published(batch_size=BATCH_SIZE):
    """d2l's data set and network, and its training: data, net, steps that yield their pairs."""
    library = import_d2l()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "wiki.train.tokens").write_text(
            read_text("wikitext-2").train, encoding="utf-8"
        )
        data = library._WikiTextDataset(library._read_wiki(folder), MAX_LEN)
    vocab_size = len(data.vocab)
    sizes = {name: value for name, value in SIZES.items() if name != "num_layers"}
    net = library.BERTModel(vocab_size, num_blks=SIZES["num_layers"], **sizes)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    loss = torch.nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(data, batch_size, shuffle=True)

    def steps():
        while True:
            for batch in loader:
                optimizer.zero_grad()
                *_, total = library._get_batch_loss_bert(net, loss, vocab_size, *batch)
                total.backward()
                optimizer.step()
                yield len(batch[0])

    return data, net, steps()


def d2l():
    """d2l as published: its data set, network and loss, with its optimizer and settings."""
    yield from d2l_as_published()[2]


def transformers():
    """Hugging Face's `BertForPreTraining` of the same sizes, on our batches, with AdamW."""
    from transformers import BertConfig, BertForPreTraining

    train_iter, vocab = load_data_wiki(BATCH_SIZE, MAX_LEN, corpus="wikitext-2")
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=SIZES["num_hiddens"],
        intermediate_size=SIZES["ffn_num_hiddens"],
        num_attention_heads=SIZES["num_heads"],
        num_hidden_layers=SIZES["num_layers"],
        hidden_dropout_prob=SIZES["dropout"],
        attention_probs_dropout_prob=SIZES["dropout"],
    )
    net = BertForPreTraining(config).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    while True:
        for batch in train_iter:
            real = batch.mlm_weights.bool()
            row = real.nonzero(as_tuple=True)[0]
            labels = torch.full_like(batch.token_ids, -100)  # -100: not to be predicted
            labels[row, batch.pred_positions[real]] = batch.mlm_labels[real]
            optimizer.zero_grad()
            net(
                input_ids=batch.token_ids,
                token_type_ids=batch.segments,
                attention_mask=(torch.arange(MAX_LEN) < batch.valid_lens[:, None]).long(),
                labels=labels,
                next_sentence_label=1 - batch.nsp_labels,  # there 0 means "is next"
            ).loss.backward()
            optimizer.step()
            yield len(batch.nsp_labels)


def operations(batch, vocab_size: int, only_what_is_used: bool = False) -> int:
    """Floating-point operations of a training step with a batch.

    Matrix products of real tokens and real prediction slots only. A multiplication and an addition
    count as two, and the way back costs twice the way forward. With `only_what_is_used` the last
    layer counts only at the positions that a loss uses.
    """
    D, F, num_layers = SIZES["num_hiddens"], SIZES["ffn_num_hiddens"], SIZES["num_layers"]
    lengths, num_slots = batch.valid_lens, int(batch.mlm_weights.sum())
    # Every token looks at every token.
    num_tokens, num_looks = int(lengths.sum()), int(lengths.square().sum())
    encoder = num_layers * (num_tokens * (4 * D * D + 2 * D * F) + num_looks * 2 * D)
    if only_what_is_used:
        unused = lengths - batch.mlm_weights.sum(1) - 1  # used are the slots and <cls>
        encoder -= int(unused.sum()) * (2 * D * D + 2 * D * F)
        encoder -= int((lengths * unused).sum()) * 2 * D
    heads = num_slots * (D * D + D * vocab_size) + len(lengths) * (D * D + 2 * D)
    return 2 * 3 * (encoder + heads)


def roofline(seconds: float) -> dict:
    """Our steps in turn with large bf16 matrix products: so both have the same processor.

    Returns:
        Sums over the steps: "pairs", their "seconds", their "operations", and those of them
        "that_are_used"; and the operations a second of the products, "matrix_rate".
    """
    train_iter, steps = our_training()
    a, b = torch.randn(2, 2048, 2048).bfloat16()
    for _ in range(WARM_UP):
        next(steps)
        a @ b
    sums = dict.fromkeys(("pairs", "seconds", "operations", "that_are_used"), 0)
    products, num_products, end = 0.0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end or not num_products:
        began = time.perf_counter()
        step = next(steps)
        sums["seconds"] += time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        products += time.perf_counter() - began
        num_products += 4
        batch, vocab_size = train_iter.batch_at(step.step - 1), len(train_iter.vocab)
        sums["pairs"] += step.num_pairs
        sums["operations"] += operations(batch, vocab_size)
        sums["that_are_used"] += operations(batch, vocab_size, only_what_is_used=True)
    return sums | {"matrix_rate": num_products * 2 * 2048**3 / products}


def peak_memory() -> int:
    """Of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(steps, seconds: float) -> dict:
    """Run training steps for so long, at least three: pairs a second, and peak memory.

    The first steps, `WARM_UP` many, do not count.
    """
    for _ in islice(steps, WARM_UP):
        pass
    num_pairs = num_steps = taken = 0
    began = time.perf_counter()
    while taken < seconds or num_steps < 3:
        num_pairs += next(steps)
        num_steps += 1
        taken = time.perf_counter() - began
    speed = num_pairs / taken
    return {"pairs_per_second": speed, "peak_memory": peak_memory(), "steps": num_steps}


def run(name: str, seconds: float, **changes) -> dict:
    """One program in a process of its own."""
    command = [sys.executable, __file__, name, str(seconds), json.dumps(changes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(name: str, seconds: str, changes: str = "{}") -> None:
    changes = json.loads(changes)
    if threads := changes.pop("threads", None):
        torch.set_num_threads(threads)
    if name == "roofline":
        found = roofline(float(seconds))
    else:
        program = {"ours": ours, "d2l": d2l, "transformers": transformers}[name]
        found = measure(program(**changes), float(seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
