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

from bert_tutorial import (
    BERTModel,
    Settings,
    baselines,
    evaluate,
    get_bert_encoding,
    load_data_wiki,
    train_steps,
)
from bert_tutorial.devices import machine

GOLDEN = Path(__file__).with_name("golden.json")
# As it was when the losses were recorded.
PLAIN = dict(word_neighbours=False)
TRAININGS = {
    "d2l's sizes": (
        dict(batch_size=64, max_len=64),
        dict(dropout=0.2),
        dict(num_steps=6, precision="fp32", **PLAIN),
    ),
    "one minute's recipe": (
        dict(
            batch_size=32,
            max_len=64,
            mask_rate=0.4,
            sentences_per_segment=2,
            next_sentence_rate=1.0,
            seed=1,
        ),
        dict(dropout=0.1),
        dict(num_steps=6, precision="bf16", seed=1, **PLAIN),
    ),
}


def hash_of(batches) -> str:
    """One hash of all numbers in some batches."""
    found = hashlib.sha256()
    for batch in batches:
        for field in batch:
            found.update(field.contiguous().numpy().tobytes())
    return found.hexdigest()


def measure(examples: dict, sizes: dict, recipe: dict) -> dict:
    """A short training from nothing, and what can be told of it."""
    train_iter, vocab = load_data_wiki(**examples)
    net = BERTModel(len(vocab), **sizes)
    net.reset(torch.Generator().manual_seed(0))
    steps = list(train_steps(net, train_iter, Settings(**recipe)))
    vectors = get_bert_encoding(
        net, vocab, ["a", "crane", "driver", "came"], ["he", "just", "left"]
    )
    return {
        "batches": hash_of(
            [train_iter.batch(0, 0), train_iter.batch(3, 2), train_iter.valid.batch(0, 1)]
        ),
        "losses": [[step.mlm_loss, step.nsp_loss] for step in steps],
        "learning rates": [step.learning_rate for step in steps],
        "held out": list(evaluate(net, train_iter.valid, num_batches=2)),
        "without context": list(baselines(train_iter)[:4]),
        "crane": vectors[0, 2, :8].tolist(),
    }


@pytest.mark.parametrize("name", TRAININGS)
def test_nothing_has_changed(name):
    golden = json.loads(GOLDEN.read_text("utf-8"))
    wanted, found = golden["trainings"][name], measure(*TRAININGS[name])
    assert found["batches"] == wanted["batches"]
    if golden["machine"] == machine(torch.device("cpu")):
        assert found == wanted
    for figure in wanted.keys() - {"batches"}:
        torch.testing.assert_close(
            torch.tensor(found[figure]),
            torch.tensor(wanted[figure]),
            rtol=1e-3,
            atol=5e-3,
            msg=figure,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainings = {name: measure(*training) for name, training in TRAININGS.items()}
    GOLDEN.write_text(
        json.dumps({"machine": machine(torch.device("cpu")), "trainings": trainings}, indent=1)
        + "\n"
    )
