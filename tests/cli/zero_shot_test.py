import pytest

from tfzoo.cli import columns, zero_shot
from tfzoo.cli.parser import Parser
from tfzoo.core.errors import UserError
from tfzoo.tasks import zero_shot as task


@pytest.fixture
def made(monkeypatch):
    """made(arguments) -> what the task would be made with."""
    monkeypatch.setattr(task, "ZeroShot", lambda *given, **more: (*given, more))

    def call(*arguments):
        parser = Parser(prog="x")
        columns.add_columns(parser, "in a file")
        zero_shot.add_zero_shot(parser)
        return zero_shot.task(parser.parse_strictly(arguments), "loaded")

    return call


def test_without_a_template_the_task_is_that_of_the_model(made):
    assert made() == "loaded"


def test_labels_are_their_own_words_or_others(made):
    template = "--template={text} {label}"
    assert made(template, "--labels=a, b c")[2] == {"a": "a", "b c": "b c"}
    assert made(template, "--labels=0=bad ,1 = very = good")[2] == {"0": "bad", "1": "very = good"}


def test_a_template_may_have_lines(made):
    assert made(r"--template=A: {text}\nB:\t{label}", "--labels=a,b")[1] == "A: {text}\nB:\t{label}"


def test_only_what_is_given_is_handed_on(made):
    arguments = ("--template={text} {label}", "--labels=a,b")
    assert made(*arguments)[3] == {}
    for name in task.NORMALIZE:
        given = ("--shots=2", "--seed=3", f"--normalize={name}")
        assert made(*arguments, *given)[3] == {"shots": 2, "seed": 3, "normalize": name}


def test_examples_are_read_with_their_labels(made, tmp_path):
    path = tmp_path / "shots.tsv"
    path.write_text("text\tpair\tlabel\nx\ty\ta\n")
    arguments = (f"--examples={path}", "--labels=a,b")
    (found,) = made("--template={text} {label}", *arguments)[3].values()
    assert (found.texts, found.pairs, found.labels) == (("x",), None, ("a",))
    (found,) = made("--template={text} {pair} {label}", *arguments)[3].values()
    assert found.pairs == ("y",)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--shots=2"], "--shots goes with --template"),
        (["--template={text} {label}"], "needs --labels"),
        (["--template={text} {label}", "--labels=a=x,a=y"], "must be different names"),
        (["--template={text} {label}", "--labels=a,b", "--normalize=token"], "invalid choice"),
        (["--template={text} {label}", "--labels=a,b", "--shots=0"], "from 1 on"),
    ],
)
def test_what_is_half_or_wrong_is_refused(made, arguments, match):
    with pytest.raises(UserError, match=match):
        made(*arguments)
