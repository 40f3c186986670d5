"""Trained networks on disk: our own format, and where each is kept."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError

from ...cache import cache_dir, read_safetensors, write_safetensors
from ...network.config import BERTConfig
from ...network.model import TIED, BERTModel
from ...text.corpora import CORPORA
from ...text.vocabulary import Vocab
from .hub import is_hub_name, read_bert
from .wordpiece import WordPieceVocab

SHIPPED = Path(__file__).parents[2] / "data" / "checkpoints"


def save_checkpoint(
    net: BERTModel,
    vocab: Vocab,
    path: str | Path,
    dtype: torch.dtype = torch.float32,
    **card: str,
) -> None:
    """Write a network and its vocabulary to one safetensors file.

    A failed or interrupted write leaves the old file whole.

    Args:
        net, vocab: What to save.
        path: Where to.
        dtype: torch.float16 for half the size.
        **card: Anything else worth knowing.

    Raises:
        OSError: The file cannot be written; the message names it, and the cause.
    """
    net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
    state = {name: value for name, value in net.state_dict().items() if name != TIED}
    tensors = {name: t.detach().to("cpu", dtype).contiguous() for name, t in state.items()}
    about = {"config": vars(net.config), "itos": vocab.itos, "counts": vocab.counts, "card": card}
    about["missing_heads"] = sorted(net.missing_heads)
    if isinstance(vocab, WordPieceVocab):
        about["tokenizer"] = [vocab.to_json(), vocab.to_tokens(vocab.special_ids)]
    write_safetensors(path, tensors, about)


def load_checkpoint(path: str | Path) -> tuple[BERTModel, Vocab]:
    """Read what `save_checkpoint` wrote.

    Returns:
        The network (in evaluation mode, float32, on the CPU) and its vocabulary.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read; the message names it, and the cause.
        ValueError: It is no checkpoint of this package, or it is damaged.
    """
    return _load(Path(path))[:2]


def _load(path: Path) -> tuple[BERTModel, Vocab, dict[str, str]]:
    """The network, its vocabulary, and its card."""
    try:
        tensors, about = read_safetensors(path)
        tensors = {name: value.float() for name, value in tensors.items()}
        config = BERTConfig(**about["config"])
        if "tokenizer" in about:
            vocab = WordPieceVocab.from_json(*about["tokenizer"], config.vocab_size)
        else:
            vocab = Vocab.from_counts(about["itos"], about["counts"])
        _check_sizes(config, vocab, tensors)
        net = BERTModel.from_config(config)
        net.load_state_dict(tensors | {TIED: tensors["encoder.embeddings.token.weight"]})
        net.missing_heads = frozenset(about.get("missing_heads", ()))
        return net.eval(), vocab, dict(about.get("card", {}))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no checkpoint {path}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of bert_tutorial, at least not of this version "
            f"({str(error).splitlines()[0]}): train that network again, or choose another file"
        ) from error


def _check_sizes(config: BERTConfig, vocab: Vocab, tensors: dict[str, torch.Tensor]) -> None:
    """Compare what a file says with what it holds, before a network of that size is built.

    Raises:
        RuntimeError: They differ, or a weight is no number.
    """
    embeddings = tensors["encoder.embeddings.token.weight"].shape
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.blocks.")}
    said = (config.vocab_size, config.num_hiddens, config.num_layers, config.max_len)
    held = (*embeddings, len(layers), len(tensors["encoder.embeddings.position.weight"]))
    if said != held or len(vocab) != config.vocab_size:
        raise RuntimeError(f"it claims the sizes {said}, but holds {held} and {len(vocab)} words")
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        raise RuntimeError(f"{broken[0]} holds what is no number")


def trained_path(corpus: str | Path) -> Path:
    """Where notebook 02 keeps the network it has trained on a corpus, for notebook 03."""
    name = str(corpus)
    if name not in CORPORA:  # a file: its name, and enough of its path to tell it from namesakes
        path = Path(os.path.realpath(os.path.expanduser(name)))
        name = f"{path.stem[:50]}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    return cache_dir() / "trained" / f"{name}.safetensors"


class Pretrained(NamedTuple):
    """A trained network and what it needs."""

    net: BERTModel  # in evaluation mode, on the CPU
    vocab: Vocab
    description: str  # says which network it is


def load_pretrained(corpus: str | Path = "bundled", prefer: str = "trained") -> Pretrained:
    """The network for a corpus: one that notebook 02 has trained, or one of the package.

    Or a published BERT, in Hugging Face's format: a folder, or a name on its hub such as
    google-bert/bert-base-uncased. See `hub.read_bert`.

    Args:
        corpus: A name in `CORPORA`, the path of the text file that notebook 02 was run on, or a
            published BERT.
        prefer: Which to take where there are both: "trained" (in notebook 02) or "shipped". Or the
            path of a network, or of the folder that `python -m bert_tutorial.pretrain` left it in,
            or a published BERT.

    Returns:
        Network, vocabulary, and which it is.

    Raises:
        FileNotFoundError: There is none for this corpus, or none at that path.
        OSError: The file is there, but cannot be read.
        ValueError: The file is damaged, or the published BERT is one that `BERTModel` cannot be.
    """
    if is_hub_name(str(prefer)) or os.path.isfile(os.path.expanduser(f"{prefer}/config.json")):
        return Pretrained(*read_bert(prefer))
    places = {
        "trained": (trained_path(corpus), "trained in notebook 02"),
        "shipped": (SHIPPED / f"{corpus}.safetensors", "that comes with the package"),
    }
    first = places.pop(prefer, None)
    if first is None:
        named = os.path.expanduser(prefer)
        named = os.path.join(named, "network.safetensors") if os.path.isdir(named) else named
        if not os.path.isfile(named):
            raise FileNotFoundError(
                f"prefer is {prefer!r}, but must be 'trained', 'shipped' or the path of a network"
                f" (looked at {os.path.abspath(named)!r})"
            )
        first, places = (Path(named), f"of the file {prefer}"), {}
    for path, where in (first, *places.values()):
        if os.path.isfile(path):  # False too where the cache folder must not be looked into
            net, vocab, card = _load(path)
            rate = card.get("next_sentence_rate", card.get("next_share"))
            game = "; it was not taught the next-sentence game" if rate in ("0.0", "1.0") else ""
            return Pretrained(net, vocab, f"network {where}, corpus {corpus}{game}")
    if is_hub_name(str(corpus)) or os.path.isdir(os.path.expanduser(corpus)):
        return Pretrained(*read_bert(corpus))
    path = os.path.abspath(os.path.expanduser(corpus))
    is_here = os.path.exists(path)
    bert = "" if is_here else f"; if a folder was meant, there is none at {path[:300]!r}"
    raise FileNotFoundError(
        f"there is no trained network for the corpus {str(corpus)!r} yet: run notebook 02 with it "
        f"first{bert}"
    )
