"""The server as a process, asked over HTTP: statuses, load, new versions, signals."""

import concurrent.futures
import gzip
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest
import requests

from tfzoo.core.errors import UserError
from tfzoo.serve.background import ServerProcess
from tfzoo.serve.client import Client, ServerError
from tfzoo.serve.server import Options, serve


@pytest.fixture(scope="module")
def server(tiny_models):
    options = Options(workers=4, queue_size=1000, max_body_bytes=100_000)
    with ServerProcess(tiny_models, options=options) as process:
        yield process


def post(url, body, **more):
    reply = requests.post(url, data=body, timeout=30, **more)
    return reply.status_code, json.loads(reply.content)


def raw(server, data):
    """Sends bytes as they are and returns the beginning of what comes back."""
    where = urllib.parse.urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(65536)


def test_tensorflow_is_not_imported_and_the_start_is_fast(tiny_models):
    with ServerProcess(tiny_models / "words") as process:
        own = pathlib.Path(f"/proc/{process.process.pid}")
        ticks = (own / "stat").read_text().rpartition(")")[2].split()[11:13]
        maps = (own / "maps").read_text()
    assert "libtensorflow_cc" in maps
    assert "_pywrap_tensorflow" not in maps  # the Python half of TensorFlow
    # Of the processor, which other work on the machine does not lengthen much; 0.7 s when idle.
    assert sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK") < 5


def test_strings_go_in_and_labels_scores_and_bytes_come_out(server):
    url = f"{server.url}/v1/models/words:predict"
    status, answer = post(url, '{"instances": ["ab", {"b64": "/w=="}]}')
    assert status == 200
    assert answer["predictions"][0] == {
        "label": "short", "raw_bytes": {"b64": "YWI="}, "scores": [4.0, 1.0], "version": 2,
    }  # fmt: skip
    assert answer["predictions"][1]["raw_bytes"] == {"b64": "/w=="}
    status, answer = post(
        url, '{"signature_name": "pairs", "inputs": {"text": ["a"], "pair": ["b"]}}'
    )
    assert (status, answer) == (200, {"outputs": ["a|b"]})


def test_classify_and_regress_feed_examples(server):
    root = f"{server.url}/v1/models/words"
    body = '{"signature_name": "classify", "examples": [{"text": "ab"}]}'
    assert post(f"{root}:classify", body) == (
        200,
        {"results": [[["short", 4.0], ["long", 1.0]]]},
    )
    body = '{"signature_name": "regress", "context": {"x": 2.0}, "examples": [{}, {"x": 4.0}]}'
    assert post(f"{root}:regress", body) == (200, {"results": [4.0, 5.0]})
    body = '{"signature_name": "regress", "examples": [{"x": 1}]}'  # an int64, not a float
    assert post(f"{root}:regress", body)[0] == 400


def test_non_finite_answers_are_javascripts_words(server):
    body = '{"signature_name": "log", "instances": [0.0, -1.0]}'
    reply = requests.post(f"{server.url}/v1/models/numbers:predict", data=body, timeout=30)
    assert "[-Infinity, NaN]" in reply.text


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("words:predict", b"{", 400, "JSON Parse error"),
        ("words:predict", b'{"instances": ["\xff"]}', 400, "Invalid encoding in string"),
        ("words:predict", b'{"instances": ["\\ud800"]}', 400, "surrogate pair"),
        ("words:predict", b'{"instances": [1]}', 400, "not of expected type: string"),
        ("words:predict", b'{"instances": [["a"], ["b", "c"]]}', 400, "Expecting shape [1]"),
        ("words:predict", b'{"inputs": [["a"]]}', 400, "Expected [any]. Received: shape=[1, 1]"),
        ("words:predict", b"[" * 90_000, 400, "nested too deeply"),
        ("words:predict", b'{"a":' * 15_000, 400, "nested too deeply"),
        ("words:predict", b"", 400, "The document is empty"),
        ("nobody:predict", b'{"instances": [1]}', 404, "Servable not found"),
        ("words/versions/9:predict", b'{"instances": ["a"]}', 404, "Specific(words, 9)"),
        ("words:classify", b'{"examples": [{"text": "a"}]}', 400, "Was: tensorflow/serving/"),
        ("words:nothing", b"{}", 400, "Malformed request: POST"),
        (
            "numbers:predict", b'{"signature_name": "choose", "instances": [7]}', 400,
            "indices[0] = 7 is not in [0, 2)",
        ),
        (
            "numbers:predict", b'{"signature_name": "any_rank", "inputs": %s1.0%s}'
            % (b"[" * 300, b"]" * 300), 400, "254 dimensions",
        ),
        ("compiled:predict", b'{"instances": [1.0]}', 500, "XLA compilation disabled"),
        ("words:predict", b'{"instances": ["' + b"x" * 100_000 + b'"]}', 413, "too long"),
    ],
)  # fmt: skip
def test_errors_have_tensorflow_servings_status_and_say_what_was_expected(
    server, path, body, status, message
):
    got, answer = post(f"{server.url}/v1/models/{path}", body)
    assert (got, list(answer)) == (status, ["error"])
    assert message in answer["error"]


def test_replies_are_json(server):
    for path in ("/v1/models/words", "/v1/models/nobody", "/nowhere", "/healthz"):
        reply = requests.get(server.url + path, timeout=30)
        assert reply.headers["Content-Type"].startswith("application/json")
        json.loads(reply.content)


def test_bodies_in_pieces_and_compressed_are_read_and_counted(server):
    url = f"{server.url}/v1/models/words:predict"
    body = b'{"signature_name": "length", "instances": ["ab"]}'
    assert post(url, iter([body[:10], body[10:]])) == (200, {"predictions": [2.0]})
    headers = {"Content-Encoding": "gzip"}
    assert post(url, gzip.compress(body), headers=headers) == (200, {"predictions": [2.0]})
    assert post(url, b"no gzip", headers=headers)[0] == 400
    assert post(url, gzip.compress(b" " * 10**7), headers=headers)[0] == 413
    assert post(url, iter([b" " * 60_000] * 3))[0] == 413


def test_a_length_that_lies_is_refused_before_the_body(server):
    head = (
        "POST /v1/models/words:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert raw(server, head.encode()).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "data",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/models/words:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"POST /v1/models/words:predict HTTP/1.1\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 2\r\n\r\n{}",
        b"GET /v1/models/%ff%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_does_no_harm(server, data):
    assert raw(server, data).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200
    assert "Traceback" not in server.log()


def test_a_client_that_goes_away_does_no_harm(server):
    where = urllib.parse.urlsplit(server.url)
    head = b"POST /v1/models/words:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n"
    for data in (head + b"{", head + b'{"signature_name": "slow", "instances": ["a"]}' + b" " * 14):
        for _ in range(2):
            with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
                connection.sendall(data)
    assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200
    assert "Traceback" not in server.log()


def hammer(url, seconds, clients):
    """Asks from many threads at once, each 3 times or more; returns the errors."""
    end = time.monotonic() + seconds
    errors = []

    def ask(number):
        client = Client(url, "words")
        count = 0
        while time.monotonic() < end or count < 3:
            texts = ["x" * (number + count % 50)]
            try:
                if client.predict(texts, "length") != [float(len(texts[0]))]:
                    errors.append("a wrong answer")
            except UserError as error:
                errors.append(str(error))
            count += 1

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))
    return errors


def test_32_clients_for_2_seconds_without_an_error(server):
    assert not hammer(server.url, 2.0, 32)  # 3,000 requests on two idle cores


@pytest.mark.slow
def test_32_clients_for_10_seconds_without_an_error(server):
    assert not hammer(server.url, 10.0, 32)


def test_metrics_count_what_was_asked(server):
    for _ in range(2):
        Client(server.url, "compiled").metadata()
    assert post(f"{server.url}/v1/models/numbers:predict", '{"inputs": {"x": [1.0]}}')[0] == 200
    page = requests.get(f"{server.url}/monitoring/prometheus/metrics", timeout=30)
    assert page.headers["Content-Type"].startswith("text/plain")
    assert ':tensorflow:serving:request_count{model_name="numbers",status="OK"}' in page.text


def copy_version(tiny_models, base, number):
    """Copies a version as operators should: aside first, then by its name."""
    shutil.copytree(tiny_models / "words" / "1", base / ".aside")
    (base / ".aside").rename(base / str(number))


def test_a_new_version_is_taken_under_load_and_a_broken_one_is_not(tiny_models, tmp_path):
    base = tmp_path / "words"
    base.mkdir()
    copy_version(tiny_models, base, 1)
    with ServerProcess(base, options=Options(poll_seconds=0.1)) as process:
        client = Client(process.url, "words")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            load = pool.submit(hammer, process.url, 1.5, 8)
            copy_version(tiny_models, base, 2)
            wait_for(lambda: client.status() == {2: "AVAILABLE", 1: "END"})
            (base / "3").mkdir()
            (base / "3" / "saved_model.pb").write_bytes(b"broken")
            wait_for(lambda: client.status().get(3) == "END")
            entry = requests.get(f"{process.url}/v1/models/words/versions/3", timeout=30).json()
            assert "damaged" in entry["model_version_status"][0]["status"]["error_message"]
            assert not load.result()
        assert client.status()[2] == "AVAILABLE"
        with pytest.raises(ServerError, match=r"Specific\(words, 1\)"):
            Client(process.url, "words", version=1).predict(["a"], "length")


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def asked(server, text):
    """Connections to a server, on each of which the same request for slow work has been sent."""
    where = urllib.parse.urlsplit(server.url)
    body = f'{{"signature_name": "slow", "instances": ["{text}"]}}'
    head = f"Host: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    while True:
        connection = socket.create_connection((where.hostname, where.port), timeout=120)
        connection.sendall(f"POST /v1/models/words:predict HTTP/1.1\r\n{head}{body}".encode())
        yield connection


def reply(connection):
    """The status and the body of the answer that comes on a connection."""
    with connection:
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_running_and_exits_0(tiny_models, number):
    with ServerProcess(tiny_models / "words", options=Options(workers=1)) as process:
        idle = requests.Session()
        idle.get(f"{process.url}/healthz", timeout=30)  # a connection that is kept open
        connections = list(itertools.islice(asked(process, "abc"), 3))
        for _ in range(3):  # turns of the server's loop, which has the requests after them
            idle.get(f"{process.url}/healthz", timeout=30)
        process.process.send_signal(number)
        for connection in connections:
            assert reply(connection) == (200, {"predictions": [3.0]})
        assert process.process.wait(60) == 0
        with pytest.raises(UserError, match="Connection refused"):
            Client(process.url, "words").status()


def test_a_full_queue_answers_503_at_once(tiny_models):
    with ServerProcess(tiny_models / "words", options=Options(workers=1, queue_size=1)) as process:
        connections = list(itertools.islice(asked(process, "a"), 4))
        replies = [reply(connection) for connection in connections]
        statuses = sorted(status for status, _ in replies)
        assert statuses[0] == 200
        assert statuses[-1] == 503
        assert all("busy" in answer["error"] for status, answer in replies if status == 503)
        assert reply(next(asked(process, "a")))[0] == 200


def test_warm_up_requests_are_run_and_a_broken_file_is_told(tiny_models, tmp_path):
    version = tmp_path / "words" / "1"
    shutil.copytree(tiny_models / "words" / "1", version)
    (version / "assets.extra").mkdir()
    (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"broken")
    with pytest.raises(UserError, match="the warm-up requests are damaged") as caught:
        ServerProcess(tmp_path / "words")
    assert "\n" not in str(caught.value)


def test_a_taken_port_is_one_line(tiny_models):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"Address already in use.*port={port}"):
            serve(tiny_models, port=port)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"host": "no.such.host.invalid"}, "no such address"),
        ({"port": 70000}, "from 0 to 65535"),
        ({"host": "192.0.2.1", "port": 0}, "cannot listen there"),
        ({"name": "nobody"}, "no 'nobody' there"),
    ],
)
def test_wrong_addresses_and_names_are_one_line(tiny_models, more, message):
    with pytest.raises(UserError, match=message) as caught:
        serve(tiny_models, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["workers", "queue_size", "poll_seconds", "max_body_bytes"])
def test_options_out_of_range_are_refused(name):
    with pytest.raises(UserError, match=f"Received: {name}=-1"):
        Options(**{name: -1})


def test_no_thread_of_this_process_was_left_behind():
    assert not [thread for thread in threading.enumerate() if thread.name == "watcher"]


def test_the_ask_script_prints_an_answer_a_text(server):
    script = pathlib.Path(__file__).parents[2] / "export" / "ask.py"

    def ask(model, *texts):
        url = f"--url={server.url}/v1/models/{model}"
        command = [sys.executable, script, url, *texts]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        return out.stdout or out.stderr

    assert ask("text", "ÄB", "C") == 'ÄB\t"äb"\nC\t"c"\n'
    assert ask("nobody", "a").startswith("the server refuses: Servable not found")
