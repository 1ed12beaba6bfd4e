"""For which runtime a graph is drawn."""

import threading

import pytest

from tfzoo.layers import runtime


def test_it_is_tflite_inside_only():
    assert not runtime.is_tflite()
    with runtime.drawing_for("tflite"):
        assert runtime.is_tflite()
        with runtime.drawing_for("tensorflow"):
            assert not runtime.is_tflite()
        assert runtime.is_tflite()
    assert not runtime.is_tflite()


def test_an_error_ends_it_too():
    with pytest.raises(ValueError), runtime.drawing_for("tflite"):
        raise ValueError
    assert not runtime.is_tflite()


def test_other_threads_draw_what_they_do():
    found = []
    with runtime.drawing_for("tflite"):
        thread = threading.Thread(target=lambda: found.append(runtime.is_tflite()))
        thread.start()
        thread.join()
    assert found == [False]
