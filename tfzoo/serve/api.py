"""TensorFlow Serving's REST API as a function: method, path and body in, status and body out.

    POST /v1/models/NAME[/versions/N]:predict|classify|regress
    GET  /v1/models/NAME[/versions/N]                    which versions there are, and their states
    GET  /v1/models/NAME[/versions/N]/metadata           signatures: names, types, shapes
    GET  /monitoring/prometheus/metrics
    GET  /healthz                                        200 when every model can answer, else 503

Easy to get wrong: the body is parsed before the model is looked for, so bad JSON for an unknown
model is 400 and not 404; an unknown path below /v1 is 400 "Malformed request".

Checked against: tensorflow/serving 00e459f and b6b8cca, model_servers/http_rest_api_handler.cc,
http_rest_api_util.cc, get_model_status_impl.cc.
"""

import dataclasses
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from typing import Any

from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.export.meta_graph import DTYPES, Signature, TensorSpec
from tfzoo.export.session import Session, TensorFlowError
from tfzoo.serve import examples, replies, rest
from tfzoo.serve.errors import HTTP_STATUS, RequestError, error_body
from tfzoo.serve.metrics import Metrics
from tfzoo.serve.versions import Model

METRICS_PATH = "/monitoring/prometheus/metrics"
HEALTH_PATH = "/healthz"

_WHERE = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"(?i)/v1/models/(?P<name>[^/:]+){_WHERE}:(?P<method>classify|regress|predict)")
_GET = re.compile(rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_WHERE}(?P<metadata>/metadata)?")
_ENUM_NAMES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}


@dataclasses.dataclass(frozen=True)
class Reply:
    """What goes back: an HTTP status, a body, and its type."""

    status: int
    body: str
    content_type: str = "application/json"


class Api:
    """Answers requests with the given models; for any thread."""

    def __init__(self, models: Mapping[str, Model], metrics: Metrics | None = None) -> None:
        self._models = models
        self._metrics = metrics or Metrics()

    def is_inference(self, method: str, path: str) -> bool:
        """Whether a request runs a model, and so belongs in a worker thread."""
        return method == "POST" and _POST.fullmatch(path) is not None

    def answer(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Answers one request; never raises.

        Args:
            method: "GET", "POST" or any other.
            path: as in the request line, percent-encoded, without the query.
            body: of a POST.
        """
        try:
            if method in ("GET", "HEAD"):
                return self._get(method, path)
            return self._post(method, path, body)
        except RequestError as error:
            return failure(error.code, str(error))
        except Exception as error:  # a bug: the client hears of it, the server goes on
            logging.exception("%s %s failed", method, path)
            return failure("INTERNAL", f"Internal error: {type(error).__name__}: {error}")

    def _get(self, method: str, path: str) -> Reply:
        if path == HEALTH_PATH:
            waiting = [name for name, model in self._models.items() if not model.is_available]
            if waiting:
                return failure("UNAVAILABLE", f"Not ready: {', '.join(waiting)}")
            return Reply(200, '{"status": "ok"}')
        if path == METRICS_PATH:
            return Reply(200, self._metrics.text(), "text/plain")
        match = _GET.fullmatch(path)
        if match is None:
            raise _malformed(method, path)
        if match["name"] is None:
            raise RequestError("Missing model name in request.")
        name, number = _target(match)
        if match["metadata"]:
            return Reply(200, self._metadata(name, number))
        if name not in self._models:
            raise RequestError(f"Could not find any versions of model {name}", "NOT_FOUND")
        status = {"model_version_status": self._models[name].status(number)}
        return Reply(200, json.dumps(status, indent=1, ensure_ascii=False))

    def _post(self, method: str, path: str, body: bytes) -> Reply:
        match = _POST.fullmatch(path) if method == "POST" else None
        if match is None:
            raise _malformed(method, path)
        start = time.monotonic()
        name, number = _target(match)
        kind = match["method"].lower()
        code = "OK"
        try:
            return Reply(200, self._run(name, number, kind, body))
        except TensorFlowError as error:
            code = error.code if error.code in HTTP_STATUS else "UNKNOWN"
            raise RequestError(str(error), code) from None
        except UserError as error:
            code = "INVALID_ARGUMENT"
            raise RequestError(str(error), code) from None
        except RequestError as error:
            code = error.code
            raise
        except Exception:
            code = "INTERNAL"
            raise
        finally:
            if name in self._models:  # names that clients make up would fill the memory
                seconds = time.monotonic() - start
                self._metrics.record(name, kind.capitalize(), code, seconds)

    def _run(self, name: str, number: int | None, kind: str, body: bytes) -> str:
        document = rest.parse(body)
        signature_name = rest.signature_name(document)
        # Examples are read before the model is looked for, tensors need its signature.
        records = [] if kind == "predict" else examples.read_examples(document)
        with self._model(name, number).lease(number) as (_, session):
            if kind == "predict":
                return _predict(session, signature_name, document)
            return _run_examples(session, signature_name, kind, records)

    def _metadata(self, name: str, number: int | None) -> str:
        with self._model(name, number).lease(number) as (version, session):
            signatures = {n: _signature(s) for n, s in session.signatures.items()}
        content = {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
        return json.dumps(content, indent=1, ensure_ascii=False)

    def _model(self, name: str, number: int | None) -> Model:
        if name in self._models:
            return self._models[name]
        wanted = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise RequestError(f"Servable not found for request: {wanted}", "NOT_FOUND")


def failure(code: str, message: str) -> Reply:
    """Returns the reply for an error; `code` is a key of HTTP_STATUS."""
    return Reply(HTTP_STATUS[code], error_body(message))


def _malformed(method: str, path: str) -> RequestError:
    if not path.lower().startswith("/v1/"):
        return RequestError(f"Not found: {method} {path}", "NOT_FOUND")
    return RequestError(f"Malformed request: {method} {path}")


def _target(match: re.Match[str]) -> tuple[str, int | None]:
    name = urllib.parse.unquote(match["name"])
    if match["label"] is not None:
        label = urllib.parse.unquote(match["label"])
        raise RequestError(f"Unrecognized servable version label: {label}")
    if match["version"] is None:
        return name, None
    # Long strings of digits are no numbers to Python either.
    number = int(match["version"]) if len(match["version"]) < 40 else 2**63
    if number >= 2**63:
        raise RequestError(f"Failed to convert version: {match['version']} to numeric.")
    return name, number


def _predict(session: Session, name: str, document: Mapping[str, Any]) -> str:
    if name not in session.signatures:
        raise RequestError(
            f'Serving signature name: "{name}" not found in signature def. '
            f"Expected one of: {', '.join(session.signatures)}"
        )
    arrays, rows = rest.read_inputs(document, session.signatures[name])
    return replies.write_outputs(session.run(name, **arrays), rows)


def _run_examples(session: Session, name: str, kind: str, records: list[bytes]) -> str:
    if name not in session.signatures:
        raise RequestError(
            f"No signature was found with the name: {name}. "
            f"Expected one of: {', '.join(session.signatures)}"
        )
    examples.check_signature(session.signatures[name], kind)
    outputs = session.run(name, inputs=records)
    results = examples.classifications if kind == "classify" else examples.regressions
    return replies.write_results(results(outputs, len(records)))


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {name: _tensor(spec) for name, spec in signature.inputs.items()},
        "outputs": {name: _tensor(spec) for name, spec in signature.outputs.items()},
        "method_name": signature.method,
        "defaults": {},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    sizes = [{"size": str(-1 if n is None else n), "name": ""} for n in spec.shape or ()]
    known = spec.dtype in DTYPES.values()
    enum = _ENUM_NAMES.get(spec.dtype, f"DT_{spec.dtype.upper()}") if known else "DT_INVALID"
    return {
        "dtype": enum,
        "tensor_shape": {"dim": sizes, "unknown_rank": spec.shape is None},
        "name": spec.tensor,
    }
