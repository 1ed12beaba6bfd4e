"""The REST API as a function: paths, statuses and bodies; the model is a stand-in."""

import json

import numpy as np
import pytest

from tfzoo.export.meta_graph import Signature, TensorSpec
from tfzoo.export.session import TensorFlowError
from tfzoo.export.tensors import to_array
from tfzoo.serve.api import HEALTH_PATH, METRICS_PATH, Api
from tfzoo.serve.versions import Model


def spec(name, dtype="float32", shape=(None,)):
    return TensorSpec(name, dtype, shape, f"serving_default_{name}:0")


class HalfPlusThree:
    """The toy model of TensorFlow Serving's documentation."""

    signatures = {
        "serving_default": Signature(
            "serving_default", {"x": spec("x")}, {"y": spec("y")}, "tensorflow/serving/predict"
        ),
        "tensorflow/serving/regress": Signature(
            "tensorflow/serving/regress", {"inputs": spec("inputs", "string")},
            {"outputs": spec("outputs")}, "tensorflow/serving/regress",
        ),
        "odd": Signature("odd", {"x": spec("x")}, {"y": spec("y")}, "tensorflow/serving/predict"),
    }  # fmt: skip

    def run(self, signature, /, **inputs):
        if signature == "odd":
            code = {0.0: "INTERNAL", 1.0: "RESOURCE_EXHAUSTED", 2.0: "NEW"}.get(inputs["x"][0])
            if code:
                raise TensorFlowError("refused", code)
            raise ZeroDivisionError("a bug")
        if signature == "serving_default":
            return {"y": to_array(spec("x"), inputs["x"]) * np.float32(0.5) + np.float32(3)}
        return {"outputs": np.array([3.5, 4.0][: len(inputs["inputs"])], np.float32)}

    def close(self):
        pass


@pytest.fixture
def api(tmp_path):
    (tmp_path / "123").mkdir()
    model = Model("half_plus_three", tmp_path, lambda folder: HalfPlusThree())
    model.refresh()
    return Api({"half_plus_three": model, "späte": Model("späte", tmp_path, lambda folder: None)})


def get(api, path):
    reply = api.answer("GET", path)
    return reply.status, json.loads(reply.body)


def post(api, path, body):
    data = body if isinstance(body, bytes) else body.encode()
    reply = api.answer("POST", path, data)
    return reply.status, json.loads(reply.body)


def test_the_documented_examples(api):
    root = "/v1/models/half_plus_three"
    assert get(api, root) == (
        200,
        {
            "model_version_status": [
                {
                    "version": "123",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )
    assert post(api, f"{root}:predict", '{"instances": [1.0,2.0,5.0]}') == (
        200,
        {"predictions": [3.5, 4.0, 5.5]},
    )
    body = '{"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}'
    assert post(api, f"{root}:regress", body) == (200, {"results": [3.5, 4.0]})
    assert post(api, "/v1/models/half:predict", '{"instances": [1.0,5.0]}') == (
        404,
        {"error": "Servable not found for request: Latest(half)"},
    )


def test_a_version_can_be_asked_for(api):
    root = "/v1/models/half_plus_three/versions"
    assert get(api, f"{root}/123")[0] == 200
    assert post(api, f"{root}/123:predict", '{"inputs": [1.0]}') == (200, {"outputs": [3.5]})
    assert post(api, f"{root}/0123:predict", '{"inputs": [1.0]}')[0] == 200
    assert post(api, f"{root}/99:predict", '{"inputs": [1.0]}') == (
        404,
        {"error": "Servable not found for request: Specific(half_plus_three, 99)"},
    )
    assert get(api, f"{root}/99") == (
        404,
        {"error": "Could not find version 99 of model half_plus_three"},
    )


def test_metadata_is_the_signatures(api):
    status, answer = get(api, "/v1/models/half_plus_three/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "half_plus_three", "signature_name": "", "version": "123",
    }  # fmt: skip
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_x:0",
    }
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert get(api, "/v1/models/half_plus_three/versions/123/metadata")[0] == 200
    assert get(api, "/v1/models/half_plus_three/versions/9/metadata")[0] == 404
    assert get(api, "/v1/models/half/metadata") == (
        404,
        {"error": "Servable not found for request: Latest(half)"},
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("POST", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("POST", "/v1/models", 400, "Malformed request: POST /v1/models"),
        ("GET", "/v1/models/foo:predict", 400, "Malformed request"),
        ("POST", "/v1/models/foo", 400, "Malformed request"),
        ("POST", "/v1/models/foo:explain", 400, "Malformed request"),
        ("POST", "/v1/models/foo/version/50:regress", 400, "Malformed request"),
        ("POST", "/v1/models/foo/versions/HELLO:regress", 400, "Malformed request"),
        ("PUT", "/v1/models/foo", 400, "Malformed request: PUT /v1/models/foo"),
        ("DELETE", "/v1/models/foo:predict", 400, "Malformed request"),
        ("POST", f"/v1/models/foo/versions/{2**64}:regress", 400, "Failed to convert version"),
        ("GET", "/v1/models/foo/versions/" + "9" * 5000, 400, "Failed to convert version"),
        ("POST", "/v1/models/m/labels/x:predict", 400, "Unrecognized servable version label: x"),
        ("GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
        ("GET", "/v1/models/fo%6F", 404, "Could not find any versions of model foo"),
        ("GET", "/v1/models/sp%C3%A4te", 404, "Could not find any versions of model späte"),
        ("GET", "/", 404, "Not found: GET /"),
        ("POST", "/statuspage", 404, "Not found: POST /statuspage"),
    ],
)
def test_paths_that_lead_nowhere(api, method, path, status, message):
    reply = api.answer(method, path, b"{}")
    assert reply.status == status
    assert message in json.loads(reply.body)["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: Missing a name for object member."),
        (b"\xff", "JSON Parse error: Invalid encoding in string."),
        (b"[]", "JSON Value: [] Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": ["a"]}', "is not of expected type: float"),
        (b'{"instances": [[1], [1, 2]]}', "Expecting shape [1] but got: [2]"),
        (b'{"inputs": [[1]]}', "input 'x' has the wrong shape. Expected [any]"),
        (b'{"signature_name": 1}', "'signature_name' key must be a string value"),
        (b'{"signature_name": "no", "inputs": 1}', 'Serving signature name: "no" not found in'),
    ],
)
def test_bodies_that_cannot_be_answered_are_400(api, body, message):
    status, answer = post(api, "/v1/models/half_plus_three:predict", body)
    assert status == 400
    assert message in answer["error"]


def test_bad_json_for_an_unknown_model_is_bad_json(api):
    assert post(api, "/v1/models/half:predict", "{")[0] == 400
    assert post(api, "/v1/models/half:classify", '{"examples": []}')[0] == 400
    assert post(api, "/v1/models/half:classify", '{"examples": [{}]}')[0] == 404


def test_a_signature_of_another_method_is_refused(api):
    path = "/v1/models/half_plus_three:classify"
    assert "Was: tensorflow/serving/predict" in post(api, path, '{"examples": [{}]}')[1]["error"]
    body = '{"signature_name": "no", "examples": [{}]}'
    assert "No signature was found with the name: no" in post(api, path, body)[1]["error"]


def test_tensorflows_errors_have_their_status(api):
    for value, status in [(0.0, 500), (1.0, 429), (2.0, 500)]:
        body = json.dumps({"signature_name": "odd", "inputs": [value]})
        assert post(api, "/v1/models/half_plus_three:predict", body) == (
            status,
            {"error": "refused"},
        )


def test_a_bug_is_500_and_the_server_goes_on(api):
    body = '{"signature_name": "odd", "inputs": [3.0]}'
    status, answer = post(api, "/v1/models/half_plus_three:predict", body)
    assert (status, answer["error"]) == (500, "Internal error: ZeroDivisionError: a bug")
    assert post(api, "/v1/models/half_plus_three:predict", '{"inputs": [1.0]}')[0] == 200


def test_health_waits_for_every_model(api, tmp_path):
    assert get(api, HEALTH_PATH) == (503, {"error": "Not ready: späte"})
    model = Model("m", tmp_path, lambda folder: HalfPlusThree())
    one = Api({"m": model})
    assert get(one, HEALTH_PATH)[0] == 503
    model.refresh()
    assert get(one, HEALTH_PATH) == (200, {"status": "ok"})


def test_requests_are_counted_for_known_models_only(api):
    post(api, "/v1/models/half_plus_three:predict", '{"inputs": [1.0]}')
    post(api, "/v1/models/half_plus_three:predict", "{")
    post(api, "/v1/models/half:predict", '{"inputs": [1.0]}')
    reply = api.answer("GET", METRICS_PATH)
    assert (reply.status, reply.content_type) == (200, "text/plain")
    assert 'request_count{model_name="half_plus_three",status="OK"} 1' in reply.body
    assert 'request_count{model_name="half_plus_three",status="INVALID_ARGUMENT"} 1' in reply.body
    assert 'model_name="half"' not in reply.body


def test_only_inference_needs_a_worker(api):
    assert api.is_inference("POST", "/v1/models/m/versions/1:predict")
    assert not api.is_inference("GET", "/v1/models/m:predict")
    assert not api.is_inference("POST", "/v1/models/m")
