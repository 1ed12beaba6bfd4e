"""Memory, peaks, and how many operations a token takes."""

import numpy as np
import pytest

import tfzoo
from tfzoo.train import machine

SIZES = {"vocab_size": 50, "num_layers": 2, "num_heads": 2, "width": 8, "max_length": 16}


def test_memory_grows_with_what_is_held():
    before = machine.memory()
    held = np.ones(2**26, "uint8")
    after = machine.memory()
    assert after["memory/process_gib"] - before["memory/process_gib"] == pytest.approx(
        len(held) / 2**30, rel=0.1
    )
    assert after["memory/process_peak_gib"] >= after["memory/process_gib"]


@pytest.mark.parametrize(
    ("device", "precision", "tera"),
    [
        ("NVIDIA A100-SXM4-40GB", "mixed_bfloat16", 312),
        ("NVIDIA A100-SXM4-40GB", "float32", 156),
        ("NVIDIA A10", "mixed_float16", 125),
        ("NVIDIA A10G", "float32", None),
        ("NVIDIA H100 PCIe", "mixed_bfloat16", 756),
        ("NVIDIA H200", "mixed_bfloat16", 989),
        ("NVIDIA L4", "float32", 60),
        ("NVIDIA L40S", "mixed_bfloat16", 362.05),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "float32", None),
        ("Tesla T4", "mixed_float16", 65),
        ("Tesla T4", "mixed_bfloat16", None),
        ("Tesla V100-SXM2-16GB", "float32", 15.7),
        ("", "float32", None),
    ],
)
def test_peaks_are_known_by_the_whole_name(device, precision, tera):
    found = machine.peak(device, precision)
    assert found == (None if tera is None else pytest.approx(tera * 1e12))


def test_without_tensor_float_the_peak_is_that_of_float32():
    assert machine.peak("NVIDIA A100-SXM4-40GB", "float32", False) == pytest.approx(19.5e12)


def test_a_cpu_has_no_known_peak(monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    assert machine.peak_of_all("float32", 2) is None


def test_a_decoder_takes_what_palm_counts():
    model = tfzoo.build("gpt2", head="causal_lm", **SIZES)
    positions = 16 * 8
    by_palm = 6 * (model.count_params() - positions) + 12 * 2 * 8 * 10
    assert machine.operations_per_token(model, {"padding_mask": np.ones((3, 10), int)}) == by_palm


def test_tables_that_are_only_looked_up_take_nothing():
    model = tfzoo.build("bert", feed_forward_dim=16, **SIZES)
    tables = (50 + 16 + 2) * 8
    wanted = 6 * (model.count_params() - tables) + 12 * 2 * 8 * 4
    # Padding is no token.
    mask = np.pad(np.ones((3, 4), int), [(0, 0), (0, 5)])
    assert machine.operations_per_token(model, {"padding_mask": mask}) == wanted


def test_tokens_of_an_encoder_decoder_go_through_one_stack():
    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 1, "num_heads": 2, "head_dim": 4}
    model = tfzoo.build("t5", vocab_size=50, width=8, feed_forward_dim=16, **sizes)
    inputs = {
        "encoder_padding_mask": np.ones((2, 6), int),
        "decoder_padding_mask": np.ones((2, 3), int),
    }
    weights = {w.path: w.shape.num_elements() for w in map(_value, model.trainable_variables)}
    encoder = sum(n for path, n in weights.items() if path.startswith("encoder_block"))
    encoder += weights["encoder_norm/gamma"]
    decoder = sum(n for path, n in weights.items() if path.startswith("decoder_block"))
    decoder += weights["decoder_norm/gamma"] + 50 * 8
    attention = 12 * 8 * (6 * 6 + 3 * 3 + 3 * 6)
    wanted = (6 * (6 * encoder + 3 * decoder) + attention) / (6 + 3)
    assert machine.operations_per_token(model, inputs) == pytest.approx(wanted)


def _value(weight):
    value = weight.value
    return type("Named", (), {"path": weight.path, "shape": value.shape})
