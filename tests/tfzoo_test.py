import subprocess
import sys

import pytest

import tfzoo


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        tfzoo.bild  # noqa: B018


def test_the_lazy_names_are_listed():
    assert {"build", "load", "__version__"} <= set(dir(tfzoo))


def test_the_lazy_names_are_the_functions():
    from tfzoo.models import build

    assert tfzoo.build is build


def test_importing_it_imports_nothing_heavy():
    code = "import tfzoo, sys; print('keras' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
