"""What TensorBoard's projector finds."""

import shutil

import numpy as np
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from tfzoo.train import projector
from tfzoo.train.tensorboard import Curves

WORDS = np.arange(12.0, dtype="float32").reshape(3, 4)
TEXTS = WORDS[:2] * 10


def write(logs, step=1, factor=1.0):
    curves = Curves(logs / "evaluation")
    curves.scalars(step, {"loss": 1.0})
    curves.close()
    labels = {
        "words": {"label": ["a", "\n", "c\td"]},
        "texts": {"text": ["one", "two"], "label": ["x", ""]},
    }
    projector.write(logs / "evaluation", step, {"words": WORDS * factor, "texts": TEXTS}, labels)


def asked(logs):
    """The plugin's answers, as its page asks for them."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logs))
    plugin = ProjectorPlugin(TBContext(data_provider=provider, logdir=str(logs)))
    apps = plugin.get_plugin_apps()

    def get(path, **query):
        return Client(apps[path]).get(path, query_string={"run": "evaluation", **query})

    return get


def tensor(get, name, width=4):
    data = get("/tensor", name=f"{name}/.ATTRIBUTES/VARIABLE_VALUE", num_rows=10).data
    return np.frombuffer(data, "float32").reshape(-1, width)


def metadata(get, name):
    return get("/metadata", name=f"{name}/.ATTRIBUTES/VARIABLE_VALUE", num_rows=10).text


def test_the_plugin_serves_every_table_with_its_labels(tmp_path):
    write(tmp_path)
    get = asked(tmp_path)
    tables = {e["tensorName"]: e["tensorShape"] for e in get("/info").json["embeddings"]}
    assert tables == {
        "words/.ATTRIBUTES/VARIABLE_VALUE": [3, 4],
        "texts/.ATTRIBUTES/VARIABLE_VALUE": [2, 4],
    }
    np.testing.assert_array_equal(tensor(get, "words"), WORDS)
    np.testing.assert_array_equal(tensor(get, "texts"), TEXTS)
    # A line for each row: nothing in a label ends it or makes it empty.
    assert metadata(get, "words") == "a\n'\\n'\nc d\n"
    assert metadata(get, "texts") == "text\tlabel\none\tx\ntwo\t''\n"


def test_the_last_tables_take_the_place_of_those_before(tmp_path):
    write(tmp_path, step=5)
    write(tmp_path, step=9, factor=2.0)
    np.testing.assert_array_equal(tensor(asked(tmp_path), "words"), WORDS * 2)
    assert len(list((tmp_path / "evaluation").glob("*.index"))) == 1


def test_the_folder_may_be_moved(tmp_path):
    write(tmp_path / "before")
    shutil.move(tmp_path / "before", tmp_path / "after")
    np.testing.assert_array_equal(tensor(asked(tmp_path / "after"), "words"), WORDS)


def test_more_rows_than_the_projector_holds_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "_MOST_ROWS", 2)
    write(tmp_path)
    get = asked(tmp_path)
    assert tensor(get, "words").shape == (2, 4)
    assert metadata(get, "words") == "a\n'\\n'\n"
    assert metadata(get, "texts").count("\n") == 3
