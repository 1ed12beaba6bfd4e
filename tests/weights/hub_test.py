"""Models of the hub, fetched from a small server that speaks its protocol, and from its cache."""

import hashlib
import http.server
import json
import threading

import huggingface_hub
import pytest
from huggingface_hub import constants

from tests.weights import tiny
from tfzoo.core.errors import UserError
from tfzoo.weights import hub

FIRST, SECOND = "1" * 40, "2" * 40
FILES = {
    "config.json": b"{}",
    "model-00001-of-00001.safetensors": b"weights" * 1000,
    "model.safetensors.index.json": b"{}",
    "pytorch_model.bin": b"pickle",
    "tf_model.h5": b"hdf5",
    "onnx/model.onnx": b"onnx",
    "README.md": b"# A model",
    "vocab.txt": b"a\nb",
    "1_Pooling/config.json": b"{}",
}


def digest(content):
    return hashlib.sha1(content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """As much of the hub's protocol as a download needs."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = {}  # name -> {revision: {file: content}}
        self.gated = set()
        self.main = [FIRST]  # the commits of the branch, one request after another
        self.breaks = {}  # file -> after how many bytes its first download breaks off
        self.asked = []  # (method, file, Range, Authorization) of every file


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0].strip("/").split("/")
        is_api = path[:2] == ["api", "models"]
        path = path[2:] if is_api else path
        name, (what, revision, *rest) = "/".join(path[:2]), path[2:]
        revisions = self.server.models.get(name)
        if revisions is None:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if name in self.server.gated and self.headers["Authorization"] != "Bearer right":
            return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        if revision == "main":
            revision = self.server.main.pop(0) if self.server.main[1:] else self.server.main[0]
        commit = {"new": SECOND}.get(revision, revision)
        if commit not in revisions:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = revisions[commit]
        if is_api and what == "revision":
            return self.answer(200, json.dumps({"id": name, "sha": commit}).encode())
        if is_api:
            listed = [
                {"type": "file", "path": p, "size": len(c or b""), "oid": digest(c or b"")}
                for p, c in files.items()
            ]
            return self.answer(200, json.dumps(listed).encode())
        file = "/".join(rest)
        asked = (self.command, file, self.headers["Range"], self.headers["Authorization"])
        self.server.asked.append(asked)
        content = files[file]
        if content is None:
            return self.answer(400, b"")
        headers = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": commit}
        begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-") if asked[2] else 0)
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        return self.answer(206 if begin else 200, content[begin:], headers)

    def answer(self, status, content, headers=()):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            end = self.server.breaks.pop(self.path.rpartition("/")[2], None)
            self.wfile.write(content[:end])
            self.close_connection = end is not None


@pytest.fixture
def server(monkeypatch, tmp_path):
    with Server() as found:
        found.models["org/name"] = {FIRST: FILES, SECOND: {**FILES, "config.json": b'{"a": 1}'}}
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{found.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "")
        yield found
        found.shutdown()
        thread.join()
        huggingface_hub.close_session()


def refused(address):
    with pytest.raises(UserError) as error:
        hub.fetch(address)
    assert "\n" not in str(error.value)
    assert f"Received: {address}." in str(error.value)
    return str(error.value)


def fetched(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_the_needed_files_are_fetched(server):
    unneeded = {"pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "README.md"}
    assert fetched(hub.fetch("hf://org/name")) == {
        name: content for name, content in FILES.items() if name not in unneeded
    }
    assert not {file for _, file, _, _ in server.asked} & unneeded


def test_a_second_call_fetches_nothing(server):
    first = hub.fetch("hf://org/name")
    server.asked.clear()
    assert hub.fetch("hf://org/name") == first
    assert not server.asked


@pytest.mark.parametrize("revision", ["new", SECOND])
def test_a_revision_is_pinned(server, revision):
    assert fetched(hub.fetch(f"hf://org/name@{revision}"))["config.json"] == b'{"a": 1}'
    assert fetched(hub.fetch("hf://org/name"))["config.json"] == b"{}"


@pytest.mark.parametrize(
    "weights", ["tf_model.h5", "flax_model.msgpack", "model.weights.h5", "model.safetensors"]
)
def test_other_forms_are_fetched_when_there_is_no_better_one(server, weights):
    server.models["org/name"] = {FIRST: {"config.json": b"{}", weights: b"w", "x.bin": b"x"}}
    assert fetched(hub.fetch("hf://org/name")) == {"config.json": b"{}", weights: b"w"}


def test_all_files_are_of_one_commit_though_the_branch_moves_on(server):
    server.models["org/name"] = {
        commit: {"config.json": commit.encode(), "tf_model.h5": commit.encode()}
        for commit in (FIRST, SECOND)
    }
    server.main = [FIRST, SECOND]
    assert set(fetched(hub.fetch("hf://org/name")).values()) == {FIRST.encode()}


def test_a_model_with_pickles_alone_is_refused_without_fetching_them(server):
    server.models["org/name"] = {FIRST: {"config.json": b"{}", "pytorch_model.bin": b"x"}}
    assert "PyTorch pickles (pytorch_model.bin) are never fetched" in refused("hf://org/name")
    assert {file for _, file, _, _ in server.asked} == {"config.json"}


WEIGHTS = "model-00001-of-00001.safetensors"


def test_a_download_that_breaks_off_goes_on_where_it_stopped(server, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    server.breaks[WEIGHTS] = 1234
    assert fetched(hub.fetch("hf://org/name"))[WEIGHTS] == FILES[WEIGHTS]
    ranges = [r for method, file, r, _ in server.asked if (method, file) == ("GET", WEIGHTS)]
    assert ranges[-1] == "bytes=1200-"


def test_after_a_failure_only_what_is_missing_is_fetched(server):
    content = server.models["org/name"][FIRST].pop("vocab.txt")
    server.models["org/name"][FIRST] = {"vocab.txt": None, **server.models["org/name"][FIRST]}
    assert "The hub cannot be reached (" in refused("hf://org/name")
    server.models["org/name"][FIRST]["vocab.txt"] = content
    server.asked.clear()
    assert fetched(hub.fetch("hf://org/name"))["vocab.txt"] == content
    assert WEIGHTS not in {file for _, file, _, _ in server.asked}


def test_a_gated_model_needs_the_token_of_the_environment(server, monkeypatch):
    server.gated.add("org/name")
    assert "gated. Accept its terms" in refused("hf://org/name")
    monkeypatch.setenv("HF_TOKEN", "right")
    assert hub.fetch("hf://org/name").name == FIRST
    assert {token for *_, token in server.asked} == {"Bearer right"}


def test_a_model_or_revision_that_is_not_there_is_named(server):
    assert "The hub has no model org/nothing" in refused("hf://org/nothing")
    assert "no revision v9. Expected a branch" in refused("hf://org/name@v9")


@pytest.mark.parametrize("address", ["hf://", "hf://a/b/c", "hf://a b", "hf://a/b@", "hf://../x/y"])
def test_what_is_no_address_is_refused_without_a_request(server, address):
    assert "Expected hf://ORGANIZATION/NAME" in refused(address)


def test_without_a_network_the_cache_serves(server, monkeypatch):
    folder = hub.fetch("hf://org/name")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch("hf://org/name") == folder
    message = refused("hf://org/other")
    assert "The hub cannot be reached (" in message and "refused" in message


def cache(path, commit=FIRST):
    """A cache in the hub's layout with one model, as another program left it."""
    path.mkdir(exist_ok=True)
    base = path / "models--org--name"
    for name in ("refs", "blobs", f"snapshots/{commit}"):
        (base / name).mkdir(parents=True)
    (base / "refs" / "main").write_text(commit)
    tiny.write(path / "plain")
    for file in (path / "plain").iterdir():
        blob = base / "blobs" / digest(file.read_bytes())
        file.rename(blob)
        (base / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{blob.name}")
    return base / "snapshots" / commit


def test_offline_the_cache_of_another_program_is_read(monkeypatch, tmp_path):
    folder = cache(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch("hf://org/name") == folder
    assert hub.fetch(f"hf://org/name@{FIRST}") == folder
    for address in ("hf://org/other", "hf://org/name@v2"):
        message = refused(address)
        assert "HF_HUB_OFFLINE is set" in message and str(tmp_path) in message


def test_progress_is_shown_on_a_terminal_alone(server, monkeypatch, capsys):
    hub.fetch("hf://org/name")
    assert capsys.readouterr() == ("", "")
    assert not huggingface_hub.utils.are_progress_bars_disabled()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    hub.fetch("hf://org/name@new")
    assert "Fetching" in capsys.readouterr().err
