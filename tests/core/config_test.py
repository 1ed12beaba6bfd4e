import dataclasses
from typing import Any, Literal

import pytest

from tfzoo.core import config
from tfzoo.core.config import ConfigError
from tfzoo.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = 1
    rate: float = 0.5

    def __post_init__(self):
        if self.size < 1:
            raise UserError(f"size must be at least 1. Received: size={self.size}.")


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    kind: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = ()
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    maybe: int | None = None
    either: str | dict[str, float] = "none"
    anything: Any = None


def fill(**values):
    return config.from_dict(Outer, {"name": "x", **values})


def refused(match, **values):
    with pytest.raises(ConfigError, match=match) as caught:
        fill(**values)
    assert "\n" not in str(caught.value)


def test_values_reach_their_fields():
    values = {
        "inner": {"size": 3, "rate": 1},
        "kind": "b",
        "sizes": [1, 2],
        "weights": {"x": 2},
        "maybe": None,
        "either": {"y": 0.5},
        "anything": [1, {"z": None}],
    }
    filled = fill(**values)
    assert filled.inner == Inner(3, 1.0)
    assert filled.sizes == (1, 2)
    assert filled.weights == {"x": 2.0}
    assert type(filled.inner.rate) is float
    assert filled.either == {"y": 0.5}
    assert filled.anything == [1, {"z": None}]


def test_to_dict_is_the_inverse():
    filled = fill(inner={"size": 3}, sizes=[4, 5], weights={"x": 2})
    plain = config.to_dict(filled)
    assert plain["sizes"] == [4, 5]
    assert config.from_dict(Outer, plain) == filled


def test_an_unknown_key_names_the_nearest_one():
    refused(r"`inner.sise` is not a config key. Did you mean `size`\?", inner={"sise": 3})


def test_an_unknown_key_with_nothing_near_lists_what_there_is():
    refused("Known: rate, size", inner={"zzzzzz": 3})


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="`name` is required"):
        config.from_dict(Outer, {})


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"inner": {"size": "3"}}, r"`inner.size` must be int. Received: '3' \(str\)"),
        ({"inner": {"size": True}}, "`inner.size` must be int. Received: True"),
        ({"inner": {"size": 3.0}}, "`inner.size` must be int"),
        ({"inner": {"rate": "fast"}}, "`inner.rate` must be float"),
        ({"inner": {"rate": float("nan")}}, "must be a finite number"),
        ({"inner": {"rate": float("inf")}}, "must be a finite number"),
        ({"inner": 3}, "`inner` must be a group of keys"),
        ({"kind": "c"}, "`c` is not a value of `kind`. Known: a, b"),
        ({"sizes": 3}, "`sizes` must be a list"),
        ({"sizes": [1, "2"]}, r"`sizes\[1\]` must be int"),
        ({"weights": [1]}, "`weights` must be a group of keys"),
        ({"weights": {"x": "heavy"}}, "`weights.x` must be float"),
        ({"maybe": "3"}, "`maybe` must be int"),
        ({"either": 3}, "`either` must be"),
        ({"inner": None}, "`inner` must be a group of keys"),
        ({"name": None}, "`name` must be str"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_full_path(values, match):
    refused(match, **values)


def test_what_a_dataclass_refuses_is_told_with_its_path():
    refused("inner: size must be at least 1. Received: size=0", inner={"size": 0})


def test_a_float_without_a_dot_is_a_number():
    assert fill(inner={"rate": "1e-4"}).inner.rate == 1e-4


def test_overrides_are_yaml_and_come_in_order():
    values = {"a": {"b": 1}}
    changed = config.with_overrides(values, ["a.b=2", "a.c=[1, x]", "d.e=null", "a.b=3", "f=a=b"])
    assert changed == {"a": {"b": 3, "c": [1, "x"]}, "d": {"e": None}, "f": "a=b"}
    assert values == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("a", "Expected an override like `train.steps=100`"),
        ("=1", "Expected an override"),
        ("a..b=1", "Expected an override"),
        ("a=[1", "`a` is not valid YAML"),
        ("a.b.c=1", "`b` in `a.b.c` is a single value"),
    ],
)
def test_a_malformed_override_is_refused(override, match):
    with pytest.raises(ConfigError, match=match):
        config.with_overrides({"a": {"b": 1}}, [override])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"a: [1", r"x.yaml:\d+ is not valid YAML"),
        (b"- 1\n", "must hold a YAML mapping. Received: list"),
        (b"", "must hold a YAML mapping. Received: NoneType"),
        (b"a: \xff\n", "is not UTF-8 text: byte 3"),
        (b"a: !!python/object:os.system x", "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused(tmp_path, content, match):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=match) as caught:
        config.read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such config file"):
        config.read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\nb: 2\na: 3\n", r":3 gives `a` a second time"),
        ("a:\n  b: 1\n  c: 2\n  b: 1\n", r":4 gives `b` a second time"),
        ("a:\n- {b: 1, b: 2}\n", r":2 gives `b` a second time"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path, text, where):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=where):
        config.read_yaml(path)


def test_one_key_in_two_groups_is_no_repetition(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: {x: 1}\nb: {x: 1}\nc: [{x: 1}, {x: 2}]\n")
    assert config.read_yaml(path)["c"] == [{"x": 1}, {"x": 2}]
