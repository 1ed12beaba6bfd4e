import dataclasses
import os
import signal
import subprocess
import sys

import pytest

from tfzoo.cli import serve
from tfzoo.cli.parser import Parser
from tfzoo.serve.server import Options


def test_every_option_of_the_server_can_be_given():
    parser = Parser(prog="x")
    serve.add_arguments(parser)
    options = parser.parse_strictly(["folder"])
    assert {field.name for field in dataclasses.fields(Options)} <= vars(options).keys()
    assert options.port == 8501


def test_what_is_not_given_is_the_servers_own_default(monkeypatch):
    from tfzoo.serve import server

    given = []
    monkeypatch.setattr(server, "serve", lambda *arguments: given.extend(arguments))
    parser = Parser(prog="x")
    serve.add_arguments(parser)
    serve.run(parser.parse_strictly(["there", "--port=0", "--workers=3", "--name=bert"]))
    assert given[:4] == ["there", "bert", "127.0.0.1", 0]
    assert given[4] == dataclasses.replace(Options(), workers=3)


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(models, tmp_path):
    from tfzoo.cli.main import main
    from tfzoo.serve.client import Client

    chosen = ["--name=tiny", "--format=savedmodel"]
    assert main(["export", str(models / "classifier"), str(tmp_path), *chosen]) == 0
    code = "from tfzoo.cli.main import console; console()"
    command = [sys.executable, "-c", code, "serve", str(tmp_path / "tiny"), "--port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ}) as child:
        url = child.stdout.readline().split(" at ")[1].partition("/v1")[0]
        (answer,) = Client(url, "tiny").predict(["a b"])
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert answer["label"] in "xyz"
    assert child.returncode == 0
    assert "Traceback" not in err
