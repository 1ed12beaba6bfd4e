"""Rules between the weight names of a foreign checkpoint and ours, readable in both directions."""

import dataclasses
import re
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Rename:
    """One of our weights and the foreign tensors that it is made of.

    `{i}` in the names stands for a layer number, the same on both sides. Several foreign tensors
    are joined along our last axis (one fused qkv kernel out of three), in equal parts.

    Attributes:
        ours: Path of our weight, such as `block_{i}/attention/qkv/kernel`.
        theirs: Names of the foreign tensors.
        transpose: Whether theirs is stored `(outputs, inputs)`, as PyTorch's Linear does.
        interleaved: Whether theirs holds the query, key and value of one head after another, and
            ours all queries, then all keys, then all values (BLOOM).
        row: Whether theirs has a first axis of 1 that ours has not.
    """

    ours: str
    theirs: tuple[str, ...]
    transpose: bool = False
    interleaved: bool = False
    row: bool = False

    def match(self, path: str) -> tuple[str, ...] | None:
        """The foreign names for our weight at `path`, or None when this rule is not about it."""
        pattern = re.escape(self.ours).replace(r"\{i\}", r"(\d+)")
        found = re.fullmatch(pattern, path)
        if not found:
            return None
        number = found[1] if found.groups() else ""
        return tuple(name.replace("{i}", number) for name in self.theirs)


def part_shape(rule: Rename, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of each foreign tensor that makes up our weight of `shape`."""
    *rows, columns = shape
    part = (*rows, columns // len(rule.theirs))
    if rule.row:
        part = (1, *part)
    return part[::-1] if rule.transpose else part


def find(rules: Iterable[Rename], path: str) -> tuple[Rename, tuple[str, ...]]:
    """The rule about our weight at `path`, and the foreign names that it gives.

    Raises:
        KeyError: when no rule is about it, which is a fault of the model's file.
    """
    for rule in rules:
        names = rule.match(path)
        if names is not None:
            return rule, names
    raise KeyError(f"No rename rule covers the weight `{path}`.")


def dense(ours: str, *theirs: str) -> tuple[Rename, Rename]:
    """The kernel and bias of a dense layer stored as PyTorch's Linear, one or several fused."""
    return (
        Rename(f"{ours}/kernel", tuple(f"{name}.weight" for name in theirs), transpose=True),
        Rename(f"{ours}/bias", tuple(f"{name}.bias" for name in theirs)),
    )


def conv1d(ours: str, theirs: str) -> tuple[Rename, Rename]:
    """The kernel and bias of a dense layer stored as transformers' Conv1D: as ours."""
    return (
        Rename(f"{ours}/kernel", (f"{theirs}.weight",)),
        Rename(f"{ours}/bias", (f"{theirs}.bias",)),
    )


def table(ours: str, theirs: str) -> Rename:
    """A table of embeddings stored as PyTorch's Embedding."""
    return Rename(f"{ours}/embeddings", (f"{theirs}.weight",))


def norm(ours: str, theirs: str) -> tuple[Rename, Rename]:
    """The gain and shift of a layer norm stored as PyTorch's LayerNorm."""
    return (
        Rename(f"{ours}/gamma", (f"{theirs}.weight",)),
        Rename(f"{ours}/beta", (f"{theirs}.bias",)),
    )


def fairseq_layer(ours: str, theirs: str, cross: bool = False) -> tuple[Rename, ...]:
    """The weights of a `Block` stored as transformers' ports from fairseq do: BART, Marian.

    Args:
        ours: Path of the block.
        theirs: Name of their layer.
        cross: Whether it has a second attention, to an encoder.
    """
    attention, second = f"{theirs}.self_attn", f"{theirs}.encoder_attn"
    rules = (
        *dense(f"{ours}/attention/qkv", *(f"{attention}.{part}_proj" for part in "qkv")),
        *dense(f"{ours}/attention/output", f"{attention}.out_proj"),
        *norm(f"{ours}/attention_norm", f"{attention}_layer_norm"),
        *dense(f"{ours}/feed_forward/expand", f"{theirs}.fc1"),
        *dense(f"{ours}/feed_forward/contract", f"{theirs}.fc2"),
        *norm(f"{ours}/feed_forward_norm", f"{theirs}.final_layer_norm"),
    )
    if not cross:
        return rules
    return (
        *rules,
        *dense(f"{ours}/cross_attention/query", f"{second}.q_proj"),
        *dense(f"{ours}/cross_attention/key_value", f"{second}.k_proj", f"{second}.v_proj"),
        *dense(f"{ours}/cross_attention/output", f"{second}.out_proj"),
        *norm(f"{ours}/cross_attention_norm", f"{second}_layer_norm"),
    )


def t5_stack(ours: str, theirs: str, last: int) -> tuple[Rename, ...]:
    """The weights of the encoder or the decoder of a T5, whose layers have no bias and no shift.

    Args:
        ours: How the paths of its blocks, its distances and its norm begin.
        theirs: Name of their stack.
        last: Number of the feed-forward network among the parts of a block.
    """
    attention, network = "0.SelfAttention", f"{last}.DenseReluDense"
    kernels = {
        "attention/qkv": [f"{attention}.q", f"{attention}.k", f"{attention}.v"],
        "attention/output": [f"{attention}.o"],
        "cross_attention/query": ["1.EncDecAttention.q"],
        "cross_attention/key_value": ["1.EncDecAttention.k", "1.EncDecAttention.v"],
        "cross_attention/output": ["1.EncDecAttention.o"],
        "feed_forward/expand": [f"{network}.wi"],
        "feed_forward/gate": [f"{network}.wi_0"],
        "feed_forward/linear": [f"{network}.wi_1"],
        "feed_forward/contract": [f"{network}.wo"],
    }
    places = {"attention": 0, "cross_attention": 1, "feed_forward": last}
    block, layer = f"{ours}_block_{{i}}", f"{theirs}.block.{{i}}.layer"
    first = f"{theirs}.block.0.layer.{attention}.relative_attention_bias"
    return (
        *(
            dense(f"{block}/{k}", *(f"{layer}.{n}" for n in names))[0]
            for k, names in kernels.items()
        ),
        *(norm(f"{block}/{k}_norm", f"{layer}.{n}.layer_norm")[0] for k, n in places.items()),
        table(f"{ours}_positions", first),
        norm(f"{ours}_norm", f"{theirs}.final_layer_norm")[0],
    )
