"""Golden losses: a change of the code that is not meant to change what is learned leaves every
number here as it is.

`golden.json` holds batches (by hash), losses, held-out losses and vectors of two short trainings.
On the machine that recorded them they must be the same bit for bit, elsewhere to three digits:
processors round sums differently. After a change that is meant, `python tests/test_golden.py`
records them anew.
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch

import bert_tutorial as bert
from bert_tutorial.devices import machine

GOLDEN = Path(__file__).with_name("golden.json")
PLAIN = dict(num_steps=6, word_neighbours=False)  # as it was when the losses were recorded
ONE_MINUTE = dict(mask_rate=0.4, sentences_per_segment=2, next_sentence_rate=1.0, seed=1)
TRAININGS = {  # examples, sizes, settings
    "d2l's sizes": (dict(batch_size=64), dict(dropout=0.2), dict(precision="fp32")),
    "one minute's recipe": (
        dict(batch_size=32, **ONE_MINUTE), dict(dropout=0.1), dict(precision="bf16", seed=1),
    ),
}  # fmt: skip


def measure(examples: dict, sizes: dict, settings: dict) -> dict:
    """A short training from nothing, and what can be told of it."""
    train_iter, vocab = bert.load_data_wiki(max_len=64, corpus="encyclopaedia", **examples)
    hashed, valid = hashlib.sha256(), train_iter.valid
    for batch in (train_iter.batch(0, 0), train_iter.batch(3, 2), valid.batch(0, 1)):
        for field in batch:
            hashed.update(field.contiguous().numpy().tobytes())
    net = bert.BERTModel(len(vocab), **sizes)
    net.reset(torch.Generator().manual_seed(0))
    steps = list(bert.train_steps(net, train_iter, bert.Settings(**PLAIN, **settings)))
    pair = ["a", "crane", "driver", "came"], ["he", "just", "left"]
    return {
        "batches": hashed.hexdigest(),
        "losses": [[step.mlm_loss, step.nsp_loss] for step in steps],
        "learning rates": [step.learning_rate for step in steps],
        "held out": list(bert.evaluate(net, valid, num_batches=2)),
        "without context": list(bert.baselines(train_iter)[:4]),
        "crane": bert.get_bert_encoding(net, vocab, *pair)[0, 2, :8].tolist(),
    }


@pytest.mark.parametrize("name", TRAININGS)
def test_nothing_has_changed(name):
    golden = json.loads(GOLDEN.read_text("utf-8"))
    wanted, found = golden["trainings"][name], measure(*TRAININGS[name])
    if golden["machine"] == machine(torch.device("cpu")):
        assert found == wanted
    assert found.pop("batches") == wanted.pop("batches")
    for figure, values in wanted.items():
        one, other = torch.tensor(found[figure]), torch.tensor(values)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-3, msg=figure)


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainings = {name: measure(*training) for name, training in TRAININGS.items()}
    golden = {"machine": machine(torch.device("cpu")), "trainings": trainings}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
