"""What inputs name, and where documents begin and end."""

import gzip
import sys
import types

import pytest

from tfzoo.core.errors import UserError
from tfzoo.data import sources
from tfzoo.data.preparation import Preparation


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / ".hidden").mkdir()
    files = {
        "a.txt": "One.\nStill one.\n \nTwo.\n",
        "in/b.txt.gz": "Three.",
        "c.jsonl": '{"text": "Four.\\n\\nStill four.", "body": "x"}\n\n{"text": ""}\n',
        "d.tokens": "= A =\nx\n= = B = =\ny\n= C =\n",
        ".hidden/e.txt": "no",
        "f.csv": "no",
    }
    for name, text in files.items():
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    return tmp_path


def texts(*inputs, **changes):
    names = tuple(map(str, inputs))
    how = Preparation(names, "t", **changes)
    return [text for source in sources.find(names) for text in sources.documents(source, how)]


def test_a_folder_gives_its_text_files_and_no_others(folder):
    names = [source.place for source in sources.find([str(folder)])]
    assert names == [str(folder / name) for name in ("a.txt", "c.jsonl", "in/b.txt.gz")]


def test_patterns_and_names_are_taken_as_they_are_and_once(folder):
    found = sources.find([str(folder / "*.to*"), str(folder / "d.tokens"), str(folder / "f.csv")])
    assert [source.place for source in found] == [str(folder / n) for n in ("d.tokens", "f.csv")]


def test_documents_are_what_is_asked_for(folder):
    plain = folder / "a.txt"
    assert texts(plain) == ["One.\nStill one.\n", "Two.\n"]
    assert texts(plain, documents="line") == ["One.\n", "Still one.\n", " \n", "Two.\n"]
    assert texts(plain, documents="file") == ["One.\nStill one.\n \nTwo.\n"]
    headed = texts(folder / "d.tokens", documents="heading", heading="= [^=]+ =$")
    assert headed == ["= A =\nx\n= = B = =\ny\n", "= C =\n"]
    assert texts(folder / "in") == ["Three."]


def test_an_object_is_a_document(folder):
    assert texts(folder / "c.jsonl") == ["Four.\n\nStill four.", ""]
    with pytest.raises(UserError, match=r"c.jsonl:3 has no key 'body'.*text_key=NAME"):
        texts(folder / "c.jsonl", text_key="body")


@pytest.mark.parametrize("value", ["1", "null", '"half \\ud83d"'])
def test_what_is_no_text_is_named_with_its_line(tmp_path, value):
    (tmp_path / "a.jsonl").write_text(f'{{"text": "a"}}\n{{"text": {value}}}\n')
    with pytest.raises(UserError, match=r"a.jsonl:2: 'text' must hold text"):
        texts(tmp_path)


def test_an_input_that_names_nothing_is_refused(tmp_path):
    for name in ("no.txt", "*.txt", "."):
        with pytest.raises(UserError, match="No text files there"):
            sources.find([str(tmp_path / name)])
    with pytest.raises(UserError, match="inputs must name"):
        sources.find([])


def test_without_tfds_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"pip install tfzoo\[tfds\]"):
        sources.find(["tfds:ag_news_subset"])


def test_tfds_is_asked_for_name_and_split(monkeypatch):
    import tensorflow as tf

    rows = {"text": ["é one", "two"], "label": [0, 1]}
    asked = []

    def load(name, split, shuffle_files):
        asked.append((name, split, shuffle_files))
        return tf.data.Dataset.from_tensor_slices(rows)

    splits = {"train": types.SimpleNamespace(num_bytes=7), "test": None}
    info = types.SimpleNamespace(splits=splits)
    builder = types.SimpleNamespace(info=info)
    stand_in = types.SimpleNamespace(load=load, builder=lambda name: builder)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", stand_in)
    assert sources.find(["tfds:news/en"]) == (sources.Source("tfds:news/en#train", 7),)
    assert texts("tfds:news/en") == ["é one", "two"]
    assert asked == [("news/en", "train", False)]
    with pytest.raises(UserError, match="Received: label, text"):
        texts("tfds:news/en", text_key="body")
    with pytest.raises(UserError, match="must hold UTF-8 text"):
        texts("tfds:news/en", text_key="label")
    with pytest.raises(UserError, match="no such data set"):
        sources.find(["tfds:news/en#dev"])
