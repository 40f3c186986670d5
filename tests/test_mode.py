"""Whose turn it is to use a network."""

import contextlib
import ctypes
import threading
import time

import pytest
import torch
from small import PATIENCE, small_net, some_examples, until

from bert_tutorial.network import model
from bert_tutorial.network.model import dropout_off, in_mode

NET = small_net(some_examples())


def in_thread(what, *args):
    thread = threading.Thread(target=what, args=args, daemon=True)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def all_have_left():
    yield
    assert not model._row


def test_who_waits_comes_before_who_has_just_had_it():
    order = []

    def ask(name):
        with in_mode(NET, training=False):
            order.append(name)

    with in_mode(NET, training=True):
        other = in_thread(ask, "other")
        until(lambda: len(model._row) == 2)
    ask("again"), ask("again")
    other.join(PATIENCE)
    assert order == ["other", "again", "again"]


def test_one_at_a_time_and_every_one_in_its_mode():
    inside, most, seen = [], [], []

    def work(training):
        for _ in range(50):
            with in_mode(NET, training):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                seen.append(NET.training == NET.encoder.training == training)
                inside.pop()

    for thread in [in_thread(work, i % 2 == 0) for i in range(4)]:
        thread.join(PATIENCE)
    assert len(most) == 200 and max(most) == 1 and all(seen)


def test_the_mode_is_restored_also_inside_a_turn_and_after_an_exception():
    NET.train()
    with pytest.raises(ZeroDivisionError), in_mode(NET, training=False):
        assert not NET.training and not NET.encoder.training
        with in_mode(NET, training=True):  # its own turn still
            assert NET.training and len(model._row) == 1
        assert not NET.training and model._row
        raise ZeroDivisionError
    assert NET.training and NET.encoder.training
    with dropout_off(NET):
        assert not NET.training and not torch.is_grad_enabled()
    assert NET.training and torch.is_grad_enabled()


def test_a_thread_that_is_ended_from_outside_leaves_the_row():
    """As a time limit does, and Stop: wherever the exception comes in, all others go on."""

    def work():
        with contextlib.suppress(SystemExit):
            while True:
                with in_mode(NET, training=False):
                    pass

    for wait in range(12):
        thread = in_thread(work)
        time.sleep(wait / 1000)
        ident, stop = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        while thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, stop)
            thread.join(0.2)
        with in_mode(NET, training=True):
            assert NET.training
