"""Trained networks on disk: our own format, and where each is kept."""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...cache import cache_dir, read_safetensors, write_file, write_safetensors
from ...network.config import BERTConfig
from ...network.model import BERTModel, check_vocab
from ...text.corpora import CORPORA, PARTS
from ...text.vocabulary import Vocab
from .bert import check_name, is_hub_name, network_of, read_bert
from .wordpiece import WordPieceVocab

SHIPPED = Path(__file__).parents[2] / "data" / "checkpoints"


def save_checkpoint(
    net: BERTModel, vocab: Vocab, path: str | Path, dtype: torch.dtype = torch.float32, **card: str
) -> None:
    """Write a network and its vocabulary to one safetensors file, whole or not at all.

    Args:
        net, vocab: What to save.
        path: The file; its folder is made if missing.
        dtype: torch.float16 for half the size.
        **card: Anything else worth knowing.
    """
    net = getattr(net, "_orig_mod", net)  # what torch.compile has wrapped
    check_vocab(net, vocab)
    tensors = {n: t.to("cpu", dtype).contiguous() for n, t in net.state_dict().items()}
    about = {"config": vars(net.config), "itos": vocab.itos, "counts": vocab.counts, "card": card}
    about["missing_heads"] = sorted(net.missing_heads)
    if isinstance(vocab, WordPieceVocab):
        about["tokenizer"] = vocab.tokenizer.to_str()
    write_safetensors(path, tensors, about)


def write_card(folder: Path, title: str, made_by: str, about: dict[str, Any]) -> None:
    """Write what is known of a network beside it, as Markdown."""
    rows = "".join(f"| {name.replace('_', ' ')} | {value} |\n" for name, value in about.items())
    card = (
        f"# {title}\n\nMade by {made_by}, for learning about BERT. It knows the words of its "
        f"training text only, and is of no use for anything else.\n\n| | |\n|---|---|\n{rows}"
    )
    write_file(folder / "model_card.md", card.encode())


def load_checkpoint(path: str | Path) -> tuple[BERTModel, Vocab]:
    """Read what `save_checkpoint` wrote; the network is in evaluation mode, on the CPU."""
    return _load(path)[:2]


def _load(path: str | Path) -> tuple[BERTModel, Vocab, dict[str, str]]:
    try:
        tensors, about = read_safetensors(path)
        net = network_of(BERTConfig(**about["config"]), tensors)
        net.missing_heads |= {*about["missing_heads"]}
        if "tokenizer" in about:
            from tokenizers import Tokenizer

            vocab = WordPieceVocab(Tokenizer.from_str(about["tokenizer"]), len(about["itos"]))
            vocab.counts = about["counts"]
        else:
            vocab = Vocab.from_counts(about["itos"], about["counts"])
        check_vocab(net, vocab)
        return net, vocab, about["card"]
    except OSError:
        raise
    except Exception as error:  # safetensors and tokenizers have no one kind
        raise ValueError(
            f"{path} is not a checkpoint of bert_tutorial, at least not of this version "
            f"({str(error).splitlines()[0]}): train that network again, or choose another file"
        ) from error


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


def load_pretrained(corpus: str | Path = "bundled", prefer: str | Path = "trained") -> Pretrained:
    """The network for a corpus: one that notebook 02 has trained, or one of the package.

    Args:
        corpus: A name in `CORPORA`, or the path of the text file that notebook 02 was run on. Or a
            published BERT in Hugging Face's format: a folder, or a name on its hub such as
            google-bert/bert-base-uncased.
        prefer: Which to take where there are both: "trained" (in notebook 02) or "shipped". Or the
            path of a network, or of the folder that `python -m bert_tutorial.pretrain` left it in,
            or a published BERT.
    """
    corpus, prefer = str(corpus), str(prefer)
    whole = "bundled" if corpus in PARTS else corpus  # it has learned from both parts
    places = {
        "trained": (trained_path(corpus), "trained in notebook 02"),
        "shipped": (SHIPPED / f"{whole}.safetensors", "that comes with the package"),
    }
    if prefer not in places:
        check_name(prefer)
        # os.path, not Path: False also where a name is too long, or a folder not to be looked into.
        path = os.path.expanduser(prefer)
        if is_hub_name(prefer) or os.path.isfile(f"{path}/config.json"):
            return Pretrained(*read_bert(prefer))
        path = f"{path}/network.safetensors" if os.path.isdir(path) else path
        if not os.path.isfile(path):
            must = "must be 'trained', 'shipped' or the path of a network"
            raise FileNotFoundError(f"prefer is {prefer!r}, but {must} (looked at {path!r})")
        places = {prefer: (path, f"of the file {prefer}")}
    for path, where in (places.pop(prefer), *places.values()):
        if os.path.isfile(path):
            net, vocab, card = _load(path)
            untaught = card.get("next_sentence_rate") in ("0.0", "1.0")
            game = "; it was not taught the next-sentence game" if untaught else ""
            return Pretrained(net, vocab, f"network {where}, corpus {corpus}{game}")
    check_name(corpus)
    if is_hub_name(corpus) or os.path.isdir(os.path.expanduser(corpus)):
        return Pretrained(*read_bert(corpus))
    raise FileNotFoundError(
        f"there is no trained network for the corpus {corpus!r} yet: run notebook 02 with it first;"
        " or, if a published BERT was meant, there is no such folder"
    )
