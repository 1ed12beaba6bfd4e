"""How a request fails: TensorFlow's kinds of error, their HTTP statuses, and values in words.

Source: tensorflow/serving, model_servers/http_server.cc (the table of statuses).
"""

import json
from typing import Any

HTTP_STATUS = {
    "OK": 200, "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400, "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501,
    "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500, "UNAUTHENTICATED": 401,
}  # fmt: skip

_SHOWN_CHARACTERS = 200


class RequestError(Exception):
    """A request that cannot be answered.

    Attributes:
        code: the kind of error, a key of HTTP_STATUS.
    """

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.code = code


def error_body(message: str) -> str:
    """Returns the body of every reply that is an error."""
    return json.dumps({"error": message}, ensure_ascii=False, indent=4)


def shown(value: Any) -> str:
    """Returns a JSON value as text for a message, cut where it gets long."""
    text = json.dumps(_short(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " ..."


def type_name(value: Any) -> str:
    """Returns the name that TensorFlow Serving gives to the type of a JSON value."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def _short(value: Any, depth: int = 3) -> Any:
    """Returns the beginning of a value, so that showing a huge request costs little."""
    if isinstance(value, str):
        return value[: _SHOWN_CHARACTERS + 1]
    if not depth:
        return "..." if isinstance(value, (list, dict)) else value
    if isinstance(value, list):
        return [_short(item, depth - 1) for item in value[:20]]
    if isinstance(value, dict):
        return {k[:100]: _short(value[k], depth - 1) for k in list(value)[:20]}
    return value
