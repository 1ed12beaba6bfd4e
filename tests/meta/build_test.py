"""BUILD is the architecture contract; this test reads it the way Bazel would.

A BUILD file is Starlark, a subset of Python, so running it with recording stand-ins for the rules
gives the same targets that Bazel sees, on a machine without Bazel.
"""

import ast
import functools
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# Section 2 of the design: arrows go from a later line to an earlier one, never within a line.
ORDER = (
    ("core",),
    ("layers", "text"),
    ("models", "data", "weights"),
    ("decoding", "metrics"),
    ("tasks",),
    ("train", "export"),
    ("serve", "testing"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
# The face of the package names functions of upper layers, and imports them when they are asked for.
FACE = "tfzoo/__init__.py"
DISTRIBUTION = {
    "yaml": "pyyaml", "absl": "absl_py", "sklearn": "scikit_learn", "PIL": "pillow",
    "google": "protobuf",
}  # fmt: skip


@functools.cache
def targets():
    found = {}

    def record(kind):
        def rule(**attributes):
            assert attributes["name"] not in found, f"two targets called {attributes['name']}"
            found[attributes["name"]] = {"kind": kind, "deps": [], **attributes}

        return rule

    def glob(include, exclude=()):
        paths = {path for pattern in include for path in ROOT.glob(pattern)}
        paths -= {path for pattern in exclude for path in ROOT.glob(pattern)}
        return sorted(path.relative_to(ROOT).as_posix() for path in paths)

    rules = ("py_library", "py_binary", "py_test", "filegroup")
    scope = {"glob": glob, "load": lambda *names: None, "package": lambda **settings: None}
    exec((ROOT / "BUILD").read_text(), scope | {rule: record(rule) for rule in rules})
    return found


def libraries():
    return {name: t for name, t in targets().items() if t["kind"] == "py_library"}


def imports(source, where):
    """Every module that a file imports or names, at its top or inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{where}: import from `tfzoo...`, not relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"tfzoo(\.\w+)+", str(node.value)):
            # For importlib, or for another process; not the logger or file of that name.
            if (ROOT / f"{node.value.replace('.', '/')}.py").exists():
                yield node.value


def label(module, owners):
    """The target that an imported module belongs to, or None for the standard library."""
    root = module.split(".")[0]
    if root != "tfzoo":
        known = root in sys.stdlib_module_names
        return None if known else f"@pypi//{DISTRIBUTION.get(root, root)}"
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        for candidate in (f"{path}.py", f"{path}/__init__.py"):
            if candidate in owners:
                return f":{owners[candidate]}"
    raise AssertionError(f"`{module}` is imported but is in no library of BUILD")


def used_by(name):
    owners = {source: n for n, t in libraries().items() for source in t["srcs"]}
    sources = [source for source in libraries()[name]["srcs"] if source != FACE]
    modules = {module for s in sources for module in imports((ROOT / s).read_text(), s)}
    return {label(module, owners) for module in modules} - {None, f":{name}"}


def upward(name, deps):
    """The deps of a library that are not below it."""
    own = [dep[1:] for dep in deps if dep.startswith(":")]
    return [dep for dep in own if LEVEL[dep] >= LEVEL[name]]


def test_every_module_belongs_to_exactly_one_library():
    owned = sorted(source for t in libraries().values() for source in t["srcs"])
    on_disk = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tfzoo/**/*.py"))
    assert owned == on_disk


def test_every_package_is_the_library_of_its_name():
    for name, target in libraries().items():
        packages = {source.split("/")[1] for source in target["srcs"]} - {"__init__.py"}
        assert packages == {name}


def test_libraries_stand_in_the_order_of_the_design():
    levels = [LEVEL[name] for name in libraries()]
    assert levels == sorted(levels)


@pytest.mark.parametrize("name", list(libraries()))
def test_imports_are_exactly_the_declared_deps(name):
    declared = libraries()[name]["deps"]
    assert len(declared) == len(set(declared))
    assert sorted(used_by(name)) == sorted(declared)


@pytest.mark.parametrize("name", list(libraries()))
def test_deps_only_point_down(name):
    assert not upward(name, libraries()[name]["deps"])


def test_every_outside_package_is_declared_in_setup():
    declared = set(re.findall(r'^ +"([a-zA-Z0-9-]+)', (ROOT / "setup.py").read_text(), re.M))
    declared = {name.lower().replace("-", "_") for name in declared}
    used = {dep for t in libraries().values() for dep in t["deps"] if dep.startswith("@pypi//")}
    assert {dep.removeprefix("@pypi//") for dep in used} <= declared


def test_every_test_is_a_target():
    tests = sorted(t["main"] for t in targets().values() if t["kind"] == "py_test")
    on_disk = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/*_test.py"))
    assert tests == on_disk


def test_an_arrow_that_points_up_or_sideways_is_seen():
    assert upward("layers", [":core", ":models", "@pypi//keras"]) == ["models"]
    assert upward("layers", [":text"]) == ["text"]


def test_an_import_inside_a_function_is_seen():
    source = "def f():\n    from tfzoo.models import bert\n    import numpy as np\n"
    assert list(imports(source, "x.py")) == ["tfzoo.models.bert", "numpy"]


def test_a_module_that_is_named_for_importlib_is_seen():
    source = "names = ('tfzoo.models.bert', 'tfzoo.models.nothing', 'tfzoo')"
    assert list(imports(source, "x.py")) == ["tfzoo.models.bert"]


def test_a_relative_import_is_refused():
    with pytest.raises(AssertionError, match="not relatively"):
        list(imports("from . import bert", "x.py"))
