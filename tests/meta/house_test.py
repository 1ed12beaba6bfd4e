"""The conventions of the house that no linter knows."""

import ast
import pathlib
import re
import resource
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MODULES = sorted(ROOT.glob("tfzoo/**/*.py"))
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in MODULES}
MOST_LINES_OF_A_FUNCTION = 50
MOST_LINES_OF_A_GRAPH = 70  # an architecture's `__init__` draws it in reading order
# A home, mount or temporary folder of somebody's machine.
ABSOLUTE_PATH = re.compile(r"""["'](?:/(?:home|root|work|tmp|mnt|opt|usr|var)/|[A-Z]:\\\\)""")


def imported_roots(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


def functions(source):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


def body_length(function):
    """Lines from `def` to the end, the docstring not counted."""
    first = function.body[0]
    docstring = ast.get_docstring(function) is not None
    skipped = first.end_lineno - first.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - skipped


@pytest.mark.parametrize("path", SOURCES)
def test_torch_is_never_imported(path):
    assert "torch" not in set(imported_roots(SOURCES[path]))


@pytest.mark.parametrize("path", [p for p in SOURCES if p.split("/")[1] in ("layers", "models")])
def test_layers_and_models_never_import_tensorflow(path):
    roots = set(imported_roots(SOURCES[path]))
    assert not roots & {"tensorflow", "tensorflow_text", "jax"}


@pytest.mark.parametrize("path", SOURCES)
def test_no_assert_outside_tests(path):
    nodes = ast.walk(ast.parse(SOURCES[path]))
    assert not [node.lineno for node in nodes if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("path", SOURCES)
def test_functions_are_short(path):
    for function in functions(SOURCES[path]):
        is_graph = "/models/" in path and function.name == "__init__"
        most = MOST_LINES_OF_A_GRAPH if is_graph else MOST_LINES_OF_A_FUNCTION
        assert body_length(function) <= most, function.name


@pytest.mark.parametrize("path", SOURCES)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(SOURCES[path]))


@pytest.mark.parametrize("path", SOURCES)
def test_no_absolute_path_of_a_machine(path):
    assert not ABSOLUTE_PATH.findall(SOURCES[path])


def test_no_module_is_called_utils():
    assert not [path for path in SOURCES if re.search(r"(utils?|helpers?|misc|common)\.py$", path)]


def test_architecture_files_are_short():
    lengths = {path: SOURCES[path].count("\n") for path in SOURCES if "/models/" in path}
    assert not {path: n for path, n in lengths.items() if n > 320}


def seconds(code):
    """Least processor time that a new Python takes for `code`; the machine may be busy."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def test_import_tfzoo_takes_less_than_a_tenth_of_a_second():
    assert seconds("import tfzoo") - seconds("pass") < 0.1


def test_help_takes_less_than_three_tenths_of_a_second():
    assert seconds("from tfzoo.cli.main import main; main(['--help'])") < 0.3


def test_the_length_of_a_function_counts_its_body():
    function = functions('def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n')[0]
    assert body_length(function) == 3
