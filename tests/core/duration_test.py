import pytest

from tfzoo.core.duration import Duration
from tfzoo.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 epochs", 300),
        ("1 epoch", 100),
        ("0.5 epochs", 50),
        ("0.001 epochs", 1),
        ("1000 steps", 1000),
        ("1 step", 1),
        ("10%", 25),
        ("0.1 %", 1),
        ("0%", 0),
        ("100%", 250),
        (" 2 epochs ", 200),
        ("2epochs", 200),
    ],
)
def test_durations_become_steps_rounded_up(text, expected):
    assert Duration.parse(text).steps(steps_per_epoch=100, total_steps=250) == expected


@pytest.mark.parametrize(
    "text", ["3", "three epochs", "-1 epochs", "3 hours", "", "epochs", "1e3 steps", "3 epochs x"]
)
def test_a_duration_without_a_known_unit_is_refused(text):
    with pytest.raises(UserError, match="Expected a duration with its unit") as caught:
        Duration.parse(text)
    assert repr(text) in str(caught.value)


def test_half_a_step_is_refused():
    with pytest.raises(UserError, match="Steps must be a whole number"):
        Duration.parse("1.5 steps")


def test_more_than_everything_is_refused():
    with pytest.raises(UserError, match="at most 100%"):
        Duration.parse("101%")


def test_a_share_of_nothing_is_refused():
    with pytest.raises(UserError, match="A percentage cannot be used here"):
        Duration.parse("10%").steps(steps_per_epoch=10)


@pytest.mark.parametrize("text", ["3 epochs", "1000 steps", "10%", "0.5 epochs"])
def test_printing_is_the_inverse_of_parsing(text):
    assert str(Duration.parse(text)) == text
