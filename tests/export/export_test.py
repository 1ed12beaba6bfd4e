"""The package itself: light to import, because servers do."""

import subprocess
import sys

from tfzoo import export


def test_importing_it_does_not_import_tensorflow():
    code = (
        "import sys, tfzoo.export, tfzoo.export.session, tfzoo.export.warm_up, tfzoo.export.trial\n"
        "assert not {'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_run_is_the_pipeline(monkeypatch, tmp_path):
    from tfzoo.export import pipeline

    monkeypatch.setattr(pipeline, "run", lambda *args, **options: (args, options))
    assert export.run("task", tmp_path, "m", version=3) == (("task", tmp_path, "m"), {"version": 3})
