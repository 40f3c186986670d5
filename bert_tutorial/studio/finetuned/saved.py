"""Fine-tuned networks on disk, in Hugging Face's format: `transformers` reads what we write."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save

from ...cache import cache_dir, write_file
from ...finetuning.heads import FineTuned
from ...text.vocabulary import Vocab
from ..published.bert import WEIGHTS, read_bert, save_pretrained, to_transformers_names
from ..published.checkpoints import write_card
from ..published.wordpiece import read_table

KINDS = {  # what config.json calls them; the last one is no class of transformers
    "text": "BertForSequenceClassification", "tagging": "BertForTokenClassification",
    "two uses": "BertForTwoUses",
}  # fmt: skip


def save_fine_tuned(net: FineTuned, vocab: Vocab, folder: str | Path, **facts: Any) -> None:
    """Write a network with its head, and a card with facts about it; the folder is made.

    `transformers` gives the same scores with it: `BertForSequenceClassification`, or for tagging
    `BertForTokenClassification`, `.from_pretrained(folder)`; it has no head for two uses of a word.
    So does `load_fine_tuned`, for all three.
    """
    folder = Path(folder)
    save_pretrained(net.bert, vocab, folder)  # the tokenizer, and what config.json says of sizes
    names = dict(enumerate(net.names))
    config = read_table(folder / "config.json") | {"architectures": [KINDS[net.kind]]}
    config |= {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    config["bert_tutorial"] = facts
    parts = ("encoder.", "nsp.hidden.") if net.kind == "text" else ("encoder.",)
    state = {name: t for name, t in net.bert.state_dict().items() if name.startswith(parts)}
    theirs = {n: t for n, t in to_transformers_names(state).items() if n.startswith("bert.")}
    theirs |= {f"classifier.{name}": t for name, t in net.classifier.state_dict().items()}
    tensors = {n: t.to("cpu", torch.float32, copy=True).contiguous() for n, t in theirs.items()}
    with safe_open(folder / WEIGHTS, "pt") as file:
        about = file.metadata()
    write_file(folder / "config.json", json.dumps(config, indent=2).encode())
    write_file(folder / WEIGHTS, save(tensors, about))
    shown = {name: f"{x:.1%}" if isinstance(x, float) else x for name, x in facts.items()}
    about = {"labels": "; ".join(net.names), **shown}
    write_card(folder, "A small BERT, fine-tuned", "`bert_tutorial`", about)


def saved_networks() -> dict[str, Path]:
    """The folders of all that the panel has saved, by name, the newest first."""
    files = sorted((cache_dir() / "fine-tuned").glob("*/config.json"), reverse=True)
    return {file.parent.name: file.parent for file in files}


class Loaded(NamedTuple):
    """A fine-tuned network, in evaluation mode, on the CPU."""

    net: FineTuned
    vocab: Vocab
    facts: dict[str, Any]  # that were saved with it


def load_fine_tuned(folder: str | Path) -> Loaded:
    """Read what `save_fine_tuned` wrote.

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
    return Loaded(net.eval(), vocab, dict(config.get("bert_tutorial") or {}))
