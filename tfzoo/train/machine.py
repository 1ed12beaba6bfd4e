"""What the machine gives: memory, and the share of its arithmetic that the training uses."""

import math
import os
import pathlib
import re
import resource
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_GIB = 2**30

# Dense matrix multiplications in 10^12 operations a second, from the makers' data sheets, without
# sparsity, which doubles what some of them print: in 16 bits, in TF32 (what TensorFlow takes for
# float32 where there is such a thing), in float32. None: there is no such unit.
_PEAKS: dict[str, tuple[float, float | None, float]] = {
    # NVIDIA H100, H200 and GH200 data sheets (2023, 2024): half of "with sparsity".
    r"H100 NVL": (835.0, 417.5, 60.0),
    r"H100 PCIe": (756.0, 378.0, 51.0),
    r"H100|H200|GH200": (989.0, 494.5, 67.0),
    # NVIDIA A100 (2021), A30 (2021), A10 (2021), L4 and L40S (2023) data sheets.
    r"A100": (312.0, 156.0, 19.5),
    r"A30": (165.0, 82.0, 10.3),
    r"A10": (125.0, 62.5, 31.2),
    r"L4": (121.0, 60.0, 30.3),
    r"L40S": (362.05, 183.0, 91.6),
    # NVIDIA Ada (2022) and Ampere GA102 (2020) whitepapers, 16 bits summed in float32.
    r"RTX 4090(?! Laptop)": (165.2, 82.6, 82.6),
    r"RTX 3090(?! Ti)": (71.0, 35.6, 35.6),
    # NVIDIA V100 (2020, SXM2) and T4 (2019) data sheets: float16 only, see `_HALF_ONLY`.
    r"V100-SXM2": (125.0, None, 15.7),
    r"T4": (65.0, None, 8.1),
}
_NO_BFLOAT16 = ("V100", "T4")


def memory() -> dict[str, float]:
    """GiB in use by this process, now and at most, and the same of each GPU."""
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = {}
    pages = pathlib.Path("/proc/self/statm")
    if pages.exists():
        now = int(pages.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        found["memory/process_gib"] = now / _GIB
        peak = max(peak, now)  # the kernel brings its peak up to date now and then
    found["memory/process_peak_gib"] = peak / _GIB
    for i in range(len(tf.config.list_logical_devices("GPU"))):
        of_gpu = tf.config.experimental.get_memory_info(f"GPU:{i}")
        found[f"memory/gpu_{i}_gib"] = of_gpu["current"] / _GIB
        found[f"memory/gpu_{i}_peak_gib"] = of_gpu["peak"] / _GIB
    return found


def peak(device: str, precision: str, tensor_float: bool = True) -> float | None:
    """The operations a second that a device can do at most; None where that is not known.

    Args:
        device: Its name, such as "NVIDIA A100-SXM4-40GB".
        precision: The precision policy that Keras has.
        tensor_float: Whether float32 multiplications may be done in TF32.
    """
    for pattern, (half, tf32, single) in _PEAKS.items():
        if not re.search(rf"\b({pattern})\b", device):
            continue
        if precision == "float32":
            return 1e12 * (tf32 if tensor_float and tf32 else single)
        if precision == "mixed_bfloat16" and any(name in device for name in _NO_BFLOAT16):
            return None
        return 1e12 * half
    return None


def peak_of_all(precision: str, replicas: int) -> float | None:
    """What `replicas` devices like the first GPU can do together; None on CPU and TPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "")
    of_one = peak(name, precision, tf.config.experimental.tensor_float_32_execution_enabled())
    return None if of_one is None else of_one * replicas


def operations_per_token(model: Any, inputs: Mapping[str, Any]) -> float:
    """Floating-point operations of a training step for each real token.

    6 for each parameter that a token is multiplied with, and 12 * layers * width * length for the
    attention, as PaLM counts them (Chowdhery et al. 2022, appendix B). Tables that are only looked
    up multiply nothing; a tied one does, at the places where there are logits. A token of an
    encoder-decoder goes through one of the stacks, and the decoder's look at the encoder's, too.

    Args:
        model: A model of the zoo.
        inputs: A sample of its inputs, which says how long rows are.
    """
    masks = {name: np.asarray(mask) for name, mask in inputs.items() if "padding_mask" in name}
    lengths = {name: (mask > 0).sum(1, dtype=np.float64) for name, mask in masks.items()}
    total, length = 0.0, np.zeros(1)
    for prefix, stack in model.drawing.stacks.items():
        encoder_length = length  # the encoder, where there is one, is the first stack
        length = lengths.get(f"{prefix}padding_mask", next(iter(lengths.values())))
        attention = stack.blocks[0][0].attention
        width = attention.num_heads * attention.head_dim
        seen = length + encoder_length
        total += 6.0 * _multiplied(model, prefix) * length.sum()
        total += 12.0 * len(stack.blocks) * width * (length * seen).sum()
    places = np.size(inputs["masked_positions"]) if "masked_positions" in inputs else length.sum()
    total += 6.0 * _tied(model) * places
    return float(total / sum(length.sum() for length in lengths.values()))


def _multiplied(model: Any, prefix: str) -> int:
    """The parameters that a stack's tokens are multiplied with; the head is the last stack's."""
    of_encoder = [w.path.startswith("encoder_") for w in model.trainable_variables]
    pairs = zip(model.trainable_variables, of_encoder, strict=True)
    return sum(
        math.prod(weight.shape)
        for weight, is_encoder in pairs
        if not weight.path.endswith("/embeddings") and (prefix == "encoder_") == is_encoder
    )


def _tied(model: Any) -> int:
    """The size of the token table, where it makes the logits of a vocabulary."""
    scores = [o for o in model.output.values() if o.shape[-1] == model.config.vocab_size]
    if not scores or not getattr(model.config, "tied_output", True):
        return 0
    return model.config.vocab_size * model.config.width
