"""A server in a child process: ready when given, gone afterwards, even if its parent is killed."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import tfzoo
from tfzoo.core.errors import UserError
from tfzoo.serve.background import ServerProcess, running
from tfzoo.serve.client import Client


def test_the_server_is_ready_in_the_block_and_gone_after_it(tiny_models):
    with running(tiny_models / "numbers") as url:
        assert Client(url, "numbers").predict([1.0, 2.0, 5.0]) == [3.5, 4.0, 5.5]
    with pytest.raises(UserError, match="no server answers there"):
        Client(url, "numbers").status()


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder") as caught:
        ServerProcess(tmp_path / "absent")
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_load_stops_the_start(tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"\x12\x00")
    with pytest.raises(UserError, match=r"model 'm' cannot be served: version 1: .*'serve'"):
        ServerProcess(tmp_path / "m")


def test_a_server_that_takes_too_long_is_stopped(tiny_models):
    with pytest.raises(UserError, match=r"is not ready. Received: timeout_seconds=0\.01"):
        ServerProcess(tiny_models / "words", timeout_seconds=0.01)


def test_the_log_tells_what_was_loaded(tiny_models):
    with ServerProcess(tiny_models / "words") as server:
        assert "words/2 is warmed up by 1 requests" in server.log()
        assert "words version 2 is served, loaded in" in server.log()
        assert server.stop() == 0


def test_a_killed_parent_takes_the_server_with_it(tiny_models):
    code = (
        "import json, sys, time\n"
        "from tfzoo.serve.background import ServerProcess\n"
        "server = ServerProcess(sys.argv[1])\n"
        "print(json.dumps([server.process.pid, server.url]), flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(pathlib.Path(tfzoo.__file__).parents[1])
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tiny_models / "words")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    with parent:
        pid, url = json.loads(parent.stdout.readline())
        assert Client(url, "words").status() == {2: "AVAILABLE"}
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        if pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break  # ended, but nobody has asked for its exit code yet
        assert time.monotonic() < end
        time.sleep(0.05)
