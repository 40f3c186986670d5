"""Which mode a network is in, and whose turn it is to use it."""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import nn

_in_use = threading.RLock()


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for a while; afterwards the network is in the mode it was in.

    Other threads wait meanwhile. So a sentence can be encoded while a run trains in the background:
    it is read between two steps, without dropout.

    Args:
        net: The network.
        training: True for training mode, in which dropout is on.
    """
    with _in_use:
        was_training = net.training
        net.train(training)
        try:
            yield
        finally:
            net.train(was_training)


@contextlib.contextmanager
def dropout_off(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; afterwards the mode is what it was."""
    with in_mode(net, training=False), torch.no_grad():
        yield
