"""Published BERTs in Hugging Face's format: read from a folder or the hub, and written.

Nothing is opened that could run code. The hub is asked only for a name such as
google-bert/bert-base-uncased, and never for what is a folder here.
"""

import json
import os
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from ...cache import write_file
from ...network.config import BERTConfig
from ...network.encoder import LAYER_NORM_EPS
from ...network.model import HEADS, INIT_STD, BERTModel, check_vocab
from ...text.vocabulary import Vocab
from .wordpiece import SPECIAL_NAMES, check_file, read_table, read_vocab, word_level_tokenizer

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "vocab.txt", "tokenizer_config.json")
FILES += ("added_tokens.json",)
# What BERTModel has one of: config.json must say the same, or nothing.
FIXED = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute",
    "layer_norm_eps": LAYER_NORM_EPS, "type_vocab_size": 2, "is_decoder": False,
    "tie_word_embeddings": True,
}  # fmt: skip
# Our names of the sizes, and config.json's.
SIZES = {
    "vocab_size": "vocab_size", "num_hiddens": "hidden_size",
    "ffn_num_hiddens": "intermediate_size", "num_heads": "num_attention_heads",
    "num_layers": "num_hidden_layers", "max_len": "max_position_embeddings",
}  # fmt: skip
# Parts of the names of weights, to be replaced in this order: ours, and BertForPreTraining's.
NAMES = (
    ("encoder.embeddings.token.", "bert.embeddings.word_embeddings."),
    ("encoder.embeddings.segment.", "bert.embeddings.token_type_embeddings."),
    ("encoder.embeddings.position.", "bert.embeddings.position_embeddings."),
    ("encoder.embeddings.norm.", "bert.embeddings.LayerNorm."),
    ("encoder.blocks.", "bert.encoder.layer."), (".attention.query.", ".attention.self.query."),
    # Key and value are one matrix here.
    (".attention.key.", ".attention.self.key."), (".attention.value.", ".attention.self.value."),
    (".attention.output.", ".attention.output.dense."),
    (".attention_norm.", ".attention.output.LayerNorm."), (".expand.", ".intermediate.dense."),
    (".contract.", ".output.dense."), (".ffn_norm.", ".output.LayerNorm."),
    ("mlm.transform.", "cls.predictions.transform.dense."),
    ("mlm.norm.", "cls.predictions.transform.LayerNorm."), ("mlm.bias", "cls.predictions.bias"),
    # Second names.
    ("mlm.bias", "cls.predictions.decoder.bias"),
    ("encoder.embeddings.token.weight", "cls.predictions.decoder.weight"),
    # There 0 means "is next"; here, as in d2l, 1 does.
    ("nsp.hidden.", "bert.pooler.dense."), ("nsp.output.", "cls.seq_relationship."),
)  # fmt: skip
PREFIXES = {"mlm": "mlm.", "nsp": "nsp.output.", "pooler": "nsp.hidden."}  # of names
# What ends like a file is a path.
_HUB_NAME = r"(?ai)[a-z\d][\w.-]*/[a-z\d][\w.-]*"
_FILE_NAME = r"(?i).*\.(txt|tokens|md|csv|json|html|safetensors|gz|zip)"


def from_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `transformers.BertForPreTraining` under the names of `BERTModel`.

    Old files call a norm's weights gamma and beta; a network without heads has no prefix `bert.`,
    one that was wrapped has another before it. A ValueError names weights that contradict others.
    """
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        plain = re.sub(r"^(module\.|_orig_mod\.)+", "", name)
        plain = re.sub(r"^(?=(embeddings|encoder|pooler)\.)", "bert.", plain)
        plain = plain.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias")
        for our, theirs in NAMES:
            plain = plain.replace(theirs, our)
        value = value.flip(0) if plain.startswith("nsp.output.") else value
        if plain in ours and not torch.equal(ours[plain], value):
            raise ValueError(f"{name} contradicts other weights that stand for the same ({plain})")
        ours[plain] = value
    for key in [n for n in ours if ".key." in n and n.replace(".key.", ".value.") in ours]:
        key_and_value = ours.pop(key), ours.pop(key.replace(".key.", ".value."))
        ours[key.replace(".key.", ".key_value.")] = torch.cat(key_and_value)
    ours.pop("bert.embeddings.position_ids", None)  # a constant
    return ours


def to_transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `from_transformers_names` makes into the weights of a `BERTModel`."""
    theirs = {}
    for name, value in state.items():
        value = value.flip(0) if name.startswith("nsp.output.") else value
        kinds = (".key.", ".value.") if ".key_value." in name else ("",)
        for kind, part in zip(kinds, value.chunk(len(kinds)), strict=True):
            new = name.replace(".key_value.", kind)
            for our, their in NAMES:
                new = new.replace(our, their)
            theirs[new] = part
    return theirs


def network_of(config: BERTConfig, state: dict[str, Tensor]) -> BERTModel:
    """A network with the weights of a file; those of missing heads are drawn, always alike."""
    for name, value in state.items():
        if not (value.is_floating_point() and value.float().isfinite().all()):
            raise ValueError(f"{name} ({value.dtype}) must hold finite floating-point numbers")
    weights = {name: value.float() for name, value in state.items()}
    layers = len({n.split(".")[2] for n in state if n.startswith("encoder.blocks.")})
    if layers != config.num_layers:  # a million would take minutes to build
        raise ValueError(f"it claims {config.num_layers:,} layers, but holds {layers:,}")
    with torch.device("meta"):  # nothing is built of a size that a file only claims
        net = BERTModel.from_config(config)
    absent = {head for head in PREFIXES if not any(n.startswith(PREFIXES[head]) for n in state)}
    net.missing_heads = frozenset(absent | ({"nsp"} if "pooler" in absent else set()))
    drawn = tuple(PREFIXES[head] for head in net.missing_heads)
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name.startswith(drawn) and name not in weights:
            weights[name] = torch.full(value.shape, float(name.endswith("norm.weight")))
            if value.dim() > 1:
                weights[name].normal_(std=INIT_STD, generator=generator)
    try:
        net.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = str(error).partition("for BERTModel:")[2].strip().splitlines()[0][:200]
        raise ValueError(f"the weights do not fit the sizes it claims ({reason})") from error
    return net.eval()


def is_hub_name(name: str) -> bool:
    """Whether this is a name on the hub, owner/name, and no path on this computer."""
    is_name = re.fullmatch(_HUB_NAME, name) and not re.fullmatch(_FILE_NAME, name)
    return bool(is_name) and not os.path.exists(name.split("/")[0])


def check_name(name: str) -> None:
    """Refuse, with what to give in its place, what only leads near a published BERT."""
    path, instead = os.path.expanduser(name), ""
    folder, file = os.path.split(path)
    if file in (*FILES, "pytorch_model.bin") and os.path.isfile(path):
        instead = f"one file of a BERT: give its folder, {folder or '.'}"
    elif os.path.isdir(cache := f"{path}/snapshots") and (found := os.listdir(cache)):
        instead = f"a cache of the hub: give the folder in it, {cache}/{found[0]}"
    elif re.fullmatch(r"bert-(base|large)-[\w-]+", name) and not os.path.exists(path):
        instead = f"a name without its owner: give google-bert/{name}"
    if instead:
        raise FileNotFoundError(" ".join(f"{name} is {instead}".splitlines()))


def _download(name: str) -> str:
    """The folder of a BERT from the hub, in the cache of `huggingface_hub`."""
    # Before the import, which reads it: the hub is told nothing about this computer.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import snapshot_download

        return snapshot_download(name, allow_patterns=list(FILES))
    except Exception as error:  # it raises those of several libraries
        reason = f"its hub does not give it: {error}".splitlines()[0][:250]
        missing = f"there is no folder {name}, and no BERT of that name: {reason}"
        raise FileNotFoundError(missing) from error


def read_bert(name: str | Path) -> tuple[BERTModel, Vocab, str]:
    """Read a published BERT, from a folder or the hub; also a sentence that tells what it lacks."""
    folder = os.path.expanduser(name)
    folder = Path(folder if os.path.isdir(folder) else _download(str(name)))
    reading = "config.json"
    try:
        said = read_table(folder / reading)
        config = _config_of(said)
        reading = f"{WEIGHTS} (pytorch_model.bin, which could run code, is not opened)"
        check_file(folder / WEIGHTS)
        with safe_open(folder / WEIGHTS, "pt") as file:
            # Cloned, because the tensors of an open file are views of it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
            counts = json.loads((file.metadata() or {}).get("counts", "null"))
        state = from_transformers_names(tensors)
        unused = {n.split(".")[0] for n in state} - {"encoder", "mlm", "nsp", "bert"}
        net = network_of(config, {n: t for n, t in state.items() if n.split(".")[0] not in unused})
        reading = "tokenizer.json or vocab.txt"
        vocab = read_vocab(folder, config.vocab_size, counts, said.get("tokenizer_class", ""))
        check_vocab(net, vocab)
    except Exception as error:  # tokenizers raises nothing more special
        reason = f"{getattr(error, 'strerror', None) or error}".partition("\n")[0][:250]
        reason = reason.removeprefix(f"{reading} ")
        message = f"the BERT in {name} cannot be read: {reading}: {reason}"
        raise ValueError(" ".join(message.splitlines())) from error
    told = [f"BERT {name}: {config.num_layers} layers, {config.num_hiddens} hidden units"]
    told += [f"no {HEADS[head]}" for head in HEADS if head in net.missing_heads]
    told += [f"{part} is not read" for part in sorted(unused)]
    return net, vocab, " ".join("; ".join(told).splitlines())


def _config_of(said: dict) -> BERTConfig:
    for setting, ours in FIXED.items():
        if said.get(setting) not in (None, ours):
            raise ValueError(f"{setting} is {said[setting]!r}, but BERTModel has {ours!r}")
    sizes = {ours: said.get(theirs) for ours, theirs in SIZES.items()}
    # Of the two dropout rates ours is the one of the hidden units.
    return BERTConfig(**sizes, dropout=said.get("hidden_dropout_prob", 0.1))


def save_pretrained(net: BERTModel, vocab: Vocab, folder: str | Path) -> None:
    """Write a network and its vocabulary in Hugging Face's format; the folder is made if missing.

    `transformers` reads the folder: `BertForPreTraining.from_pretrained(folder)` and
    `AutoTokenizer.from_pretrained(folder)`. So does `load_pretrained`.
    """
    net, folder = getattr(net, "_orig_mod", net), Path(folder)  # what torch.compile has wrapped
    check_vocab(net, vocab)
    is_pieces = hasattr(vocab, "tokenizer")
    name = "BertForMaskedLM" if "nsp" in net.missing_heads else "BertForPreTraining"
    config = {
        "architectures": ["BertModel" if "mlm" in net.missing_heads else name],
        **FIXED,
        **{theirs: getattr(net.config, ours) for ours, theirs in SIZES.items()},
        "hidden_dropout_prob": net.config.dropout,
        "attention_probs_dropout_prob": net.config.dropout,
        "pad_token_id": vocab.pad_id,
    }
    settings = dict(zip(SPECIAL_NAMES, vocab.to_tokens(vocab.special_ids), strict=True)) | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": net.config.max_len,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    tokenizer = vocab.tokenizer if is_pieces else word_level_tokenizer(vocab)
    absent = tuple(PREFIXES[head] for head in net.missing_heads)
    state = {n: t for n, t in net.state_dict().items() if not n.startswith(absent)}
    theirs = to_transformers_names(state)
    # Copied, because parts of one tensor cannot be written.
    tensors = {n: t.to("cpu", torch.float32, copy=True).contiguous() for n, t in theirs.items()}
    about = {"format": "pt"} | ({} if is_pieces else {"counts": json.dumps(vocab.counts)})
    write_file(folder / "config.json", json.dumps(config, indent=2).encode())
    write_file(folder / "tokenizer_config.json", json.dumps(settings, indent=2).encode())
    write_file(folder / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    write_file(folder / WEIGHTS, save(tensors, about))
