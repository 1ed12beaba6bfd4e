"""The JSON of requests, by the rules of TensorFlow Serving's REST API.

    {"instances": ["a", "b"]}            row format: one entry an example -> {"predictions": [...]}
    {"inputs": {"text": ["a", "b"]}}     column format: one entry an input -> {"outputs": ...}

An entry of the row format is a value where the signature has one input, an object where it has
several. Bytes travel as {"b64": "..."}. One rule is stricter here: a body must be UTF-8.

Checked against: tensorflow/serving 00e459f, util/json_tensor.cc, g3doc/api_rest.md.
"""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tfzoo.export import warm_up
from tfzoo.export.meta_graph import Signature
from tfzoo.serve import values
from tfzoo.serve.errors import RequestError, shown

# Python's words for what is wrong with JSON, and TensorFlow Serving's.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or } or ] after a value.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Extra data": "The document root must not be followed by other values.",
}

Arrays = dict[str, np.ndarray]


def parse(body: bytes) -> dict[str, Any]:
    """Returns the JSON object that a request's body holds.

    Raises:
        RequestError: when it is not UTF-8, not JSON, or not an object.
    """
    if not body.strip():
        raise RequestError("JSON Parse error: The document is empty")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        raise RequestError(message) from None
    try:
        document = json.loads(text, parse_float=_finite)
    except json.JSONDecodeError as error:
        words = _PARSE_ERRORS.get(error.msg.removesuffix(": "), error.msg)
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        raise RequestError(f"JSON Parse error: {words} at offset: {offset}") from None
    except RecursionError:
        raise RequestError("JSON Parse error: nested too deeply") from None
    except ValueError:  # a whole number of thousands of digits
        raise RequestError("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Returns the signature that a request asks for; "serving_default" when it names none.

    Raises:
        RequestError: when the name is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name or "serving_default"


def read_inputs(document: Mapping[str, Any], signature: Signature) -> tuple[Arrays, bool]:
    """Returns the arrays of a predict request, and whether it is in row format.

    Raises:
        RequestError: when it has neither or both formats, or its values do not fit the signature.
    """
    types = {name: spec.dtype for name, spec in signature.inputs.items()}
    rows = "instances" in document
    if rows and "inputs" in document:
        raise RequestError(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    if rows:
        return _read_rows(document, types, _defaults(signature)), True
    if "inputs" in document:
        return _read_columns(document["inputs"], types, signature.defaults.keys()), False
    raise RequestError("Missing 'inputs' or 'instances' key")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # 1e999; "Infinity" does not come this way
        raise ValueError
    return value


def _defaults(signature: Signature) -> dict[str, Any]:
    """The values of inputs that a row may leave out."""
    arrays = {n: warm_up.read_tensor(memoryview(t)) for n, t in signature.defaults.items()}
    return {name: array.reshape(-1)[0].item() for name, array in arrays.items()}


def _read_rows(
    document: Mapping[str, Any], types: Mapping[str, str], defaults: Mapping[str, Any]
) -> Arrays:
    instances = document["instances"]
    if not isinstance(instances, list):
        raise RequestError(
            f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array"
        )
    if not instances:
        raise RequestError(f"JSON Value: {shown(document)} No values in 'instances' array")
    named = _is_named(instances[0])
    needed = [name for name in types if name not in defaults]
    if not named and len(needed) > 1:
        raise RequestError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            f"required as per tensorinfo_map: {','.join(types)}"
        )
    columns: dict[str, list[Any]] = {name: [] for name in types}
    shapes: dict[str, list[int]] = {}
    for number, element in enumerate(instances):
        if named != _is_named(element):
            expected, found = ("object", "list") if named else ("value/list", "object")
            raise RequestError(
                f"Expecting {expected} but got {found} at item {number} of input list"
            )
        given = {**defaults, **(element if named else {needed[0]: element})}
        for name, value in given.items():
            try:
                _add(value, name, types, columns, shapes)
            except RequestError as error:
                key = f" key: {name}" if named else ""
                raise RequestError(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code}: {error}"
                ) from None
        if len(given) != len(types):
            raise RequestError(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{shown(element)} keys must be equal to: {','.join(types)}"
            )
    return {
        name: values.to_array(column, [len(instances), *shapes[name]], types[name])
        for name, column in columns.items()
    }


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not values.is_base64(value)


def _add(
    value: Any,
    name: str,
    types: Mapping[str, str],
    columns: Mapping[str, list[Any]],
    shapes: dict[str, list[int]],
) -> None:
    """Adds one example's value of one input to its column."""
    if name not in types:
        raise RequestError(f"JSON object: does not have named input: {name}")
    shape = values.shape_of(value)
    if shapes.setdefault(name, shape) != shape:
        want, got = (str(s).replace(" ", "") for s in (shapes[name], shape))
        raise RequestError(f"Expecting shape {want} but got: {got}")
    values.flatten(value, shape, 0, types[name], columns[name])


def _read_columns(inputs: Any, types: Mapping[str, str], optional: Collection[str]) -> Arrays:
    needed = [name for name in types if name not in optional]
    if not _is_named(inputs):
        if len(needed) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                f"required as per tensorinfo_map: {','.join(types)}"
            )
        inputs = {needed[0]: inputs}
    arrays = {}
    for name, dtype in types.items():
        if name not in inputs and name in optional:
            continue
        if name not in inputs:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
        shape = values.shape_of(inputs[name])
        column: list[Any] = []
        values.flatten(inputs[name], shape, 0, dtype, column)
        arrays[name] = values.to_array(column, shape, dtype)
    return arrays
