import signal
import subprocess
import sys

import pytest

import tfzoo
from tfzoo.cli import main as cli
from tfzoo.core.errors import UserError


def said(run, *arguments, stdin=b""):
    """The one line that a mistake gets."""
    code, out, err = run(*arguments, stdin=stdin)
    assert (code, out) == (2, "")
    assert err.startswith("tfzoo: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_with_an_example(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert f"usage: tfzoo {command}" in out
    assert f"example:\n  tfzoo {command}" in out


def test_help_names_every_command(run):
    for arguments in ([], ["--help"], ["-h"]):
        code, out, _ = run(*arguments)
        assert code == 0
        assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_version(run):
    assert run("--version") == (0, f"tfzoo {tfzoo.__version__}\n", "")


CONFIG = """
task: classification
model: {name: bert, variant: tiny, vocab_size: 50}
data: {train: TRAIN}
"""

# What is given -> a part of what is said. CONFIG, TRAIN, MODELS, DIR and files are filled in.
MISTAKES = {
    "an unknown command": (["trian"], "Did you mean `train`?"),
    "an unknown option of tfzoo": (["--verison"], "Did you mean `--version`?"),
    "an unknown option of a command": (["list", "--jsno"], "Did you mean `--json`?"),
    "an argument too many": (["list", "bert"], "Received: 'bert'"),
    "no config": (["train", "--workdir=DIR/w"], "required: --config"),
    "no workdir": (["train", "--config=CONFIG"], "required: --workdir"),
    "a missing config": (["train", "--config=DIR/no.yaml", "--workdir=DIR/w"], "No such config"),
    "a config that is no YAML": (["show", "--config=DIR/bad.yaml"], "is not valid YAML"),
    "a config that is no text": (["show", "--config=DIR/latin.tsv"], "is not UTF-8"),
    "a config that is a folder": (["show", "--config=DIR"], "Is a directory"),
    "an unknown key": (["show", "--config=CONFIG", "--set", "train.batchsize=3"], "batch_size"),
    "a value of a wrong type": (
        ["show", "--config=CONFIG", "--set", "train.batch_size=many"],
        "`train.batch_size` must be int",
    ),
    "a value out of range": (["show", "--config=CONFIG", "--set", "train.batch_size=0"], "least 1"),
    "an override without =": (["show", "--config=CONFIG", "--set", "seed"], "like `train.steps"),
    "an unknown task": (["show", "--config=CONFIG", "--set", "task=clasification"], "Did you mean"),
    "a duration without unit": (
        ["show", "--config=CONFIG", "--set", "train.duration=3"],
        "`train.duration` must be str",
    ),
    "a model that cannot be built": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "model.fields.num_heads=3"],
        "num_heads must divide width",
    ),
    "an unknown size": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "model.variant=smal"],
        "Did you mean `small`?",
    ),
    "missing training data": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "data.train=DIR/no.tsv"],
        "No such file",
    ),
    "a row with a column too few": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "data.train=DIR/short.tsv"],
        "short.tsv:3 has another number of columns",
    ),
    "an empty text": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "data.train=DIR/empty.tsv"],
        "empty.tsv:2: the text is empty",
    ),
    "a wrong encoding": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "data.train=DIR/latin.tsv"],
        "latin.tsv:2 is not UTF-8",
    ),
    "a column that is not there": (
        ["train", "--config=CONFIG", "--workdir=DIR/w", "--set", "data.text=sentence"],
        "has no column called 'sentence'",
    ),
    "an unknown label": (
        ["evaluate", "MODELS/classifier", "--data=DIR/label.tsv"],
        "label.tsv:2 has a label",
    ),
    "no name to export under": (["export", "MODELS/encoder", "DIR/out"], "required: --name"),
    "an unknown format": (
        ["export", "MODELS/encoder", "DIR/out", "--name=x", "--format=savedmodle"],
        "Did you mean `savedmodel`?",
    ),
    "an unknown precision": (
        ["export", "MODELS/encoder", "DIR/out", "--name=x", "--precision=int4"],
        "int8",
    ),
    "a name that is a path": (
        ["export", "MODELS/encoder", "DIR/out", "--name=a/b"],
        "stands in file names and URLs",
    ),
    "version 0": (
        ["export", "MODELS/encoder", "DIR/out", "--name=x", "--version=0"],
        "a whole number from 1 on",
    ),
    "a workdir that is a file": (["train", "--config=CONFIG", "--workdir=TRAIN"], "rows.tsv"),
    "nothing to show": (["show"], "Give an architecture, a folder or --config"),
    "two things to show": (["show", "bert", "--config=CONFIG"], "Give an architecture"),
    "--set without an experiment": (["show", "bert", "--set", "a=1"], "--set changes a key"),
    "an unknown architecture": (["show", "bret"], "Expected an architecture (bart, bert,"),
    "an unknown size to show": (["show", "bert", "tinny"], "Did you mean `tiny`?"),
    "a folder of something else": (["show", "DIR"], "no model, training run or export"),
    "a model that is not there": (["predict", "DIR/none", "a"], "is not a folder"),
    "a model that is a file": (["predict", "TRAIN", "a"], "is a file, not a model folder"),
    "a folder without a model": (["predict", "DIR", "a"], "is not a model folder"),
    "a broken config.json": (["predict", "DIR/broken", "a"], "is not valid JSON"),
    "texts and a file": (["predict", "MODELS/classifier", "a", "--file=TRAIN"], "not both"),
    "nothing on standard input": (["predict", "MODELS/classifier"], "nothing to answer"),
    "a pair for a task of one text": (
        ["predict", "MODELS/classifier", "a", "--with", "b"],
        "takes one text",
    ),
    "a text without its pair": (["predict", "MODELS/pairs", "a"], "takes two texts"),
    "a missing file of texts": (
        ["predict", "MODELS/classifier", "--file=DIR/no.txt"],
        "No such file or directory",
    ),
    "a file of no known kind": (
        ["predict", "MODELS/classifier", "--file=CONFIG"],
        "Expected a file that ends in .tsv",
    ),
    "no batch size": (
        ["predict", "MODELS/classifier", "a", "--batch_size=0"],
        "a whole number from 1 on",
    ),
    "an encoder to evaluate": (
        ["evaluate", "MODELS/encoder", "--data=TRAIN"],
        "Only classifiers, language models and encoder-decoders can be evaluated",
    ),
    "labels without a template": (
        ["predict", "MODELS/decoder", "a", "--labels=x,y"],
        "--labels goes with --template",
    ),
    "a template without labels": (
        ["predict", "MODELS/decoder", "a", "--template={text} {label}"],
        "--template needs --labels",
    ),
    "a template for an encoder": (
        ["predict", "MODELS/encoder", "a", "--template={text} {label}", "--labels=x,y"],
        "whose task is embedding",
    ),
    "no text to score": (["evaluate", "MODELS/decoder", "--data=DIR/none.txt"], "No text files"),
    "a stride for a classifier": (
        ["evaluate", "MODELS/classifier", "--data=TRAIN", "--stride=2"],
        "are for language models",
    ),
    "a stride longer than the model": (
        ["evaluate", "MODELS/decoder", "--data=TRAIN", "--stride=12"],
        "stride must be from 1 to 11",
    ),
    "converting nothing": (["convert", "hf:DIR/none", "DIR/out"], "is not a folder"),
    "converting to nowhere": (["convert", "MODELS/encoder", "hf:"], "Expected a folder to write"),
    "converting over other files": (["convert", "MODELS/encoder", "DIR"], "not written over"),
    "verifying nothing": (["verify", "DIR/none", "--model=MODELS/encoder"], "nothing exported"),
    "serving nothing": (["serve", "DIR/none", "--port=0"], "none"),
    "a port that is none": (["serve", "DIR", "--port=http"], "a port from 0 to 65535"),
    "an unknown benchmark": (["bench", "encodr"], "Did you mean `encoder`?"),
}


@pytest.fixture
def places(tmp_path, models, labelled):
    """The folder and files that MISTAKES names, and a way to fill them in."""
    (tmp_path / "c.yaml").write_text(CONFIG.replace("TRAIN", str(labelled)))
    (tmp_path / "bad.yaml").write_text("a: [1")
    (tmp_path / "short.tsv").write_text("text\tlabel\na\tx\nb\n")
    (tmp_path / "empty.tsv").write_text("text\tlabel\n\tx\nb\ty\n")
    (tmp_path / "latin.tsv").write_bytes(b"text\tlabel\ncaf\xe9\tx\nb\ty\n")
    (tmp_path / "label.tsv").write_text("text\tlabel\na\tw\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    names = {
        "CONFIG": tmp_path / "c.yaml",
        "TRAIN": labelled,
        "MODELS": models,
        "DIR": tmp_path,
    }

    def fill(text):
        for name, path in names.items():
            text = text.replace(name, str(path))
        return text

    return fill


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_2(run, places, mistake):
    arguments, part = MISTAKES[mistake]
    assert part in said(run, *map(places, arguments))


def test_text_on_standard_input_that_is_no_utf8(run, models):
    line = said(run, "predict", models / "classifier", stdin=b"a\nb\xff\n")
    assert "standard input:2 is not UTF-8" in line


def test_a_message_of_several_lines_becomes_one(run, monkeypatch):
    def fail(arguments):
        raise UserError("first\n  second")

    monkeypatch.setattr(cli, "_run", fail)
    assert run("list") == (2, "", "tfzoo: first second\n")


def test_a_bug_shows_where_it_is_and_exits_1(run, monkeypatch):
    def fail(arguments):
        raise KeyError("lost")

    monkeypatch.setattr(cli, "_run", fail)
    code, _, err = run("list")
    assert code == 1
    assert "Traceback" in err
    assert err.endswith("Please report it with the lines above.\n")


def test_an_interruption_is_one_line_and_exits_130(run, monkeypatch):
    def fail(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", fail)
    assert run("list") == (130, "", "tfzoo: interrupted\n")


def test_an_export_that_does_not_verify_exits_1(run, monkeypatch):
    from tfzoo.export.report import Check, Report, VerificationError

    def fail(arguments):
        report = Report("bert", (Check("answers", False, "3.0", "below 1e-5"),), {})
        raise VerificationError([report], "it was deleted")

    monkeypatch.setattr(cli, "_run", fail)
    code, _, err = run("list")
    assert code == 1
    assert "bert: answers: 3.0; it must be below 1e-5" in err
    assert "Traceback" not in err


def test_a_place_that_may_not_be_written_is_the_users_to_mend(run, monkeypatch):
    def fail(arguments):
        raise PermissionError(13, "Permission denied", "there")

    monkeypatch.setattr(cli, "_run", fail)
    assert run("list") == (2, "", "tfzoo: there cannot be used: Permission denied.\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "import sys; from tfzoo.cli.main import console; sys.argv[1:] = ['--help']; console()"
    shell = f'{sys.executable} -c "{code}" | head -0'
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True)
    assert done.stderr == b""


def test_ctrl_c_of_a_running_command_is_one_line():
    code = (
        "import tfzoo.cli.main as cli, time\n"
        "cli._run = lambda arguments: (print('ready', flush=True), time.sleep(60))\n"
        "cli.console()"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=120)[1] == b"tfzoo: interrupted\n"
    assert child.returncode == 130
