"""One training program per function: ours and two that people use, all with the document's network on WikiText-2.

`python benchmarks/programs.py NAME` runs one of them in a process of its own and prints what it measured as JSON.
"""

import json
import resource
import sys
import tempfile
import time
import types
from itertools import islice
from pathlib import Path

import torch

from bert_tutorial import BERTModel, Recipe, load_data_wiki, train_steps
from bert_tutorial.corpus import read_text

BATCH_SIZE, MAX_LEN, SLOTS = 512, 64, 10
SIZES = dict(num_hiddens=128, ffn_num_hiddens=256, num_heads=2, num_layers=2, dropout=0.2)
WARM_UP = 3  # steps that are not counted


def ours(batch_size=BATCH_SIZE, max_len=MAX_LEN, span=1, min_freq=5, precision="auto", **sizes):
    """Our `train_steps`, as `train_bert` runs it."""
    train_iter, vocab = load_data_wiki(batch_size, max_len, corpus="wikitext-2", span=span, min_freq=min_freq)
    net = BERTModel(len(vocab), max_len=max_len, **(SIZES | sizes))
    for step in train_steps(net, train_iter, Recipe(num_steps=10_000, precision=precision)):
        yield step.num_pairs


def import_d2l():
    """d2l's PyTorch module. It imports torchvision for its chapters on images, which BERT does not need."""
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    from d2l import torch as d2l

    return d2l


def d2l():
    """The published package's data set, network and loss, with the document's optimizer and settings."""
    library = import_d2l()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "wiki.train.tokens").write_text(read_text("wikitext-2").train, encoding="utf-8")
        data = library._WikiTextDataset(library._read_wiki(folder), MAX_LEN)
    vocab_size = len(data.vocab)
    sizes = {name: value for name, value in SIZES.items() if name != "num_layers"}
    net = library.BERTModel(vocab_size, num_blks=SIZES["num_layers"], **sizes)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    loss = torch.nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(data, BATCH_SIZE, shuffle=True)
    while True:
        for ids, segments, valid_lens, positions, weights, labels, is_next in loader:
            optimizer.zero_grad()
            *_, total = library._get_batch_loss_bert(
                net, loss, vocab_size, ids, segments, valid_lens, positions, weights, labels, is_next
            )
            total.backward()
            optimizer.step()
            yield len(ids)


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
            labels = torch.full_like(batch.token_ids, -100)  # positions that are not to be predicted
            labels[real.nonzero(as_tuple=True)[0], batch.pred_positions[real]] = batch.mlm_labels[real]
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


def matrix_rate(dtype=torch.bfloat16, seconds=2.0) -> float:
    """Floating-point operations a second of this machine's matrix products: the best of several large ones."""
    a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began))
    return best


def measure(steps, seconds: float) -> dict:
    """Run training steps for so long, and at least three: sentence pairs a second without the first ones, and peak memory."""
    for _ in islice(steps, WARM_UP):
        pass
    num_pairs = num_steps = taken = 0
    began = time.perf_counter()
    while taken < seconds or num_steps < 3:
        num_pairs += next(steps)
        num_steps += 1
        taken = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"pairs_per_second": num_pairs / taken, "peak_memory": peak, "steps": num_steps}


if __name__ == "__main__":
    name, seconds, changes = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}")
    if threads := changes.pop("threads", None):
        torch.set_num_threads(threads)
    if name == "matrix_rate":
        print(json.dumps({name: matrix_rate(), "fp32": matrix_rate(torch.float32)}))
    else:
        print(json.dumps(measure(globals()[name](**changes), seconds)))
