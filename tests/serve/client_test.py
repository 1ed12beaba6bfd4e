"""The client, against a stand-in that answers what it is told to."""

import http.server
import json
import subprocess
import sys
import threading

import numpy as np
import pytest

from tfzoo.core.errors import UserError
from tfzoo.serve.client import Client, ServerError


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture
def stand_in():
    """Answers (status, body) of `.answer` and keeps the last request in `.request`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.request = (self.command, self.path, json.loads(body) if body else None)
            status, answer = server.answer
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_texts_are_rows_and_dicts_are_columns(stand_in):
    client = Client(stand_in.url, "m")
    stand_in.answer = (200, {"predictions": [{"label": "a", "raw_bytes": {"b64": "/w=="}}]})
    assert client.predict(["x"]) == [{"label": "a", "raw_bytes": b"\xff"}]
    assert stand_in.request == ("POST", "/v1/models/m:predict", {"instances": ["x"]})
    stand_in.answer = (200, {"outputs": {"y": [1.0]}})
    columns = {"ids": np.array([[1, 2]], np.int32), "raw": [b"\xff"], "n": np.float32(0.5)}
    assert client.predict(columns, signature_name="token_ids") == {"y": [1.0]}
    assert stand_in.request[2] == {
        "inputs": {"ids": [[1, 2]], "raw": [{"b64": "/w=="}], "n": 0.5},
        "signature_name": "token_ids",
    }


def test_an_array_of_rows_is_a_list_of_rows(stand_in):
    stand_in.answer = (200, {"predictions": [1.0, 2.0]})
    assert Client(stand_in.url, "m").predict(np.array([0.5, 1.5])) == [1.0, 2.0]
    assert stand_in.request[2] == {"instances": [0.5, 1.5]}


def test_versions_and_odd_names_are_in_the_path(stand_in):
    stand_in.answer = (200, {"predictions": [1]})
    Client(stand_in.url + "/", "a b/é", version=3).predict(["x"])
    assert stand_in.request[1] == "/v1/models/a%20b%2F%C3%A9/versions/3:predict"


def test_examples_are_classified_and_regressed(stand_in):
    client = Client(stand_in.url, "m")
    stand_in.answer = (200, {"results": [[["good", 0.9], ["bad", 0.1]]]})
    assert client.classify([{"text": "x"}], {"year": 1}) == [[("good", 0.9), ("bad", 0.1)]]
    assert stand_in.request[1:] == (
        "/v1/models/m:classify",
        {"examples": [{"text": "x"}], "context": {"year": 1}},
    )
    stand_in.answer = (200, {"results": [3.5]})
    assert client.regress([{"x": 1.0}], signature_name="r") == [3.5]


def test_states_and_signatures_are_plain_dicts(stand_in):
    client = Client(stand_in.url, "m")
    stand_in.answer = (
        200,
        {"model_version_status": [{"version": "2", "state": "AVAILABLE", "status": {}}]},
    )
    assert client.status() == {2: "AVAILABLE"}
    client.wait_until_ready(1)
    stand_in.answer = (200, {"metadata": {"signature_def": {"signature_def": {"s": {}}}}})
    assert client.metadata() == {"s": {}}
    assert stand_in.request[:2] == ("GET", "/v1/models/m/metadata")


def test_the_servers_error_comes_with_its_status(stand_in):
    stand_in.answer = (404, {"error": "Servable not found for request: Latest(m)"})
    with pytest.raises(ServerError, match=r"Latest\(m\) \(HTTP 404\)") as caught:
        Client(stand_in.url, "m").predict(["x"])
    assert caught.value.status == 404
    stand_in.answer = (502, b"<html>Bad gateway</html>")
    with pytest.raises(ServerError, match="answered 502 without JSON") as caught:
        Client(stand_in.url, "m").status()
    assert caught.value.status == 502


def test_waiting_ends_with_the_last_reason(stand_in):
    stand_in.answer = (404, {"error": "Could not find any versions of model m"})
    with pytest.raises(UserError, match=r"is not ready.*Could not find any versions"):
        Client(stand_in.url, "m").wait_until_ready(0.1)


def test_no_server_is_one_line():
    with pytest.raises(UserError, match=r"\(Connection refused\).*Is it running\?") as caught:
        Client("http://127.0.0.1:1", "m").predict(["x"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [("x", "takes a list of texts"), (b"x", "takes a list"), ([object()], "written as JSON")],
)
def test_what_cannot_be_sent_is_refused(inputs, message):
    with pytest.raises(UserError, match=message):
        Client("http://127.0.0.1:1", "m").predict(inputs)


def test_a_url_without_a_scheme_is_refused():
    with pytest.raises(UserError, match="begins with http"):
        Client("localhost:8501", "m")


def test_the_client_needs_no_tensorflow_and_no_numpy():
    code = (
        "import sys, tfzoo.serve.client\n"
        "print(sorted({'tensorflow', 'numpy', 'aiohttp', 'keras'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_parameters_are_each_texts_own(stand_in):
    client = Client(stand_in.url, "m")
    stand_in.answer = (200, {"predictions": [{"text": "c", "num_tokens": 1}] * 2})
    assert client.generate(["a", "b"], top_k=3, seed=[1, 2]) == ["c", "c"]
    rows = [{"text": "a", "top_k": 3, "seed": 1}, {"text": "b", "top_k": 3, "seed": 2}]
    assert stand_in.request[2] == {"signature_name": "generate", "instances": rows}
    assert client.generate([]) == []
    with pytest.raises(UserError, match=r"seed must be one value.*Received: 1 values"):
        client.generate(["a", "b"], seed=[1])
    with pytest.raises(UserError, match="a list of texts"):
        client.generate("a")


def test_a_stream_asks_for_more_until_a_text_has_ended(monkeypatch):
    asked = []

    def answer(self, texts, parameters):
        asked.append((texts, parameters))
        count = parameters["max_new_tokens"]
        text = "0123456789"[:count]
        return [{"text": f"{text}\ufffd" if count == 4 else text, "num_tokens": min(count, 10)}]

    monkeypatch.setattr(Client, "_generate", answer)
    client = Client("http://127.0.0.1:1", "m")
    assert list(client.stream("a", seed=1)) == ["0123", "4567", "89"]
    assert [parameters["max_new_tokens"] for _, parameters in asked] == [4, 8, 16]
    assert asked[0] == (["a"], {"seed": 1, "max_new_tokens": 4})
    assert list(client.stream("a", max_new_tokens=6)) == ["0123", "45"]
    assert list(client.stream("a", max_new_tokens=3)) == ["012"]
