import logging
import os
import subprocess
import sys

import pytest

from tfzoo.cli import screen


def test_numbers_stand_right_and_words_left():
    text = screen.table([("bert", 4_385_920, 0.5), ("x", 12, 0.25)], ("model", "size", "score"))
    assert text.split("\n") == [
        "model       size  score",
        "-----  ---------  -----",
        "bert   4,385,920  0.500",
        "x             12  0.250",
    ]


def test_a_table_without_a_head_has_no_rule():
    assert screen.table([("a", "b"), ("cc", "d")]) == "a   b\ncc  d"


def test_an_empty_table_is_its_head():
    assert screen.table([], ("a", "b")) == "a  b\n-  -"


def test_log_chatter_is_held_back_and_everything_else_passes(capfd):
    with screen._without_chatter():
        os.write(2, b"I0000 00:00:1.2 7 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called ...\n")
        os.write(2, b"E0000 00:00:1.2 7 cuda.cc:1] something broke\n")
        os.write(2, b"Traceback\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err.split("\n") == [
        "E0000 00:00:1.2 7 cuda.cc:1] something broke",
        "Traceback",
        "after",
        "",
    ]


def test_what_was_held_back_is_shown_when_the_import_fails(capfd):
    try:
        with screen._without_chatter():
            os.write(2, b"F0000 00:00:1.2 7 cpu.cc:1] no AVX\n")
            raise ImportError
    except ImportError:
        pass
    assert "no AVX" in capfd.readouterr().err


def test_messages_of_absl_are_plain_lines():
    code = (
        "from tfzoo.cli import screen; screen.plain_logging();"
        "from absl import logging; logging.info('step %d', 3); logging.debug('hidden')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "step 3\n")


@pytest.mark.slow
def test_importing_tensorflow_leaves_the_screen_clean():
    code = (
        "from tfzoo.cli import screen; screen.quiet_tensorflow();"
        "import tensorflow as tf; print(int(tf.constant(1) + 1))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_what_tensorflow_logs_about_itself_is_left_out_unless_it_warns():
    def record(level, path):
        return logging.LogRecord("absl", level, path, 1, "m", (), None)

    own, theirs = "/site-packages/tfzoo/train/run.py", "/site-packages/tensorflow/python/save.py"
    assert screen._is_for_the_user(record(logging.INFO, own))
    assert not screen._is_for_the_user(record(logging.INFO, theirs))
    assert screen._is_for_the_user(record(logging.WARNING, theirs))
