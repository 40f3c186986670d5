"""Which mode a network is in, and whose turn it is to use it."""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import nn


class Turns:
    """A lock that goes to whoever waits before it goes back to whoever has just had it.

    With a plain lock, a thread that trains would take its next turn at once, and one that wants to
    ask something could wait for the whole run. A thread may take it again while it has it.
    """

    def __init__(self):
        self._lock, self._next = threading.Lock(), threading.Lock()
        self._owner, self._depth = 0, 0

    def __enter__(self):
        if self._owner != threading.get_ident():
            with self._next:  # who stands here is the next one; all others stand behind
                self._lock.acquire()
            self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *error: object):
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            self._lock.release()


# One for all networks: dropout draws from PyTorch's one generator, and two networks at once would
# only share the same processor.
_turns = Turns()


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for a while; afterwards the network is in the mode it was in.

    Other threads wait meanwhile. So a sentence can be encoded while a run trains in the background:
    it is read between two parts of a step, without dropout.

    Args:
        net: The network.
        training: True for training mode, in which dropout is on.
    """
    with _turns:
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
