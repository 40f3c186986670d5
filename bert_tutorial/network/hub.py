"""Weights of published BERTs."""

import torch
from torch import Tensor

from .checkpoints import TIED


def from_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `transformers.BertForPreTraining` under the names of `BERTModel`.

    Key and value become one matrix, and the two outputs of the next-sentence head change places:
    there 0 means "is next", here, as in d2l, 1 does.

    Args:
        state: `state_dict()` of such a network.

    Returns:
        What `BERTModel.load_state_dict` takes.

    Raises:
        KeyError: A weight is missing.
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
            query, *others = (
                state[f"{theirs}.attention.self.{name}.{kind}"]
                for name in ("query", "key", "value")
            )
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
