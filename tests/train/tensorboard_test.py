"""Curves go on after a resume without a point twice, as TensorBoard's own reader sees them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from matplotlib import image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.util import tensor_util

from tfzoo.train.tensorboard import Curves, flat


def read(folder):
    found = EventAccumulator(str(folder)).Reload()
    tags = found.Tags()
    curves = {
        tag: [(e.step, round(e.tensor_proto.float_val[0], 3)) for e in found.Tensors(tag)]
        for tag in tags["tensors"]
        if tag != "experiment"
    }
    return found, curves


def write(folder, step, until):
    curves = Curves(folder, step)
    curves.text("experiment", "seed: 0")
    for number in range(step + 1, until + 1):
        curves.scalars(number, {"loss": number / 10, "rate": 0.5})
    return curves


def test_points_after_the_checkpoint_are_made_again_only_once(tmp_path):
    write(tmp_path, 0, 5).close()
    write(tmp_path, 3, 6).close()
    _, curves = read(tmp_path)
    assert curves["loss"] == [(n, n / 10) for n in range(1, 7)]
    assert len(curves["rate"]) == 6
    assert len(list(tmp_path.iterdir())) == 1


def test_old_points_keep_their_time(tmp_path):
    write(tmp_path, 0, 3).close()
    before = [event.wall_time for event in read(tmp_path)[0].Tensors("loss")]
    write(tmp_path, 2, 3).close()
    after = [event.wall_time for event in read(tmp_path)[0].Tensors("loss")]
    assert after[:2] == before[:2]
    assert after[2] > before[2]


def test_the_experiment_is_shown_once(tmp_path):
    write(tmp_path, 0, 2).close()
    write(tmp_path, 2, 3).close()
    texts = read(tmp_path)[0].Tensors("experiment")
    assert [event.tensor_proto.string_val for event in texts] == [[b"seed: 0"]]


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_a_torn_file_loses_its_end_only(tmp_path, lost):
    curves = write(tmp_path, 0, 4)
    curves.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-lost])
    write(tmp_path, 3, 5).close()
    assert [step for step, _ in read(tmp_path)[1]["loss"]] == [1, 2, 3, 4, 5]


def test_a_copy_that_was_killed_leaves_no_doubles(tmp_path):
    write(tmp_path, 0, 4).close()
    (path,) = tmp_path.iterdir()
    copy = path.with_name(f"{path.name}.copy")
    copy.write_bytes(path.read_bytes())
    write(tmp_path, 4, 5).close()
    assert [step for step, _ in read(tmp_path)[1]["loss"]] == [1, 2, 3, 4, 5]


def events(folder):
    return [
        event for path in sorted(folder.iterdir()) for event in EventFileLoader(str(path)).Load()
    ]


def png(width, height):
    file = io.BytesIO()
    image.imsave(file, np.zeros((height, width, 3)), format="png")
    return file.getvalue()


def write_all_kinds(folder, start, until):
    curves = Curves(folder, start)
    curves.hyperparameters({"rate": 0.5, "name": "bert", "jit": False})
    curves.graph(tf.compat.v1.GraphDef(node=[tf.compat.v1.NodeDef(name="x", op="NoOp")]))
    for step in range(start + 2, until + 1, 2):
        curves.histograms(step, {"weights/kernel": np.arange(8.0), "weights/bias": np.ones(3)})
        curves.images(step, "map", [png(5, 3), png(5, 3)])
        curves.text("samples/answers", f"| {step} |", step)
        curves.precision_recall(step, "cat", np.array([True, False]), np.array([0.9, 0.2]))
    curves.close()


def test_every_kind_of_event_is_made_again_only_once(tmp_path):
    write_all_kinds(tmp_path, 0, 4)
    write_all_kinds(tmp_path, 2, 6)
    found = EventAccumulator(str(tmp_path)).Reload()
    tags = found.Tags()
    assert {tag: [event.step for event in found.Tensors(tag)] for tag in tags["tensors"]} == {
        "_hparams_/session_start_info": [0],
        "weights/kernel": [2, 4, 6],
        "weights/bias": [2, 4, 6],
        "map": [2, 4, 6],
        "samples/answers": [2, 4, 6],
        "precision_recall/cat/pr_curves": [2, 4, 6],
    }
    assert sum(event.HasField("graph_def") for event in events(tmp_path)) == 1
    assert [node.name for node in found.Graph().node] == ["x"]


def test_each_plugin_finds_its_own(tmp_path):
    write_all_kinds(tmp_path, 0, 2)
    found = EventAccumulator(str(tmp_path)).Reload()
    for plugin, tag in (
        ("histograms", "weights/kernel"),
        ("images", "map"),
        ("text", "samples/answers"),
        ("pr_curves", "precision_recall/cat/pr_curves"),
        ("hparams", "_hparams_/session_start_info"),
    ):
        assert tag in found.PluginTagToContent(plugin)

    def shown(tag):
        return tensor_util.make_ndarray(found.Tensors(tag)[0].tensor_proto)

    assert shown("map").tolist() == [b"5", b"3", png(5, 3), png(5, 3)]
    assert shown("weights/kernel")[:, 2].sum() == 8
    true_positives, false_positives, *_ = shown("precision_recall/cat/pr_curves")
    assert true_positives[[0, 100, 199]].tolist() == [1, 1, 0]
    assert false_positives[[0, 100, 199]].tolist() == [1, 0, 0]


def test_hyperparameters_keep_their_types(tmp_path):
    write_all_kinds(tmp_path, 0, 2)
    contents = EventAccumulator(str(tmp_path)).Reload().PluginTagToContent("hparams")
    start = hparams.parse_session_start_info_plugin_data(contents["_hparams_/session_start_info"])
    assert start.hparams["rate"].number_value == 0.5
    assert start.hparams["name"].string_value == "bert"
    assert start.hparams["jit"].WhichOneof("kind") == "bool_value"


def test_a_tree_of_settings_becomes_paths():
    tree = {"seed": 1, "model": {"load": None, "fields": {"width": 16}}, "frozen": ["a", "b"]}
    assert flat(tree) == {
        "seed": 1,
        "model.load": "None",
        "model.fields.width": 16,
        "frozen": "['a', 'b']",
    }
