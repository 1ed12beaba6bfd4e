"""What the comparisons of all families with Hugging Face's transformers have in common."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

import tfzoo
from tfzoo.tasks import folder

TOLERANCE = 1e-5
# Our inputs, then the arguments of transformers' models.
ARGUMENTS = {
    "token_ids": "input_ids",
    "segment_ids": "token_type_ids",
    "padding_mask": "attention_mask",
    "encoder_token_ids": "input_ids",
    "encoder_padding_mask": "attention_mask",
    "decoder_token_ids": "decoder_input_ids",
    "decoder_padding_mask": "decoder_attention_mask",
}
# Our outputs, then the attributes of transformers' outputs that are the same numbers.
OUTPUTS = {
    "mlm_logits": "prediction_logits",
    "nsp_logits": "seq_relationship_logits",
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
    "pooled": "pooler_output",
    "sequence": "last_hidden_state",
    "encoder_sequence": "encoder_last_hidden_state",
}
# The same, of which there is one for each layer.
SERIES = (
    "hidden_states",
    "attentions",
    "encoder_hidden_states",
    "encoder_attentions",
    "decoder_hidden_states",
    "decoder_attentions",
    "cross_attentions",
)
# Architecture -> the largest difference of each case that ran; `parity_table.py` prints it.
MEASURED: dict[str, list[float]] = {}
# Keys that come back from us in other words: the same function under another name, a default
# spelled out.
REWORDED = frozenset({"_name_or_path", "dtype", "problem_type", "transformers_version"})


@dataclasses.dataclass(frozen=True)
class Case:
    """A random checkpoint of transformers.

    Attributes:
        class_name: Its class.
        config: The values of its config that are not the default.
        arguments: What its class is made with besides.
        dtype: How its weights are stored.
        shard: The largest file.
    """

    class_name: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dtype: str = "float32"
    shard: str = "5GB"


def draw(case: Case, seed: int) -> Any:
    """A transformers model whose weights, norms, biases and float buffers too, are all drawn.

    Frozen ones, which every model computes anew, stay.
    """
    import torch
    import transformers

    model_class = getattr(transformers, case.class_name)
    model = model_class(model_class.config_class(**case.config), **case.arguments)
    generator = torch.Generator().manual_seed(seed)
    stored = model.state_dict()
    gains = {
        f"{name}.weight" for name, part in model.named_modules() if "Norm" in type(part).__name__
    }
    drawn = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    drawn += [
        (name, buffer)
        for name, buffer in model.named_buffers()
        if name in stored and buffer.is_floating_point()
    ]
    with torch.no_grad():
        for name, weight in drawn:
            values = torch.randn(weight.shape, generator=generator) * 0.1
            weight.copy_(values + 1 if name in gains else values)
    model.set_attn_implementation("eager")  # the only one that gives its attention weights
    return model.eval()


def inputs(names: Collection[str], vocab_size: int, seed: int, rows: int = 5, length: int = 19):
    """Token ids drawn from the whole vocabulary, and masks with padding on either side and none.

    Args:
        names: Of our inputs, such as `{"token_ids", "padding_mask"}`; a decoder of an encoder gets
            four tokens fewer. The masks may be left out.
        vocab_size: Number of ids.
        seed: Of the ids.
        rows: At least 4, so that every kind of padding occurs.
        length: Of a row, at least 12.
    """
    generator = np.random.default_rng(seed)
    found = {}
    for name in sorted(names):
        shape = (rows, length - 4 * name.startswith("decoder_"))
        if name.endswith("token_ids"):
            found[name] = generator.integers(0, vocab_size, shape, dtype=np.int32)
        elif name.endswith("padding_mask"):
            mask = np.ones(shape, np.int32)
            mask[1, 7:] = 0
            mask[2, 1:] = 0
            mask[3, :4] = 0
            found[name] = mask
    return found


def outputs(model: Any, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a transformers model gives for our inputs, by our names."""
    import torch

    arguments = {ARGUMENTS[name]: torch.tensor(value).long() for name, value in given.items()}
    is_choice = type(model).__name__.endswith("ForMultipleChoice")
    if is_choice:  # there an axis of questions stands before that of the answers to each
        arguments = {name: value[None] for name, value in arguments.items()}
    with torch.no_grad():
        result = model(**arguments, output_hidden_states=True, output_attentions=True)
    found = {}
    for ours, theirs in OUTPUTS.items():
        value = getattr(result, theirs, None)
        if value is not None:
            found[ours] = value.numpy().T if is_choice else value.numpy()
    for series in SERIES:
        for i, value in enumerate(getattr(result, series, None) or ()):
            found[f"{series}_{i}"] = value.numpy()
    return found


def largest_difference(
    found: Mapping[str, Any],
    wanted: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray] | None = None,
) -> float:
    """Over everything in `wanted`; with the inputs `given`, over their real tokens only."""
    assert set(wanted) <= set(found)
    differences = []
    for name, value in wanted.items():
        ours = np.asarray(found[name], np.float32)
        assert ours.shape == value.shape, f"{name}: {ours.shape}, expected {value.shape}"
        assert np.isfinite(value).all(), name
        if given is not None:
            ours, value = (_real(name, each, given) for each in (ours, value))
        differences.append(float(np.abs(ours - value).max(initial=0)))
    return max(differences)


def _real(name: str, value: np.ndarray, given: Mapping[str, np.ndarray]) -> np.ndarray:
    """The part of an output that stands at real tokens; of attentions, of real queries."""
    prefixes = ("encoder_",) if name.startswith("encoder_") else ("decoder_", "")
    masks = [given[f"{p}padding_mask"] for p in prefixes if f"{p}padding_mask" in given]
    is_per_token = value.ndim > 2 or name in ("start_logits", "end_logits")
    if not masks or not is_per_token:
        return value
    if "attentions_" in name:
        value = value.transpose(0, 2, 1, 3)
    return value[masks[0].astype(bool)]


def reload(model: Any, path: Any, **arguments: Any) -> tuple[Any, dict[str, Any]]:
    """A transformers model of the class of `model` from `path`, and its report on the keys."""
    again, report = type(model).from_pretrained(
        path, output_loading_info=True, attn_implementation="eager", **arguments
    )
    return again.eval(), report


def check_case(
    case: Case,
    seed: int,
    given: Mapping[str, np.ndarray],
    tmp_path: Any,
    *,
    real_only: bool = False,
    unread: Collection[str] = (),
    recomputed: Collection[str] = (),
    reworded: Collection[str] = (),
) -> Any:
    """Draws a checkpoint and compares both libraries on it, there and back.

    Everything that transformers returns must agree, with the masks and without, after
    `tfzoo.load`; and what `tfzoo convert` writes must come back as the same model.

    Args:
        case: The checkpoint.
        seed: Of its weights.
        given: Our inputs, with masks.
        tmp_path: An empty folder.
        real_only: Whether only what stands at real tokens is compared: a causal model that is
            padded on the left has tokens that may see nothing, and what they see is undefined.
        unread: Weights that transformers itself does not read back.
        recomputed: Constants that it computes anew, and calls missing, where a file lacks them.
        reworded: Keys of config.json that we write in other words, besides `REWORDED`.

    Returns:
        What `tfzoo.load` gave.
    """
    import torch

    theirs = draw(case, seed).to(getattr(torch, case.dtype))
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=case.shard)
    if case.dtype != "float32":  # what transformers makes of the folder, constants in float32
        theirs, _ = reload(theirs, tmp_path / "theirs", dtype=torch.float32, **case.arguments)
    wanted = outputs(theirs, given)
    compared = given if real_only else None

    loaded = tfzoo.load(tmp_path / "theirs")
    probe = loaded.model.probe()
    difference = largest_difference(probe(given), wanted, compared)
    unmasked = {name: value for name, value in given.items() if not name.endswith("mask")}
    all_real = {n: np.ones_like(v) if n.endswith("mask") else v for n, v in given.items()}
    difference = max(difference, largest_difference(probe(all_real), outputs(theirs, unmasked)))
    MEASURED.setdefault(type(loaded.model).__module__.rpartition(".")[2], []).append(difference)
    assert difference < TOLERANCE

    folder.convert(f"hf:{tmp_path / 'theirs'}", f"hf:{tmp_path / 'back'}")
    back, report = reload(theirs, tmp_path / "back", **case.arguments)
    report["missing_keys"] = set(report["missing_keys"]) - set(recomputed)
    assert not any(report.values()), report
    assert largest_difference(outputs(back, given), wanted, compared) < 1e-6
    stored, kept = theirs.state_dict(), back.state_dict()
    assert set(stored) == set(kept)
    assert not [n for n in kept if n not in unread and not torch.equal(stored[n], kept[n])]
    original, written = theirs.config.to_dict(), back.config.to_dict()
    changed = {k for k in original.keys() | written if original.get(k) != written.get(k)}
    assert changed <= {*REWORDED, *reworded}
    return loaded
