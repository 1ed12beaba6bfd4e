"""What the documents tell people to type works."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from tfzoo import models
from tfzoo.cli import main as cli

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("configs/**/*.md")),
    *sorted(ROOT.glob("export/**/*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
# Where tfzoo is, for processes that start elsewhere.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Commands that need nothing but the package, and little time.
CHEAP = (
    pytest.param("tfzoo list", marks=pytest.mark.slow),  # counts the weights of every variant
    "tfzoo show bert small",
    "tfzoo --help",
)


def blocks(text, *languages):
    return [content for language, content in FENCE.findall(text) if language in languages]


def commands(text):
    """Every call of tfzoo in a text, as arguments; lines that end in a backslash are joined."""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip().lstrip("#$ ")
        for part in re.split(r"&&|\||;", line):
            if part.strip().startswith("tfzoo "):
                yield shlex.split(part, comments=True)[1:]


def parses(arguments):
    """Whether the real parser takes the arguments. Raises UserError or SystemExit otherwise."""
    if arguments[0].startswith("-"):
        return arguments in (["--help"], ["--version"])
    command, *rest = arguments
    cli.command_parser(command).parse_strictly(rest)
    return True


def documented():
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for block in blocks(text, "", "shell", "bash", "console"):
            yield from ((path.name, arguments) for arguments in commands(block))
    for path in sorted(ROOT.glob("configs/**/*.yaml")):
        head = "\n".join(x for x in path.read_text().splitlines() if x.startswith("#"))
        head = re.sub(r"\\\n#", r"\\\n", head)
        yield from ((path.name, arguments) for arguments in commands(head))
    for name in cli.COMMANDS:
        yield from (
            (f"tfzoo {name} --help", arguments) for arguments in commands(cli.load(name).EXAMPLE)
        )


@pytest.mark.parametrize(("where", "arguments"), list(documented()))
def test_every_documented_command_parses(where, arguments):
    assert parses(arguments)


def test_a_command_with_a_wrong_option_would_be_seen():
    (arguments,) = commands("$ tfzoo train --confg=x \\\n   --workdir=y")
    assert arguments == ["train", "--confg=x", "--workdir=y"]
    with pytest.raises(ValueError, match="--config"):
        parses(arguments)


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_screen_has_both_commands(readme):
    first = "\n".join(readme.splitlines()[:60])
    assert "pip install -e . && tfzoo quickstart" in first
    assert "pip install -e '.[test]' && pytest" in first


def test_every_path_that_the_readme_links_to_is_there(readme):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_readme_names_every_command_and_package(readme):
    assert not [name for name in cli.COMMANDS if f"tfzoo {name}" not in readme]
    packages = {path.parent.name for path in ROOT.glob("tfzoo/*/__init__.py")}
    assert not [name for name in packages if f"`{name}`" not in readme]


@pytest.mark.parametrize("command", CHEAP)
def test_the_cheap_commands_run(command, readme, capsys):
    assert command in readme
    assert cli.main(command.split()[1:]) == 0
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_python_of_the_readme_runs(readme, tmp_path):
    for number, block in enumerate(blocks(readme, "python")):
        script = tmp_path / f"block_{number}.py"
        script.write_text(block)
        command = [sys.executable, script]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=300, env=ENVIRONMENT)


@pytest.mark.slow
def test_the_quickstart_says_what_the_readme_shows(readme, tmp_path):
    code = "from tfzoo.cli.main import console; console()"
    done = subprocess.run(
        [sys.executable, "-c", code, "quickstart"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=580,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    headings = re.compile(r"^(\d/\d  .*)$", re.M)
    assert headings.findall(readme) == headings.findall(done.stdout)
    assert "exit code 0" in done.stdout
    for path in ("run/model/config.json", "evaluation/confusion_matrix.png", "run/logs"):
        assert (tmp_path / "quickstart" / path).exists()
    assert list((tmp_path / "quickstart" / "exports").glob("*/1/saved_model.pb"))
    assert list((tmp_path / "quickstart" / "exports").glob("*/tflite/1/*.tflite"))


MIGRATION = re.compile(r'^\| `TF(\w+)[^|]*\|[^|]*\| `tfzoo\.load\(x, head="(\w+)"', re.M)


def test_the_table_for_newcomers_names_heads_that_are_those_classes(readme):
    rows = MIGRATION.findall(readme)
    assert len(rows) > 12
    layouts = [models.module(name).HUGGING_FACE for name in models.names()]
    heads = {layout.heads[head][0]: head for layout in layouts for head in layout.heads}
    assert not [(name, head) for name, head in rows if heads.get(name) != head]
