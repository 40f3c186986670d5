"""Code pasted from d2l: what is written differently here is answered with the line to write.

The README has the same side by side. The answers are put around the lesson's functions, where the
package is imported; the functions themselves know nothing of them.
"""

import functools
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
# Names of d2l that stand for something else, or for nothing, here.
ELSEWHERE = {
    "Timer": "each step of run.history has its seconds, and run.pairs_per_second is the speed",
    "Accumulator": "run.history has the losses of every step",
    "Animator": "train_bert draws while it trains, pretraining.loss_plot.LossPlot draws any run",
    "_get_batch_loss_bert": "write pretraining_losses(net, batch), of bert_tutorial.network.losses",
    "_read_wiki": "write read_text('wikitext-2')",
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
    if name in ELSEWHERE:  # from ... import would drop an AttributeError's words
        raise ImportError(f"bert_tutorial has no {name}: {ELSEWHERE[name]}")
    raise AttributeError(f"module 'bert_tutorial' has no attribute {name!r}")


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
    problem, line = "", "train_iter, net, num_steps=50"
    d2ls = {"loss", "vocab_size", "devices"} & kwargs.keys()
    if hasattr(train_iter, "parameters"):
        problem = "the examples come first"
    elif hasattr(net, "module"):  # as d2l wraps it, in DataParallel
        problem = "the network is wrapped for several devices"
        line = "train_iter, net.module, num_steps=50"
    elif d2ls or len(args) > 1 or any(map(callable, args)):
        problem = "train_bert takes no loss, vocab_size or devices, it finds them itself"
        steps = kwargs.get("num_steps", next((n for n in args[::-1] if isinstance(n, int)), 50))
        line = f"train_iter, net, num_steps={steps}"
    elif "lr" in kwargs:
        problem = "train_bert takes no lr"
        line = f"train_iter, net, num_steps=..., learning_rate={kwargs['lr']}"
    if problem:
        raise TypeError(f"{problem}: write train_bert({line})")


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
        tokens = [str(list(part)) for part in given.values() if isinstance(part, list | tuple)]
        line = ", ".join(["net", "vocab", *tokens])
        raise TypeError(f"the vocabulary is missing: write get_bert_encoding({line})")
