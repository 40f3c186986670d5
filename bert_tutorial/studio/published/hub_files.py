"""The files of a published BERT, and whether `BERTModel` can be what they describe.

Messages begin with "its", for `read_bert` says whose.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...network.config import BERTConfig
from ...network.encoder import LAYER_NORM_EPS
from ...network.model import BERTModel
from .hub_names import DECODER, TABLE, plain_names, weight_names

WEIGHTS = "model.safetensors"
# What BERTModel has one of: config.json must say the same, or nothing.
FIXED = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute",
    "layer_norm_eps": LAYER_NORM_EPS, "type_vocab_size": 2, "is_decoder": False,
}  # fmt: skip
# Our names of the sizes, and config.json's.
SIZES = {
    "vocab_size": "vocab_size", "num_hiddens": "hidden_size",
    "ffn_num_hiddens": "intermediate_size", "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers", "max_len": "max_position_embeddings",
}  # fmt: skip


def bert_config(said: dict[str, Any]) -> BERTConfig:
    """The sizes in a config.json.

    There are two dropout rates in it. Ours is the one of the hidden units; it matters in training
    only.

    Raises:
        ValueError: A BERT that `BERTModel` cannot be, or a size that is missing or wrong.
    """
    for name, ours in FIXED.items():
        if said.get(name) not in (None, ours):
            raise ValueError(f"its {name} is {said[name]!r}, but BERTModel has {ours!r} only")
    absent = [theirs for theirs in SIZES.values() if theirs not in said]
    if absent:
        raise ValueError(f"its config.json does not say {', '.join(absent)}")
    sizes = {ours: said[theirs] for ours, theirs in SIZES.items()}
    dropout = said.get("hidden_dropout_prob", 0.1)
    if not isinstance(dropout, int | float):
        raise ValueError(f"its hidden_dropout_prob is {dropout!r}, but must be a number")
    return BERTConfig(**sizes, dropout=dropout)


def read_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read model.safetensors.

    Returns:
        The weights under plain names, in float32, and what else the file says.

    Raises:
        ValueError: It is missing or damaged. What could run code, a pickle, is not opened.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".h5"))
        cut = [WEIGHTS + ".index.json"] if (folder / f"{WEIGHTS}.index.json").is_file() else []
        found = f" ({', '.join([*others, *cut])} is not read)" if others or cut else ""
        raise ValueError(
            f"its weights must be in one file {WEIGHTS}, which can run no code, but there is none"
            f"{found}; transformers' save_pretrained writes it"
        )
    try:
        with safe_open(path, "pt") as file:
            # Cloned, because the tensors of an open file are views of it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
            about = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"its {WEIGHTS} cannot be read ({reason})") from error
    plain = plain_names({name: value.float() for name, value in tensors.items()})
    plain.pop("bert.embeddings.position_ids", None)  # a constant
    return plain, about


def check_weights(config: BERTConfig, tensors: dict[str, Tensor], heads: frozenset[str]) -> None:
    """Compare a file's weights with the sizes, before a network of these sizes is built.

    Raises:
        ValueError: They differ, or a weight is missing, superfluous, or no number.
    """
    layers = {name.split(".")[3] for name in tensors if name.startswith("bert.encoder.layer.")}
    if len(layers) != config.num_layers:
        raise ValueError(f"it claims {config.num_layers} layers, but holds {len(layers)}")
    names = weight_names(config.num_layers, heads)
    known = [theirs for others in names.values() for theirs in others]
    absent = [name for name in known if name not in tensors]
    if absent:
        more = f", and {len(absent) - 1} more" if absent[1:] else ""
        raise ValueError(f"its weight {absent[0]} is missing{more}")
    superfluous = {name for name in tensors if name.startswith("bert.")}.difference(known)
    if superfluous:
        raise ValueError(f"BERTModel has no weight such as its {min(superfluous)}")
    if DECODER in tensors and not torch.equal(tensors[DECODER], tensors[TABLE]):
        raise ValueError(
            f"its {DECODER} differs from its token embeddings, but BERTModel has one table for both"
        )
    with torch.device("meta"):  # sizes without numbers
        wanted = {n: t.shape for n, t in BERTModel.from_config(config).state_dict().items()}
    for name, others in names.items():
        rows, *columns = wanted[name]
        for theirs in others:
            held, part = tuple(tensors[theirs].shape), (rows // len(others), *columns)
            if held != part:
                raise ValueError(f"its {theirs} has the shape {held}, but config.json says {part}")
    broken = [name for name in known if not tensors[name].isfinite().all()]
    if broken:
        raise ValueError(f"its {broken[0]} holds what is no number")
