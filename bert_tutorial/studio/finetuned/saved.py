"""Fine-tuned networks on disk, in Hugging Face's format: `transformers` reads what we write."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from ...cache import write_file
from ...finetuning.heads import FineTuned
from ...text.vocabulary import Vocab
from ..published.bert import WEIGHTS, read_bert, save_pretrained, to_transformers_names
from ..published.wordpiece import read_table

KINDS = {  # what config.json calls them; the last one is no class of transformers
    "text": "BertForSequenceClassification", "tagging": "BertForTokenClassification",
    "two uses": "BertForTwoUses",
}  # fmt: skip


def save_fine_tuned(net: FineTuned, vocab: Vocab, folder: str | Path) -> None:
    """Write a network with its head, and without those of pretraining; the folder is made.

    `transformers` gives the same scores with it: `BertForSequenceClassification`, or for tagging
    `BertForTokenClassification`, `.from_pretrained(folder)`; it has no head for two uses of a word.
    So does `load_fine_tuned`, for all three.
    """
    folder = Path(folder)
    save_pretrained(net.bert, vocab, folder)  # the tokenizer, and what config.json says of sizes
    names = dict(enumerate(net.names))
    config = read_table(folder / "config.json") | {"architectures": [KINDS[net.kind]]}
    config |= {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    parts = ("encoder.", "nsp.hidden.") if net.kind == "text" else ("encoder.",)
    state = {name: t for name, t in net.bert.state_dict().items() if name.startswith(parts)}
    theirs = {n: t for n, t in to_transformers_names(state).items() if n.startswith("bert.")}
    theirs |= {f"classifier.{name}": t for name, t in net.classifier.state_dict().items()}
    tensors = {n: t.to("cpu", torch.float32, copy=True).contiguous() for n, t in theirs.items()}
    with safe_open(folder / WEIGHTS, "pt") as file:
        about = file.metadata()
    write_file(folder / "config.json", json.dumps(config, indent=2).encode())
    write_file(folder / WEIGHTS, save(tensors, about))


def load_fine_tuned(folder: str | Path) -> tuple[FineTuned, Vocab]:
    """Read what `save_fine_tuned` wrote; the network is in evaluation mode, on the CPU.

    Raises:
        ValueError: It cannot be read, or is something else; the message says what.
    """
    folder = Path(folder).expanduser()
    bert, vocab, _ = read_bert(folder)
    config, head = read_table(folder / "config.json"), {}
    with safe_open(folder / WEIGHTS, "pt") as file:
        for name in {"classifier.weight", "classifier.bias"} & {*file.keys()}:
            head[name.partition(".")[2]] = file.get_tensor(name).float().clone()
    names, written = [*dict(config.get("id2label") or {}).values()], config.get("architectures")
    kinds = [kind for kind, name in KINDS.items() if name in (written or [])]
    if len(head) < 2 or not kinds or len(names) != len(head["bias"]):
        must = f"must be {' or '.join(KINDS.values())}, with a name for each label in id2label"
        raise ValueError(f"the BERT in {folder} was not fine-tuned: its architectures {must}")
    net = FineTuned(bert, names, kinds[0])
    net.classifier.load_state_dict(head)
    return net.eval(), vocab
