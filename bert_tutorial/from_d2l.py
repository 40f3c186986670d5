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
D2LS = {"loss", "vocab_size", "devices"}  # arguments of its train_bert
# Names of d2l that stand for something else, elsewhere, or for nothing, here.
PLACES = {
    "train_bert(train_iter, net, num_steps=50) replaces the function that you pasted, and draws; "
    "its run.history has the losses and the seconds of each step": "Timer Accumulator Animator",
    "write pretraining_losses(net, batch), of bert_tutorial.network.losses": "_get_batch_loss_bert",
    "write read_text('wikitext-2')": "_read_wiki",
    "load_data_wiki(batch_size, max_len, 'wikitext-2') downloads the text itself": (
        "DATA_HUB DATA_URL download_extract"
    ),
    "write PretrainingExamples, which load_data_wiki gives, and which makes whole batches": (
        "_WikiTextDataset _pad_bert_inputs get_dataloader_workers"
    ),
    "write from bert_tutorial.text.pairs import draw_pairs, which draws all pairs of a text": (
        "_get_next_sentence _get_nsp_data_from_paragraph"
    ),
    "write mask_tokens, for a whole batch": "_replace_mlm_tokens _get_mlm_data_from_tokens",
    "write from bert_tutorial.network.encoder import BERTEncoder": "BERTEncoder",
    "write from bert_tutorial.network.model import MaskLM": "MaskLM",
    "write from bert_tutorial.network.model import NextSentencePred": "NextSentencePred",
}
ELSEWHERE = {name: place for place, names in PLACES.items() for name in names.split()}
OF_VOCAB = {"token_to_idx": "vocab['crane']", "idx_to_token": "vocab.itos"}
OF_VOCAB |= {"token_freqs": "vocab.counts", "unk": "vocab.unk_id"}


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
    where = f": write {OF_VOCAB[name]}" if name in OF_VOCAB else ""
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
        line = ", ".join(["train_iter", network, *(f"{k}={v!r}" for k, v in given.items())])
        raise TypeError(f"{problem}: write train_bert({line})")


def check_memory(
    train_iter: Any = None,
    net: Any = None,
    num_steps: int = 50,
    processes: int | None = None,
    **settings: Any,
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
