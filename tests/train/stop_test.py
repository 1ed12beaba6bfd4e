"""The first signal is noted, the second one obeyed."""

import signal
import threading

import pytest

from tfzoo.train.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_only_noted(number):
    with Stop() as stop:
        assert stop.signal == 0
        signal.raise_signal(number)
        assert stop.signal == number


def test_the_second_signal_is_answered_as_if_nobody_listened():
    with Stop():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with Stop():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_in_another_thread_it_listens_to_nothing():
    found = []

    def use():
        with Stop() as stop:
            found.append(stop.signal)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [0]
