"""A client for this server and for TensorFlow Serving: JSON over HTTP, without TensorFlow.

    client = Client("http://127.0.0.1:8501", "bert")
    client.predict(["a film"])                       -> [{"label": "good", "scores": [...]}]
    client.predict({"text": ["a"], "pair": ["b"]})   -> {"label": ["good"], "scores": [[...]]}
    client.generate(["a film"], max_new_tokens=20)   -> [" to remember"], of what writes texts

Source: tensorflow/serving, g3doc/api_rest.md.
"""

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from tfzoo.core.errors import UserError

_FIRST_TOKENS = 4  # of a stream


class ServerError(UserError):
    """The server answered with an error.

    Attributes:
        status: the HTTP status, such as 404.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """One model on one server; may be used by many threads at once.

    Args:
        url: the server, such as "http://127.0.0.1:8501".
        name: the model.
        version: a version of it; None for the one being served.
        timeout_seconds: how long to wait for an answer.
    """

    def __init__(
        self, url: str, name: str, version: int | None = None, timeout_seconds: float = 60.0
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise UserError(
                f"a server's URL begins with http:// or https://. Received: url={url!r}"
            )
        self._server = url.rstrip("/")
        where = "" if version is None else f"/versions/{version}"
        self._path = f"/v1/models/{urllib.parse.quote(name, safe='')}{where}"
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()  # a requests.Session is for one thread

    def predict(
        self, inputs: Sequence[Any] | Mapping[str, Any], signature_name: str | None = None
    ) -> Any:
        """Runs the model.

        Args:
            inputs: a list with one entry an example (a text, or a dict of the inputs of one), or a
                dict of whole columns, one list for each input. Bytes and NumPy arrays are fine.
            signature_name: what to run; None for "serving_default".

        Returns:
            For a list, a list with one entry an example: the value where the signature has one
            output, a dict where it has several. For a dict of columns, the column or a dict of
            columns. Outputs whose names end in "_bytes" are bytes.

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached.
        """
        if isinstance(inputs, (str, bytes)):
            raise UserError(
                f"predict takes a list of texts or a dict of columns. Received: {inputs[:40]!r}"
            )
        columns = isinstance(inputs, Mapping)
        body = {"inputs" if columns else "instances": inputs if columns else list(inputs)}
        answer = self._post("predict", body, signature_name)
        return _from_json(answer["outputs" if columns else "predictions"])

    def generate(self, texts: Sequence[str], **parameters: Any) -> list[Any]:
        """Writes after texts, or what follows from them.

        Args:
            texts: the texts.
            **parameters: what the signature `generate` takes beside them, such as
                `max_new_tokens`, `do_sample`, `temperature`, `top_p`, `seed`: a value for all, or a
                list with one for each text. What is left out is the model's own.

        Returns:
            what is written after each text; lists where the model returns several.

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached, or a parameter has not as many values as texts.
        """
        return [answer["text"] for answer in self._generate(texts, parameters)]

    def stream(self, text: str, max_new_tokens: int = 64, **parameters: Any) -> Iterator[str]:
        """Yields what `generate` gives for a text, piece by piece.

        The server is asked for a few tokens, and again for twice as many, which costs it less than
        twice the work: what was drawn once is drawn again. Not for beams.

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached.
        """
        given, size = "", _FIRST_TOKENS
        while True:
            count = min(size, max_new_tokens)
            (answer,) = self._generate([text], {**parameters, "max_new_tokens": count})
            is_whole = answer["num_tokens"] < count or count == max_new_tokens
            # Half of a character may stand at the end of a part.
            found = answer["text"] if is_whole else answer["text"].rstrip("\ufffd")
            if len(found) > len(given):
                yield found[len(given) :]
                given = found
            if is_whole:
                return
            size *= 2

    def _generate(self, texts: Sequence[str], parameters: Mapping[str, Any]) -> list[Any]:
        if isinstance(texts, (str, bytes)):
            raise UserError(f"generate takes a list of texts. Received: {texts[:40]!r}")
        columns = {"text": list(texts)}
        for name, value in parameters.items():
            columns[name] = (
                list(value) if isinstance(value, (list, tuple)) else [value] * len(texts)
            )
            if len(columns[name]) != len(texts):
                raise UserError(
                    f"{name} must be one value, or one for each of the {len(texts)} texts. "
                    f"Received: {len(columns[name])} values"
                )
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return list(self.predict(rows, "generate")) if rows else []

    def classify(
        self,
        examples: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        signature_name: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Returns (label, score) of every class for each example, a dict of features.

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached.
        """
        answer = self._post("classify", _examples(examples, context), signature_name)
        return [[(label, score) for label, score in row] for row in answer["results"]]

    def regress(
        self,
        examples: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        signature_name: str | None = None,
    ) -> list[float]:
        """Returns one number for each example, a dict of features.

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached.
        """
        answer = self._post("regress", _examples(examples, context), signature_name)
        return list(answer["results"])

    def metadata(self) -> dict[str, Any]:
        """Returns the signatures by name: inputs and outputs with "dtype", "tensor_shape", "name".

        Raises:
            ServerError: when the server refuses.
            UserError: when it cannot be reached.
        """
        answer = self._get("/metadata")
        return dict(answer["metadata"]["signature_def"]["signature_def"])

    def status(self) -> dict[int, str]:
        """Returns the state of every version: "AVAILABLE", "LOADING", "END", ...

        Raises:
            ServerError: when the server does not know the model.
            UserError: when it cannot be reached.
        """
        entries = self._get("")["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in entries}

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Waits until a version is available.

        Raises:
            UserError: when that takes longer; the last reason it was not.
        """
        end = time.monotonic() + timeout_seconds
        while True:
            try:
                states = self.status()
                if "AVAILABLE" in states.values():
                    return
                reason = f"its versions are {states}"
            except UserError as error:
                reason = str(error)
            if time.monotonic() >= end:
                raise UserError(
                    f"the model is not ready. Received: timeout_seconds={timeout_seconds}, {reason}"
                )
            time.sleep(0.05)

    def _post(self, method: str, body: dict[str, Any], signature_name: str | None) -> Any:
        if signature_name is not None:
            body["signature_name"] = signature_name
        try:
            data = json.dumps(body, default=_to_json).encode()
        except (TypeError, ValueError) as error:
            raise UserError(f"the inputs cannot be written as JSON: {error}") from None
        return self._send("POST", f"{self._path}:{method}", data)

    def _get(self, rest: str) -> Any:
        return self._send("GET", self._path + rest)

    def _send(self, method: str, path: str, data: bytes | None = None) -> Any:
        url = self._server + path
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        headers = {"Content-Type": "application/json"}
        try:
            reply = self._local.session.request(
                method, url, data=data, headers=headers, timeout=self._timeout_seconds
            )
        except requests.Timeout:
            raise UserError(
                f"the server does not answer. Received: url={url!r}, "
                f"timeout_seconds={self._timeout_seconds}"
            ) from None
        except requests.RequestException as error:
            raise UserError(
                f"no server answers there ({_reason(error)}). Received: url={url!r}. Is it running?"
            ) from None
        try:
            answer = json.loads(reply.content)
        except ValueError:
            raise ServerError(
                f"the server answered {reply.status_code} without JSON: {reply.text[:200]!r}. "
                f"Received: url={url!r}",
                reply.status_code,
            ) from None
        if reply.status_code != 200:
            message = answer.get("error", answer) if isinstance(answer, dict) else answer
            raise ServerError(f"{message} (HTTP {reply.status_code})", reply.status_code)
        return answer


def _examples(
    examples: Sequence[Mapping[str, Any]], context: Mapping[str, Any] | None
) -> dict[str, Any]:
    body: dict[str, Any] = {"examples": list(examples)}
    return body if context is None else {**body, "context": context}


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no text, number, list or dict")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if isinstance(value, dict):
        if list(value) == ["b64"]:
            return base64.b64decode(value["b64"])
        return {key: _from_json(item) for key, item in value.items()}
    return value


def _reason(error: BaseException) -> str:
    """Returns the words of the operating system under the layers of an HTTP library."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or type(error).__name__
