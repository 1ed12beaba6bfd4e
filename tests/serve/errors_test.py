"""Statuses of errors, and values in words."""

import json

import pytest

from tfzoo.export.c_api import CODES
from tfzoo.serve.errors import HTTP_STATUS, error_body, shown, type_name


def test_every_code_of_tensorflow_has_a_status():
    assert set(HTTP_STATUS) == set(CODES)


def test_an_error_is_a_json_object_with_one_key():
    assert json.loads(error_body('é "quoted"\n')) == {"error": 'é "quoted"\n'}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "Null"), (True, "True"), (False, "False"), ({}, "Object"), ([], "Array"),
        ("", "String"), (0, "Number"), (0.0, "Number"),
    ],
)  # fmt: skip
def test_types_have_tensorflow_servings_names(value, name):
    assert type_name(value) == name


def test_huge_values_are_shown_cut():
    deep = []
    for _ in range(900):
        deep = [deep]
    for value in ("x" * 10**6, list(range(10**6)), {"k": ["v" * 10**6] * 100}, deep):
        assert len(shown(value)) < 300
