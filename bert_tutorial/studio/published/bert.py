"""Published BERTs in Hugging Face's format: read from a folder or the hub, and written.

A folder holds config.json, model.safetensors, and tokenizer.json or vocab.txt. Nothing else is
opened, and nothing that could run code. The hub is asked only for a name such as
google-bert/bert-base-uncased, and never for what is a folder here.
"""

import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ...cache import write_file
from ...network.config import BERTConfig
from ...network.encoder import LAYER_NORM_EPS
from ...network.model import HEADS, INIT_STD, BERTModel, check_vocab
from ...text.vocabulary import Vocab
from .wordpiece import SPECIAL_NAMES, WordPieceVocab, read_json, read_vocab, word_level_tokenizer

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "vocab.txt", "tokenizer_config.json",
         "special_tokens_map.json")  # fmt: skip
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
# Parts of the names of weights, to be replaced in this order: ours, and those of
# transformers.BertForPreTraining.
NAMES = (
    ("encoder.embeddings.token.", "bert.embeddings.word_embeddings."),
    ("encoder.embeddings.segment.", "bert.embeddings.token_type_embeddings."),
    ("encoder.embeddings.position.", "bert.embeddings.position_embeddings."),
    ("encoder.embeddings.norm.", "bert.embeddings.LayerNorm."),
    ("encoder.blocks.", "bert.encoder.layer."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),  # key and value are one matrix here
    (".attention.value.", ".attention.self.value."),
    (".attention.output.", ".attention.output.dense."),
    (".attention_norm.", ".attention.output.LayerNorm."),
    (".expand.", ".intermediate.dense."),
    (".contract.", ".output.dense."),
    (".ffn_norm.", ".output.LayerNorm."),
    ("mlm.transform.", "cls.predictions.transform.dense."),
    ("mlm.norm.", "cls.predictions.transform.LayerNorm."),
    ("mlm.weight", "cls.predictions.decoder.weight"),  # a second name of the word vectors
    ("mlm.bias", "cls.predictions.bias"),
    ("mlm.bias", "cls.predictions.decoder.bias"),
    ("nsp.hidden.", "bert.pooler.dense."),
    ("nsp.output.", "cls.seq_relationship."),  # there 0 means "is next"; here, as in d2l, 1 does
)
# How the names of each head's weights begin, here.
PREFIXES = {"mlm": "mlm.", "nsp": "nsp.output.", "pooler": "nsp.hidden."}
_HUB_NAME = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILE_ENDINGS = (".txt", ".tokens", ".md", ".csv", ".json", ".html", ".safetensors", ".gz", ".zip")


def from_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `transformers.BertForPreTraining` under the names of `BERTModel`.

    Old files call a norm's weights gamma and beta; a network without heads has no prefix `bert.`.
    A name that `transformers` has not stays.

    Raises:
        ValueError: A weight is there twice, with different values.
    """
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        plain = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", name)
        plain = plain.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")
        for our, theirs in NAMES:
            plain = plain.replace(theirs, our)
        value = value.flip(0) if plain.startswith("nsp.output.") else value
        first = ours.setdefault(plain, value)
        if first is not value and not torch.equal(first, value):
            raise ValueError(f"its {name} has another value under another name")
    for key in [name for name in ours if ".key." in name]:
        value = key.replace(".key.", ".value.")
        if value in ours:
            ours[key.replace(".key.", ".key_value.")] = torch.cat([ours.pop(key), ours.pop(value)])
    ours.pop("bert.embeddings.position_ids", None)  # a constant
    return ours


def to_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `from_transformers_names` makes into the weights of a `BERTModel`."""
    theirs = {}
    for name, value in state.items():
        value = value.flip(0) if name.startswith("nsp.output.") else value
        parts = {name: value}
        if ".key_value." in name:
            halves = zip((".key.", ".value."), value.chunk(2), strict=True)
            parts = {name.replace(".key_value.", part): half for part, half in halves}
        for new, part in parts.items():
            for our, their in NAMES:
                new = new.replace(our, their)
            theirs[new] = part
    return theirs


def network_of(config: BERTConfig, state: dict[str, Tensor]) -> BERTModel:
    """A network with the weights of a file; those of missing heads are drawn, always alike.

    Sizes are compared before anything of a size that a file only claims is built.

    Raises:
        ValueError: A weight is missing, superfluous, of another size, or no number.
    """
    weights = {name: value.float() for name, value in state.items()}
    for name, value in weights.items():
        if not state[name].is_floating_point() or not value.isfinite().all():
            raise ValueError(f"its {name} holds what is no number")
    held = len({name.split(".")[2] for name in state if name.startswith("encoder.blocks.")})
    if held != config.num_layers:
        raise ValueError(f"it claims {config.num_layers} layers, but holds {held}")
    try:
        with torch.device("meta"):  # sizes without numbers
            net = BERTModel.from_config(config)
        missing, superfluous = net.load_state_dict(weights, strict=False, assign=True)
    except (RuntimeError, TypeError) as error:  # TypeError where a size is beyond 64 bits
        said = str(error).partition("for BERTModel:")[2] or str(error)
        reason = said.strip().splitlines()[0]
        raise ValueError(f"its weights do not fit the sizes it claims ({reason})") from error
    absent = {head for head in PREFIXES if not any(n.startswith(PREFIXES[head]) for n in state)}
    net.missing_heads = frozenset(absent | ({"nsp"} if "pooler" in absent else set()))
    drawn = tuple(PREFIXES[head] for head in net.missing_heads)
    lacking = [name for name in missing if not name.startswith(drawn)]
    if lacking or superfluous:
        wrong = f"{lacking[0]} is missing" if lacking else f"there is no {superfluous[0]} in ours"
        raise ValueError(f"its weights are not those of a BERTModel: {wrong}")
    generator = torch.Generator().manual_seed(0)
    for name in missing:
        size = net.get_parameter(name).shape
        weights[name] = torch.full(size, float(name.endswith("norm.weight")))
        if len(size) > 1:
            weights[name].normal_(std=INIT_STD, generator=generator)
    if missing:
        net.load_state_dict(weights, assign=True)
    return net.eval()


def is_hub_name(name: str) -> bool:
    """Whether this is a name on the hub, owner/name, and no path on this computer.

    >>> is_hub_name("google-bert/bert-base-uncased"), is_hub_name("texts/my.txt")
    (True, False)
    """
    is_path = os.path.exists(name.split("/")[0]) or name.lower().endswith(_FILE_ENDINGS)
    return bool(_HUB_NAME.fullmatch(name)) and not is_path


def _download(name: str) -> Path:
    """Fetch a BERT from the hub into the cache of `huggingface_hub`, or find it there."""
    reason = "no name on the hub is like that"
    if is_hub_name(name):
        # Before the import, which reads it: the hub is told nothing about this computer.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            from huggingface_hub import snapshot_download

            return Path(snapshot_download(name, allow_patterns=list(FILES)))
        except ImportError:
            reason = "asking its hub needs the package huggingface_hub: pip install huggingface_hub"
        except Exception as error:  # it raises those of several libraries
            said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            reason = f"its hub does not give it: {said}"
    path = os.path.abspath(os.path.expanduser(name))[:300]
    raise FileNotFoundError(
        f"there is no BERT {name}: {reason}; if a folder was meant, there is none at {path!r}"
    )


def read_bert(name: str | Path) -> tuple[BERTModel, Vocab, str]:
    """Read a published BERT.

    Args:
        name: A folder, or a name on the hub.

    Returns:
        The network (in evaluation mode, float32, on the CPU), its vocabulary, and a sentence that
        says which it is and what it lacks.

    Raises:
        FileNotFoundError: There is no such folder, and no such name on the hub.
        ValueError: It cannot be read into a `BERTModel`; the message says why.
    """
    folder = Path(os.path.expanduser(name))
    folder = folder if os.path.isdir(folder) else _download(str(name))
    try:
        said = read_json(folder / "config.json")
        for setting, ours in FIXED.items():
            if said.get(setting) not in (None, ours):
                raise ValueError(f"its {setting} is {said[setting]!r}, but BERTModel has {ours!r}")
        sizes = {ours: said.get(theirs) for ours, theirs in SIZES.items()}
        # Of the two dropout rates ours is the one of the hidden units.
        config = BERTConfig(**sizes, dropout=said.get("hidden_dropout_prob", 0.1))
        tensors, about = _read_weights(folder)
        state = from_transformers_names(tensors)
        unused = {n.split(".")[0] for n in state} - {"encoder", "mlm", "nsp", "bert"}
        net = network_of(config, {n: t for n, t in state.items() if n.split(".")[0] not in unused})
        vocab = read_vocab(folder, config.vocab_size, json.loads(about.get("counts", "null")))
    except ValueError as error:
        raise ValueError(f"the BERT in {name} cannot be read: {error}") from error
    told = f"BERT {name}: {config.num_layers} layers, {config.num_hiddens} hidden units"
    told += f", {config.vocab_size:,} entries"
    missing = [f"no {HEADS[head]}" for head in HEADS if head in net.missing_heads]
    told += f"; it has {', '.join(missing)}" if missing else ""
    told += f"; {', '.join(sorted(unused))} is not read" if unused else ""
    return net, vocab, told


def _read_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights, and what else their file says. What could run code, a pickle, is not opened."""
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".h5"))
        found = f" ({', '.join(others)} is not read)" if others else ""
        raise ValueError(
            f"its weights must be in one file {WEIGHTS}, which can run no code, but there is none"
            f"{found}; transformers' save_pretrained writes it"
        )
    try:
        with safe_open(path, "pt") as file:
            # Cloned, because the tensors of an open file are views of it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"its {WEIGHTS} cannot be read ({error})") from error


def save_pretrained(net: BERTModel, vocab: Vocab, folder: str | Path) -> None:
    """Write a network and its vocabulary in Hugging Face's format; the folder is made if missing.

    `transformers` reads the folder: `BertForPreTraining.from_pretrained(folder)` and
    `AutoTokenizer.from_pretrained(folder)`. So does `load_pretrained`.

    Raises:
        OSError: A file cannot be written; the message names it, and the cause.
        ValueError: Network and vocabulary do not belong together.
    """
    net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
    check_vocab(net, vocab)
    is_pieces = isinstance(vocab, WordPieceVocab)
    tokenizer = vocab.tokenizer if is_pieces else word_level_tokenizer(vocab)
    name = "BertForMaskedLM" if "nsp" in net.missing_heads else "BertForPreTraining"
    config = {
        "architectures": ["BertModel" if "mlm" in net.missing_heads else name],
        **FIXED,
        **{theirs: getattr(net.config, ours) for ours, theirs in SIZES.items()},
        "hidden_dropout_prob": net.config.dropout,
        "attention_probs_dropout_prob": net.config.dropout,
        "pad_token_id": vocab.pad_id,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": net.config.max_len,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **dict(zip(SPECIAL_NAMES, vocab.to_tokens(vocab.special_ids), strict=True)),
    }
    absent = tuple(PREFIXES[head] for head in net.missing_heads)
    state = {n: t for n, t in net.state_dict().items() if not n.startswith(absent)}
    # Copied, because parts of one tensor cannot be written.
    tensors = {
        name: value.to("cpu", torch.float32, copy=True).contiguous()
        for name, value in to_transformers_names(state).items()
    }
    about = {"format": "pt"} | ({} if is_pieces else {"counts": json.dumps(vocab.counts)})
    contents = {
        "config.json": json.dumps(config, indent=2).encode(),
        "tokenizer_config.json": json.dumps(settings, indent=2).encode(),
        "tokenizer.json": tokenizer.to_str(pretty=True).encode(),
        WEIGHTS: save(tensors, about),
    }
    for name, content in contents.items():
        write_file(Path(folder) / name, content)
