"""Networks of ours for other programs: the files that `transformers` reads."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from ...cache import write_file
from ...network.model import BERTModel, check_vocab
from ...text.vocabulary import Vocab
from .hub_files import FIXED, SIZES, WEIGHTS
from .hub_names import to_transformers_names
from .word_level import word_level_tokenizer
from .wordpiece import SPECIAL_NAMES, WordPieceVocab


def save_pretrained(net: BERTModel, vocab: Vocab, folder: str | Path) -> None:
    """Write a network and its vocabulary in Hugging Face's format.

    `transformers` reads the folder: `BertForPreTraining.from_pretrained(folder)` and
    `AutoTokenizer.from_pretrained(folder)`. So does `load_pretrained`.

    Args:
        net, vocab: What to save.
        folder: Where to; it is made where it is missing.

    Raises:
        OSError: A file cannot be written; the message names it, and the cause.
        ValueError: Network and vocabulary do not belong together.
    """
    net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
    check_vocab(net, vocab)
    is_pieces = isinstance(vocab, WordPieceVocab)
    tokenizer = vocab.to_json() if is_pieces else word_level_tokenizer(vocab).to_str(pretty=True)
    special = dict(zip(SPECIAL_NAMES, vocab.to_tokens(vocab.special_ids), strict=True))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": net.config.max_len,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **special,
    }
    state = to_transformers_names(net.state_dict(), net.missing_heads)
    # Cloned, because parts of one tensor cannot be written.
    tensors = {
        name: t.to("cpu", torch.float32, copy=True).contiguous() for name, t in state.items()
    }
    about = {"format": "pt"} | ({} if is_pieces else {"counts": json.dumps(vocab.counts)})
    files = {
        "config.json": _config(net, vocab),
        "tokenizer_config.json": settings,
        "special_tokens_map.json": special,
    }
    texts = {name: json.dumps(value, indent=2) for name, value in files.items()}
    for name, text in (texts | {"tokenizer.json": tokenizer}).items():
        write_file(Path(folder) / name, text.encode())
    write_file(Path(folder) / WEIGHTS, save(tensors, about))


def _config(net: BERTModel, vocab: Vocab) -> dict[str, Any]:
    """What config.json says of a network."""
    name = "BertForMaskedLM" if "nsp" in net.missing_heads else "BertForPreTraining"
    return {
        "architectures": ["BertModel" if "mlm" in net.missing_heads else name],
        **FIXED,
        **{theirs: getattr(net.config, ours) for ours, theirs in SIZES.items()},
        "hidden_dropout_prob": net.config.dropout,
        "attention_probs_dropout_prob": net.config.dropout,
        "pad_token_id": vocab.pad_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
