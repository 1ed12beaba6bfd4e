"""A module runs in a process of its own, with this tfzoo and whatever it is given."""

import subprocess

import pytest

from tfzoo.export.child import run_module


def test_output_and_exit_code_come_back():
    done = run_module("tfzoo.cli.main", "--version", timeout_seconds=60)
    assert (done.returncode, done.stdout.split()[0]) == (0, "tfzoo")
    done = run_module("tfzoo.cli.main", "no-such-command", timeout_seconds=60)
    assert done.returncode == 2
    assert "no-such-command" in done.stderr


def test_variables_reach_it():
    done = run_module("os", timeout_seconds=60, PYTHONVERBOSE="1")
    assert "import" in done.stderr


def test_one_that_does_not_end_is_given_up():
    with pytest.raises(subprocess.TimeoutExpired):
        run_module("tfzoo.cli.main", "--version", timeout_seconds=0.001)
