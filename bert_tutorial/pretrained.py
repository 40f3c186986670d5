"""Weights: saving and loading our own, and reading those of published BERTs."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .corpus import cache_dir
from .model import BERTConfig, BERTModel
from .vocabulary import Vocab

SHIPPED = Path(__file__).parent / "data" / "checkpoints"
TIED = "mlm.weight"  # the same tensor as the token embedding; written once


def save_checkpoint(path, net: BERTModel, vocab: Vocab, dtype: torch.dtype = torch.float32, **card: str) -> None:
    """Write a network and its vocabulary to one safetensors file; an interrupted writing leaves the old file whole.

    Args:
        path: Where to.
        net, vocab: What.
        dtype: torch.float16 for half the size.
        **card: Anything else worth knowing, as strings.
    """
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in net.state_dict().items() if name != TIED}
    about = {"config": vars(net.config), "itos": vocab.itos, "counts": vocab.counts, "card": card}
    write_safetensors(path, tensors, about)


def write_safetensors(path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors and, as JSON, what there is to know about them; an interrupted writing leaves the old file whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata={name: json.dumps(value) for name, value in about.items()})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path) -> tuple[BERTModel, Vocab]:
    """Read a network (in evaluation mode, float32, on the CPU) and its vocabulary from a file of `save_checkpoint`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, "pt") as file:
            about = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
        net = BERTModel.from_config(BERTConfig(**about["config"]))
        net.load_state_dict(tensors | {TIED: tensors["encoder.embeddings.token.weight"]})
        return net.eval(), Vocab.from_counts(about["itos"], about["counts"])
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of bert_tutorial, at least not of this version ({str(error).splitlines()[0]}): "
            "train that network again, or choose another file"
        ) from error


def fresh_path(corpus) -> Path:
    """Where notebook 02 keeps the network it has trained, for notebook 03."""
    name = str(corpus)
    if name not in ("bundled", "wikitext-2"):  # a file: its name, and enough of its path to tell it from its namesakes
        path = Path(name).expanduser().resolve()
        name = f"{path.stem}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    return cache_dir() / "fresh" / f"{name}.safetensors"


def load_pretrained(corpus="bundled") -> tuple[BERTModel, Vocab, str]:
    """The freshest network for a corpus: the one trained last in notebook 02, else the one that comes with the package.

    Returns:
        Network, vocabulary, and a sentence that says which it is.
    """
    fresh, shipped = fresh_path(corpus), SHIPPED / f"{corpus}.safetensors"
    for path, where in ((fresh, "trained in notebook 02"), (shipped, "that comes with the package")):
        if path.is_file():
            net, vocab = load_checkpoint(path)
            return net, vocab, f"network {where}, corpus {corpus}"
    raise FileNotFoundError(
        f"there is no trained network for the corpus {str(corpus)!r} yet: run notebook 02 with it first"
    )


def from_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `transformers.BertForPreTraining` under the names of `BERTModel`.

    Key and value become one matrix, and the two outputs of the next-sentence head change places: there 0 means "is
    next", here, as in the document, 1 does.
    """
    ours = {
        "encoder.embeddings.token.weight": state["bert.embeddings.word_embeddings.weight"],
        "encoder.embeddings.segment.weight": state["bert.embeddings.token_type_embeddings.weight"],
        "encoder.embeddings.position.weight": state["bert.embeddings.position_embeddings.weight"],
        TIED: state["bert.embeddings.word_embeddings.weight"],
        "mlm.bias": state["cls.predictions.bias"],
        "nsp.output.weight": state["cls.seq_relationship.weight"].flip(0),
        "nsp.output.bias": state["cls.seq_relationship.bias"].flip(0),
    }
    modules = {
        "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
        "mlm.transform": "cls.predictions.transform.dense",
        "mlm.norm": "cls.predictions.transform.LayerNorm",
        "nsp.hidden": "bert.pooler.dense",
    }
    layer = 0
    while f"bert.encoder.layer.{layer}.output.dense.weight" in state:
        theirs, block = f"bert.encoder.layer.{layer}", f"encoder.blocks.{layer}"
        for kind in ("weight", "bias"):
            query, *others = (state[f"{theirs}.attention.self.{name}.{kind}"] for name in ("query", "key", "value"))
            ours[f"{block}.attention.query.{kind}"] = query
            ours[f"{block}.attention.key_value.{kind}"] = torch.cat(others)
        modules |= {
            f"{block}.attention.output": f"{theirs}.attention.output.dense",
            f"{block}.attention_norm": f"{theirs}.attention.output.LayerNorm",
            f"{block}.expand": f"{theirs}.intermediate.dense",
            f"{block}.contract": f"{theirs}.output.dense",
            f"{block}.ffn_norm": f"{theirs}.output.LayerNorm",
        }
        layer += 1
    for name, other in modules.items():
        for kind in ("weight", "bias"):
            ours[f"{name}.{kind}"] = state[f"{other}.{kind}"]
    return ours
