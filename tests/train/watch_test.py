"""A worker whose others are gone is ended, and nothing else ends it."""

import os
import socket
import threading
import time
import types

import pytest
import tensorflow as tf

from tfzoo.train import watch
from tfzoo.train.watch import Watch


class Left(BaseException):
    pass


@pytest.fixture
def fast(monkeypatch):
    """Watches without pauses; leaving is recorded, and raised here, instead of done."""
    codes = []

    def leave(code):
        codes.append(code)
        if threading.current_thread() is threading.main_thread():
            raise Left

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(watch, "_SECONDS_BETWEEN", 0.05)
    monkeypatch.setattr(watch, "_SECONDS_TO_LEAVE", 0.7)
    monkeypatch.setattr(watch, "_SECONDS_TO_TELL", 1.0)
    return codes


@pytest.fixture
def peer():
    """A listening socket, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def watching(others, called=None):
    made = Watch(tf.distribute.get_strategy(), called)
    made._others = others
    return made


def until(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_a_port_is_heard_refused_or_unanswered(peer, monkeypatch):
    server, address = peer
    assert watch._hears(address) is True
    server.close()
    assert watch._hears(address) is False

    def silent(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert watch._hears(address) is None


def test_the_death_of_another_ends_this_process_with_one_line(fast, peer, capfd):
    server, address = peer
    cleaned = []
    with watching([address], lambda: cleaned.append(1)):
        time.sleep(0.2)
        assert not fast
        server.close()
        assert until(lambda: fast)
    assert fast == [watch.GONE]
    assert cleaned == [1]
    said = capfd.readouterr().err
    assert "Another worker is gone" in said
    assert "same command" in said
    assert said.count("\n") == 1


def test_who_leaves_by_himself_is_let_go(fast, peer, monkeypatch):
    monkeypatch.setattr(watch, "_SECONDS_TO_LEAVE", 60.0)  # a busy machine may take one or two
    server, address = peer
    with watching([address]) as made:
        server.close()
        assert until(made._gone.is_set)
    time.sleep(0.3)
    assert not fast


def test_an_exception_that_comes_of_a_death_ends_the_process(fast, peer):
    with pytest.raises(Left):
        with watching([peer[1]]):
            raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: x")
    assert fast == [watch.GONE]


def test_any_other_exception_stays_what_it_is(fast, peer):
    with pytest.raises(tf.errors.InvalidArgumentError):
        with watching([peer[1]]):
            raise tf.errors.InvalidArgumentError(None, None, "shapes")
    with pytest.raises(ValueError):
        with watching([peer[1]]):
            raise ValueError
    assert not fast


def test_alone_nothing_is_watched(fast):
    with pytest.raises(tf.errors.UnavailableError):
        with Watch(tf.distribute.get_strategy()):
            raise tf.errors.UnavailableError(None, None, "x")
    assert not fast


def test_the_chief_watches_all_and_the_others_the_chief(monkeypatch):
    class Strategy:
        def __init__(self, kind, number):
            jobs = {"worker": ["a:1", "b:2", "c:3"]}
            self.cluster_resolver = types.SimpleNamespace(
                task_type=kind,
                task_id=number,
                cluster_spec=lambda: types.SimpleNamespace(as_dict=lambda: jobs),
            )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
    found = [watch._others(Strategy("worker", i)) for i in range(3)]
    assert found == [["b:2", "c:3"], ["a:1"], ["a:1"]]
