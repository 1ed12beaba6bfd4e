"""Workers of one machine: what they are told, what is seen of them, how they end.

They are small programs here instead of `tfzoo`; train_test.py of the command line has real ones.
"""

import json
import os
import pathlib
import signal
import stat
import sys
import tempfile
import threading
import time

import pytest

from tfzoo.core.errors import UserError
from tfzoo.train import launch

# The worker's number and the file that it says it is ready in.
BEGINNING = """
import json, os, pathlib, signal, sys, tempfile, time
cluster = json.loads(os.environ["TF_CONFIG"])
number = cluster["task"]["index"]
folder = pathlib.Path(sys.argv[-1])
"""


@pytest.fixture
def workers(monkeypatch, tmp_path):
    """Runs workers that are Python programs; gives the exit code."""

    def run(code, count=2):
        program = tmp_path / "python"
        program.write_text(f"#!{sys.executable}\n{BEGINNING}{code}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(program))
            return launch.local_workers(count, [sys.executable, "train", str(tmp_path)])

    return run


def when_ready(tmp_path, number, times=1):
    """Sends this process signals once both workers have begun."""

    def send():
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("ready*"))) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=send, daemon=True).start()


def test_each_worker_knows_itself_and_all_others(workers, tmp_path):
    code = workers("(folder / str(number)).write_text(json.dumps([cluster, sys.argv]))", 3)
    assert code == 0
    told = [json.loads((tmp_path / str(i)).read_text()) for i in range(3)]
    clusters = [cluster for cluster, _ in told]
    assert [c["task"] for c in clusters] == [{"type": "worker", "index": i} for i in range(3)]
    assert clusters[0]["cluster"] == clusters[1]["cluster"] == clusters[2]["cluster"]
    assert len(set(clusters[0]["cluster"]["worker"])) == 3
    assert told[2][1][1:] == ["train", str(tmp_path)]


def test_the_chief_is_seen_and_of_the_others_only_their_errors(workers, capfd):
    workers("print('out', number); print('error', number, file=sys.stderr)")
    out, err = capfd.readouterr()
    assert out == "out 0\n"
    assert sorted(err.splitlines()) == ["error 0", "worker 1: error 1"]


def test_the_exit_code_is_that_of_the_first_to_fail(workers):
    code = workers(
        "if number == 1: (folder / 'leaving').touch(); sys.exit(7)\n"
        "while not (folder / 'leaving').exists(): time.sleep(0.01)\n"
        "time.sleep(1); sys.exit(75)\n"
    )
    assert code == 7


def test_a_killed_worker_counts_as_in_a_shell(workers):
    assert workers("os.kill(os.getpid(), 9) if number == 1 else None") == 128 + 9


def test_workers_that_do_not_leave_after_a_death_are_ended(workers, monkeypatch):
    monkeypatch.setattr(launch, "_SECONDS_TO_LEAVE", 0.5)
    began = time.monotonic()
    assert workers("sys.exit(3) if number == 1 else time.sleep(300)") == 3
    assert time.monotonic() - began < 150


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_all_workers(workers, tmp_path, number):
    when_ready(tmp_path, number)
    before = signal.getsignal(number)
    code = workers(
        "def stop(n, _):\n"
        "    (folder / f'stopped{number}').touch(); sys.exit(128 + n)\n"
        f"signal.signal({int(number)}, stop)\n"
        "(folder / f'ready{number}').touch(); time.sleep(60)\n"
    )
    assert code == 128 + number
    assert len(list(tmp_path.glob("stopped*"))) == 2
    assert signal.getsignal(number) is before


def test_the_second_signal_ends_workers_at_once(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_SECONDS_TO_LEAVE", 300.0)
    when_ready(tmp_path, signal.SIGINT, times=2)
    began = time.monotonic()
    code = workers(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "(folder / f'ready{number}').touch(); time.sleep(300)\n"
    )
    assert code == 128 + signal.SIGKILL
    assert time.monotonic() - began < 150


def test_temporary_files_of_a_killed_worker_are_removed(workers, tmp_path):
    workers(
        "made = tempfile.mkdtemp(); (folder / f'made{number}').write_text(made)\n"
        "os.kill(os.getpid(), 9)"
    )
    made = [pathlib.Path((tmp_path / f"made{i}").read_text()) for i in (0, 1)]
    assert not any(folder.exists() for folder in made)
    assert made[0].parent != pathlib.Path(tempfile.gettempdir())


@pytest.mark.parametrize("count", [1, 0, -1])
def test_less_than_two_workers_are_refused(count):
    with pytest.raises(UserError, match=f"at least 2.*Received: {count}"):
        launch.local_workers(count, ["true"])


def test_a_machine_that_is_a_worker_already_starts_none(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UserError, match="leave --workers out"):
        launch.local_workers(2, ["true"])
