"""Published BERTs: reading them from a folder in Hugging Face's format, or from its hub.

A folder holds config.json, model.safetensors, and tokenizer.json or vocab.txt. Nothing else is
opened, and nothing that could run code. The hub is asked only for a name such as
google-bert/bert-base-uncased, and never for what is a folder here.
"""

import json
import os
import re
from pathlib import Path

import torch
from torch import Tensor

from ...network.config import BERTConfig
from ...network.model import HEADS, INIT_STD, TIED, BERTModel
from ...text.vocabulary import Vocab
from .hub_files import WEIGHTS, bert_config, check_weights, read_weights
from .hub_names import from_transformers_names, missing_heads
from .wordpiece import read_json, read_vocab

FILES = ("config.json", WEIGHTS, "tokenizer.json", "vocab.txt", "tokenizer_config.json",
         "special_tokens_map.json")  # fmt: skip
_HUB_NAME = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILE_ENDINGS = (".txt", ".tokens", ".md", ".csv", ".json", ".html", ".safetensors", ".gz", ".zip")


def is_hub_name(name: str) -> bool:
    """Whether this is a name on the hub, owner/name, and no path on this computer.

    >>> is_hub_name("google-bert/bert-base-uncased"), is_hub_name("texts/my.txt")
    (True, False)
    """
    is_path = os.path.exists(name.split("/")[0]) or name.lower().endswith(_FILE_ENDINGS)
    return bool(_HUB_NAME.fullmatch(name)) and not is_path


def download(name: str) -> Path:
    """Fetch a BERT from the hub into the cache of `huggingface_hub`, or find it there.

    Args:
        name: Owner and name, such as google-bert/bert-base-uncased.

    Returns:
        Its folder.

    Raises:
        FileNotFoundError: It cannot be had; the message says why.
    """
    # Before the import, which reads it: the hub is told nothing about this computer.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except ImportError as error:
        reason = "asking its hub needs the package huggingface_hub: pip install huggingface_hub"
        raise FileNotFoundError(_not_found(name, reason)) from error
    except Exception as error:  # it raises those of several libraries
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise FileNotFoundError(_not_found(name, f"its hub does not give it: {reason}")) from error


def _not_found(name: str, reason: str) -> str:
    path = os.path.abspath(os.path.expanduser(name))[:300]
    return f"there is no BERT {name}: {reason}; if a folder was meant, there is none at {path!r}"


def read_bert(name: str | Path) -> tuple[BERTModel, Vocab, str]:
    """Read a published BERT.

    Args:
        name: A folder, or a name on the hub.

    Returns:
        The network (in evaluation mode, float32, on the CPU), its vocabulary, and a sentence that
        says which it is and what it lacks. A missing head is drawn, always alike.

    Raises:
        FileNotFoundError: There is no such folder, and no such name on the hub.
        ValueError: It cannot be read into a `BERTModel`; the message says why.
    """
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        if not is_hub_name(str(name)):
            raise FileNotFoundError(_not_found(str(name), "no name on the hub is like that"))
        folder = download(str(name))
    try:
        config = bert_config(read_json(folder / "config.json"))
        tensors, about = read_weights(folder)
        heads = missing_heads(tensors)
        check_weights(config, tensors, heads)
        counts = json.loads(about["counts"]) if "counts" in about else None
        vocab = read_vocab(folder, config.vocab_size, counts)
        net = _build(config, from_transformers_names(tensors, heads), heads)
    except ValueError as error:
        raise ValueError(f"the BERT in {name} cannot be read: {error}") from error
    unused = {n.split(".")[0] for n in tensors} - {"bert", "cls"}
    return net, vocab, _describe(str(name), net, sorted(unused))


def _build(config: BERTConfig, state: dict[str, Tensor], heads: frozenset[str]) -> BERTModel:
    """A network with these weights; those of missing heads are drawn, with a seed of their own."""
    with torch.device("meta"):  # sizes without numbers
        net = BERTModel.from_config(config)
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name not in state and name != TIED:
            state[name] = torch.full(value.shape, float(name.endswith("norm.weight")))
            if value.dim() > 1:
                state[name].normal_(std=INIT_STD, generator=generator)
    net.load_state_dict(state | {TIED: state["encoder.embeddings.token.weight"]}, assign=True)
    net.missing_heads = heads
    return net.eval()


def _describe(name: str, net: BERTModel, unused: list[str]) -> str:
    """Which network it is, and what is missing."""
    c = net.config
    sizes = f"{c.num_layers} layers, {c.num_hiddens} hidden units, {c.vocab_size:,} entries"
    missing = [f"no {HEADS[head]}" for head in HEADS if head in net.missing_heads]
    told = f"; it has {', '.join(missing)}" if missing else ""
    return f"BERT {name}: {sizes}{told}" + (f"; {', '.join(unused)} is not read" if unused else "")
