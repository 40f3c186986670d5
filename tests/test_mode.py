"""Whose turn it is to use a network."""

import threading
import time

import pytest
import torch
from small import PATIENCE, small_net, some_examples, until

from bert_tutorial.network.model import Turns, dropout_off, in_mode


def in_thread(what):
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    return thread


def test_who_waits_comes_before_who_has_just_had_it():
    turns, order = Turns(), []
    is_held, has_asked = threading.Event(), threading.Event()

    def ask():
        is_held.wait(PATIENCE)
        has_asked.set()
        with turns:
            order.append("other")

    other = in_thread(ask)
    with turns:
        is_held.set()
        assert has_asked.wait(PATIENCE)
        until(turns._next.locked)  # it stands at the door
    for _ in range(3):
        with turns:
            order.append("again")
    other.join(PATIENCE)
    assert order[0] == "other" and len(order) == 4


def test_one_at_a_time():
    turns, inside, most = Turns(), [], []

    def work():
        for _ in range(50):
            with turns:
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [in_thread(work) for _ in range(4)]
    for thread in threads:
        thread.join(PATIENCE)
    assert len(most) == 200 and max(most) == 1


def test_a_thread_may_take_it_again_while_it_has_it():
    turns = Turns()
    with turns:
        with turns:
            pass
        assert turns._lock.locked()  # still its own
    assert not turns._lock.locked()


def test_an_exception_frees_it():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns, turns:
        raise ZeroDivisionError
    done = threading.Event()

    def work():
        with turns:
            done.set()

    in_thread(work)
    assert done.wait(PATIENCE)


def test_the_mode_is_restored_also_after_an_exception():
    net = small_net(some_examples()).train()
    with pytest.raises(ZeroDivisionError), in_mode(net, training=False):
        assert not net.training and not net.encoder.training
        raise ZeroDivisionError
    assert net.training and net.encoder.training
    with in_mode(net, training=False), in_mode(net, training=True):
        assert net.training
    assert net.training


def test_dropout_off_computes_no_gradients():
    net = small_net(some_examples()).train()
    with dropout_off(net):
        assert not net.training and not torch.is_grad_enabled()
    assert net.training and torch.is_grad_enabled()
