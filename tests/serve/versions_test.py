"""Versions come and go without a gap; the sessions are stand-ins."""

import shutil
import threading
import time

import pytest

from tfzoo.core.errors import UserError
from tfzoo.serve.errors import RequestError
from tfzoo.serve.versions import Model


class FakeSession:
    def __init__(self, folder):
        self.folder = folder
        self.closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def folder(tmp_path):
    add(tmp_path, 1)
    return tmp_path


def add(folder, number, content="good"):
    (folder / str(number)).mkdir(exist_ok=True)
    (folder / str(number) / "saved_model.pb").write_text(content)


def load(folder):
    content = (folder / "saved_model.pb").read_text()
    if content == "bad":
        raise UserError("cannot be loaded")
    if content == "bug":
        raise ZeroDivisionError("a bug")
    return FakeSession(folder)


def served(model):
    with model.lease() as (number, session):
        assert not session.closed
        return number


def states(model):
    return {int(entry["version"]): entry["state"] for entry in model.status()}


def test_the_newest_version_is_served_and_the_old_one_freed(folder):
    model = Model("m", folder, load)
    assert not model.is_available
    model.refresh()
    with model.lease() as (_, first):
        pass
    add(folder, 2)
    add(folder, 10)
    model.refresh()
    assert served(model) == 10
    assert first.closed
    assert states(model) == {10: "AVAILABLE", 1: "END"}


def test_a_version_that_fails_is_reported_and_the_old_one_goes_on(folder):
    model = Model("m", folder, load)
    model.refresh()
    add(folder, 2, "bad")
    model.refresh()
    assert served(model) == 1
    assert model.status(2) == [
        {
            "version": "2",
            "state": "END",
            "status": {"error_code": "INVALID_ARGUMENT", "error_message": "cannot be loaded"},
        }
    ]


def test_a_failed_version_is_tried_again_when_its_files_change(folder):
    tries = []

    def counted(path):
        tries.append(path.name)
        return load(path)

    model = Model("m", folder, counted)
    add(folder, 2, "bad")
    for _ in range(3):
        model.refresh()
    assert tries == ["2", "1"]
    add(folder, 2, "good now")
    model.refresh()
    assert tries == ["2", "1", "2"]
    assert served(model) == 2


def test_a_bug_while_loading_is_reported_and_does_not_stop_the_rest(folder):
    model = Model("m", folder, load)
    add(folder, 2, "bug")
    model.refresh()
    assert served(model) == 1
    assert model.status(2)[0]["status"]["error_code"] == "INTERNAL"


def test_deleting_the_newest_version_goes_back(folder):
    model = Model("m", folder, load)
    add(folder, 2)
    model.refresh()
    shutil.rmtree(folder / "2")
    model.refresh()
    assert served(model) == 1


def test_an_emptied_folder_goes_on_serving(folder):
    model = Model("m", folder, load)
    model.refresh()
    shutil.rmtree(folder / "1")
    model.refresh()
    assert served(model) == 1


def test_a_version_in_use_is_not_freed(folder):
    model = Model("m", folder, load)
    model.refresh()
    with model.lease() as (_, session):
        add(folder, 2)
        refreshing = threading.Thread(target=model.refresh)
        refreshing.start()
        while states(model).get(1) != "UNLOADING":
            time.sleep(0.001)
        assert served(model) == 2  # new requests go to the new version meanwhile
        assert not session.closed
    refreshing.join()
    assert session.closed
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_unknown_versions_have_tensorflow_servings_messages(folder):
    model = Model("m", folder, load)
    with pytest.raises(RequestError, match="Could not find any versions of model m"):
        model.status()
    with pytest.raises(RequestError, match=r"Servable not found for request: Latest\(m\)"):
        model.lease().__enter__()
    model.refresh()
    with pytest.raises(RequestError, match="Could not find version 9 of model m") as caught:
        model.status(9)
    assert caught.value.code == "NOT_FOUND"
    with pytest.raises(RequestError, match=r"Servable not found for request: Specific\(m, 9\)"):
        model.lease(9).__enter__()


def test_after_close_nothing_is_served(folder):
    model = Model("m", folder, load)
    model.refresh()
    with model.lease() as (_, session):
        pass
    model.close()
    assert session.closed
    assert not model.is_available


def test_the_status_does_not_grow_for_ever(folder):
    model = Model("m", folder, load)
    for number in range(2, 40):
        add(folder, number)
        model.refresh()
        shutil.rmtree(folder / str(number - 1))
    assert len(model.status()) == 21
    assert next(iter(states(model).items())) == (39, "AVAILABLE")
