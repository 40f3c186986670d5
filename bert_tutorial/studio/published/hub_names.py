"""What each weight of a BERT is called here, and in `transformers`."""

from collections.abc import Collection

import torch
from torch import Tensor

from ...network.model import TIED

TABLE = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"  # there a second name of the table
# There 0 means "is next", here, as in d2l, 1 does.
FLIPPED = ("nsp.output.weight", "nsp.output.bias")
# How the names of each head's weights begin, here.
PREFIXES = {"mlm": "mlm.", "nsp": "nsp.output.", "pooler": "nsp.hidden."}
_OLD = {".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"}


def weight_names(num_layers: int, missing_heads: Collection[str] = ()) -> dict[str, list[str]]:
    """For each of our weights the names of those of `transformers`' that it consists of.

    Most consist of one. Key and value are one matrix here.

    Args:
        num_layers: Encoder blocks.
        missing_heads: Those of "mlm", "nsp" and "pooler" to leave out.
    """
    modules = {
        "encoder.embeddings.norm": ["bert.embeddings.LayerNorm"],
        "mlm.transform": ["cls.predictions.transform.dense"],
        "mlm.norm": ["cls.predictions.transform.LayerNorm"],
        "nsp.hidden": ["bert.pooler.dense"],
        "nsp.output": ["cls.seq_relationship"],
    }
    for layer in range(num_layers):
        block, theirs = f"encoder.blocks.{layer}", f"bert.encoder.layer.{layer}"
        attention = f"{theirs}.attention.self"
        modules |= {
            f"{block}.attention.query": [f"{attention}.query"],
            f"{block}.attention.key_value": [f"{attention}.key", f"{attention}.value"],
            f"{block}.attention.output": [f"{theirs}.attention.output.dense"],
            f"{block}.attention_norm": [f"{theirs}.attention.output.LayerNorm"],
            f"{block}.expand": [f"{theirs}.intermediate.dense"],
            f"{block}.contract": [f"{theirs}.output.dense"],
            f"{block}.ffn_norm": [f"{theirs}.output.LayerNorm"],
        }
    names = {
        "encoder.embeddings.token.weight": [TABLE],
        "encoder.embeddings.segment.weight": ["bert.embeddings.token_type_embeddings.weight"],
        "encoder.embeddings.position.weight": ["bert.embeddings.position_embeddings.weight"],
        TIED: [TABLE],
        "mlm.bias": ["cls.predictions.bias"],
    }
    for name, others in modules.items():
        for kind in ("weight", "bias"):
            names[f"{name}.{kind}"] = [f"{other}.{kind}" for other in others]
    absent = tuple(PREFIXES[head] for head in missing_heads)
    return {name: others for name, others in names.items() if not name.startswith(absent)}


def plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names that `transformers.BertForPreTraining` gives them.

    A network without heads has no prefix `bert.`; old files call a norm's weights gamma and beta.
    """
    plain = {}
    for name, value in state.items():
        for old, new in _OLD.items():
            name = name.replace(old, new)
        if name.startswith(("embeddings.", "encoder.", "pooler.")):
            name = f"bert.{name}"
        plain[name] = value
    if "cls.predictions.decoder.bias" in plain:
        plain.setdefault("cls.predictions.bias", plain["cls.predictions.decoder.bias"])
    return plain


def missing_heads(names: Collection[str]) -> frozenset[str]:
    """Which of the heads have no weight at all among these plain names."""
    heads = {"mlm": "cls.predictions.", "nsp": "cls.seq_relationship.", "pooler": "bert.pooler."}
    missing = {
        head for head, prefix in heads.items() if not any(name.startswith(prefix) for name in names)
    }
    return frozenset(missing | ({"nsp"} if "pooler" in missing else set()))


def from_transformers_names(
    state: dict[str, Tensor], missing_heads: Collection[str] = ()
) -> dict[str, Tensor]:
    """Weights of `transformers.BertForPreTraining` under the names of `BERTModel`.

    Args:
        state: `state_dict()` of such a network.
        missing_heads: What it lacks.

    Returns:
        What `BERTModel.load_state_dict` takes, but for the missing heads.

    Raises:
        KeyError: A weight is missing.
    """
    plain = plain_names(state)
    layers = {name.split(".")[3] for name in plain if name.startswith("bert.encoder.layer.")}
    ours = {}
    for name, others in weight_names(len(layers), missing_heads).items():
        parts = [plain[other] for other in others]
        ours[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
        if name in FLIPPED:
            ours[name] = ours[name].flip(0)
    return ours


def to_transformers_names(
    state: dict[str, Tensor], missing_heads: Collection[str] = ()
) -> dict[str, Tensor]:
    """Weights of `BERTModel` under the names of `transformers.BertForPreTraining`.

    Args:
        state: `state_dict()` of such a network.
        missing_heads: What to leave out.

    Returns:
        What `from_transformers_names` takes. The table of token embeddings is there once.
    """
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.blocks.")}
    theirs = {}
    for name, others in weight_names(len(layers), missing_heads).items():
        value = state[name].flip(0) if name in FLIPPED else state[name]
        theirs |= zip(others, value.chunk(len(others)), strict=True)
    return theirs
