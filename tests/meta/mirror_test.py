"""`tests/` mirrors `tfzoo/`: tfzoo/a/b.py is tested by tests/a/b_test.py, and nothing else is."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def holds_code(path):
    """Whether a module does anything beyond its docstring."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def mirror(path):
    """tfzoo/a/b.py -> tests/a/b_test.py; tfzoo/a/__init__.py -> tests/a/a_test.py."""
    inside = path.relative_to(ROOT / "tfzoo")
    name = inside.parent.name if inside.stem == "__init__" else inside.stem
    return pathlib.Path("tests") / inside.parent / f"{name or 'tfzoo'}_test.py"


def modules():
    return sorted(path for path in ROOT.glob("tfzoo/**/*.py") if holds_code(path))


def test_every_module_has_its_test_file():
    missing = [str(mirror(path)) for path in modules() if not (ROOT / mirror(path)).exists()]
    assert not missing


def test_every_test_file_has_its_module():
    mirrored = {mirror(path) for path in modules()}
    found = (path.relative_to(ROOT) for path in ROOT.glob("tests/**/*_test.py"))
    assert not [str(p) for p in found if p not in mirrored and p.parts[1] != "meta"]


def test_every_test_file_tests_something():
    for path in ROOT.glob("tests/**/*_test.py"):
        names = [getattr(node, "name", "") for node in ast.walk(ast.parse(path.read_text()))]
        assert any(name.startswith("test_") for name in names), path
