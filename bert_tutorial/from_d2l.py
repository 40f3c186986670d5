"""Code pasted from d2l: what is written differently here is answered with the line to write.

The README has the same side by side. The answers are put around the lesson's functions, where the
package is imported; the functions themselves know nothing of them.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from .devices import try_all_gpus
from .pretraining.run import Settings
from .studio.runs.fits import check_fits

SIZES = (
    "vocab_size", "num_hiddens", "ffn_num_hiddens", "num_heads", "num_layers", "dropout", "max_len",
)  # fmt: skip
# The order in d2l's editions that have norm_shape.
OLD_SIZES = (
    *SIZES[:2], "norm_shape", "ffn_num_input", *SIZES[2:], "key_size", "query_size", "value_size",
    "hid_in_features", "mlm_in_features", "nsp_in_features",
)  # fmt: skip
REPLACED = "train_bert(train_iter, net, num_steps=50) replaces the function that you pasted"
DOWNLOADED = "load_data_wiki(batch_size, max_len, 'wikitext-2') downloads the text itself"
IN_PAIRS = "draw_pairs of bert_tutorial.text.pairs draws all pairs of a text"
IN_MASKING = "write mask_tokens, which chooses the words of a whole batch and hides them"
IN_BATCHES = "PretrainingExamples pads a batch where it makes one"
IN_NETWORK = "write from bert_tutorial.network"
D2LS = {"loss", "vocab_size", "devices"}  # arguments of its train_bert
# Names of d2l that stand for something else, stand elsewhere, or for nothing, here.
ELSEWHERE = {
    "Timer": f"{REPLACED}; each step of its run's history has its seconds",
    "Accumulator": f"{REPLACED}; its run.history has the losses of every step",
    "Animator": f"{REPLACED}; it draws while it trains",
    "_get_batch_loss_bert": "write pretraining_losses(net, batch), of bert_tutorial.network.losses",
    "_read_wiki": "write read_text('wikitext-2')",
    "_WikiTextDataset": "write PretrainingExamples, which load_data_wiki gives",
    "_get_next_sentence": IN_PAIRS,
    "_get_nsp_data_from_paragraph": IN_PAIRS,
    "_replace_mlm_tokens": IN_MASKING,
    "_get_mlm_data_from_tokens": IN_MASKING,
    "_pad_bert_inputs": IN_BATCHES,
    "DATA_HUB": DOWNLOADED,
    "DATA_URL": DOWNLOADED,
    "download_extract": DOWNLOADED,
    "get_dataloader_workers": "batches are made fast enough without workers: leave it out",
    "BERTEncoder": f"{IN_NETWORK}.encoder import BERTEncoder",
    "TransformerEncoderBlock": f"{IN_NETWORK}.encoder import EncoderBlock",
    "MultiHeadAttention": f"{IN_NETWORK}.encoder import SelfAttention",
    "MaskLM": f"{IN_NETWORK}.model import MaskLM",
    "NextSentencePred": f"{IN_NETWORK}.model import NextSentencePred",
    "try_gpu": "write try_all_gpus()[0]",
}
OF_VOCAB = {
    "token_to_idx": "write vocab['crane'], or 'crane' in vocab",
    "idx_to_token": "write vocab.itos",
    "token_freqs": "write vocab.counts, which has a number for each id",
    "unk": "write vocab.unk_id",
}


def answered(function: Callable, *checks: Callable[..., None]) -> Callable:
    """The function, but `checks` see its arguments first, and raise if they are d2l's."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for check in checks:
            check(*args, **kwargs)
        return function(*args, **kwargs)

    return call


def find_name(name: str) -> NoReturn:
    """Say where to find what d2l has under a name: the package's `__getattr__`."""
    if name not in ELSEWHERE:
        raise AttributeError(f"module 'bert_tutorial' has no attribute {name!r}")
    # `from bert_tutorial import ...` would drop an AttributeError's words.
    is_import = sys._getframe(1).f_globals["__name__"] == "importlib._bootstrap"
    kind = ImportError if is_import else AttributeError
    raise kind(f"bert_tutorial has no {name}: {ELSEWHERE[name]}")


def find_in_vocab(vocab: Any, name: str) -> NoReturn:
    """The same for what a vocabulary has: its `__getattr__`."""
    where = f": {OF_VOCAB[name]}" if name in OF_VOCAB else ""
    raise AttributeError(f"{type(vocab).__name__} has no {name}{where}")


def check_text(text: Any = "", *args: Any, **kwargs: Any) -> None:
    """Refuse d2l's arguments of `tokenize`: many lines, and what a token is."""
    if args or kwargs or isinstance(text, list | tuple):
        is_one = isinstance(text, str)
        line = f"tokenize({text!r})" if is_one else "[tokenize(line) for line in lines]"
        raise TypeError(f"tokenize takes one text, and cuts it into words: write {line}")


def check_words(vocab: Any, tokens: Any = (), *args: Any, **kwargs: Any) -> None:
    """Refuse d2l's arguments of `Vocab`: sentences, special tokens of one's own."""
    is_list = isinstance(tokens, list | tuple)
    is_nested = is_list and any(isinstance(sentence, list | tuple) for sentence in tokens[:1])
    given = dict(zip(("min_freq", "reserved_tokens"), args, strict=False)) | kwargs
    if is_nested or "reserved_tokens" in given:
        line = "[token for sentence in sentences for token in sentence]" if is_nested else "tokens"
        line += f", min_freq={given['min_freq']}" if "min_freq" in given else ""
        what = "Vocab takes one list of tokens, and adds the special tokens itself"
        raise TypeError(f"{what}: write Vocab({line})")


def check_sizes(net: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse sizes of `BERTModel` that only d2l has."""
    is_old = len(args) > 2 and isinstance(args[2], list | tuple)
    given = dict(zip(OLD_SIZES if is_old else SIZES, args, strict=False)) | kwargs
    if unknown := [name for name in given if name not in SIZES]:
        if "num_blks" in given:
            given["num_layers"] = given["num_blks"]
        line = ", ".join(f"{name}={given[name]}" for name in SIZES if name in given)
        raise TypeError(
            f"BERTModel takes no {', '.join(unknown)} (d2l's further sizes follow from "
            f"num_hiddens): write BERTModel({line.removeprefix('vocab_size=')})"
        )


def check_training(train_iter: Any = None, net: Any = None, *args: Any, **kwargs: Any) -> None:
    """Refuse arguments of `train_bert` that are d2l's, or in another order."""
    given = {"num_steps": next((n for n in args[::-1] if isinstance(n, int)), 50)}
    given |= {name: value for name, value in kwargs.items() if name not in D2LS | {"lr"}}
    given |= {"learning_rate": kwargs["lr"]} if "lr" in kwargs else {}
    problem, network = "", "net"
    if hasattr(train_iter, "parameters"):
        problem = "the examples come first"
    elif hasattr(net, "module"):  # as d2l wraps it, in DataParallel
        problem, network = "the network is wrapped for several devices", "net.module"
    elif D2LS & kwargs.keys() or len(args) > 1 or any(map(callable, args)):
        problem = "train_bert takes no loss, vocab_size or devices, it finds them itself"
    elif "lr" in kwargs:
        problem = "train_bert takes no lr"
    if problem:
        settings = [f"{name}={value!r}" for name, value in given.items()]
        raise TypeError(
            f"{problem}: write train_bert({', '.join(['train_iter', network, *settings])})"
        )


def check_memory(
    train_iter: Any = None, net: Any = None, num_steps: int = 50, **settings: Any
) -> None:
    """Refuse a training that would not fit into memory."""
    if train_iter is not None and net is not None:
        how = Settings(num_steps=num_steps, **settings)
        check_fits(net.to(try_all_gpus()[0]), train_iter, how)


def check_encoding(net: Any, *args: Any, **kwargs: Any) -> None:
    """Refuse `get_bert_encoding` and its like without a vocabulary; d2l's is a global name."""
    given = dict(zip(("vocab", "tokens_a", "tokens_b"), args, strict=False)) | kwargs
    if isinstance(given.get("vocab", ""), list | tuple | str):
        parts = [part for part in given.values() if part is not None]
        tokens = [f"vocab.tokenize({x!r})" if isinstance(x, str) else f"{list(x)}" for x in parts]
        line = ", ".join(["net", "vocab", *tokens])
        raise TypeError(f"the vocabulary is missing: write get_bert_encoding({line})")
