"""What the tests of the decoders have in common."""

import dataclasses
import pathlib
import typing
from typing import Any

import numpy as np
import pytest
from keras import ops

import tfzoo
from tests.models import parity
from tests.models.parity import Case
from tfzoo import models
from tfzoo.core.errors import UserError
from tfzoo.testing.conformance import fill, near
from tfzoo.weights import hugging_face_config, strict

PAD = 0


def inputs(case: Case, seed: int) -> dict[str, np.ndarray]:
    """Token ids, and masks with padding on either side.

    A classifier of texts gets no padding on the right: transformers finds the last real token by
    the id of padding, so that there is none without a mask. `check_last_token` is about it.
    """
    given = parity.inputs({"token_ids", "padding_mask"}, case.config["vocab_size"], seed)
    if case.class_name.endswith("SequenceClassification"):
        given["token_ids"] = np.where(given["token_ids"] == PAD, PAD + 1, given["token_ids"])
        mask = np.ones_like(given["padding_mask"])
        mask[1, :4], mask[2, :-1] = 0, 0
        given["padding_mask"] = mask
    return given


def check_last_token(case: Case, tmp_path: pathlib.Path) -> None:
    """Compares heads that read one token of each row, under padding on either side.

    transformers is told that token for a choice; a classifier finds it by the id of padding.
    """
    import torch

    theirs = parity.draw(case, 5)
    theirs.save_pretrained(tmp_path)
    given = parity.inputs({"token_ids", "padding_mask"}, case.config["vocab_size"], 5)
    ids, mask = np.maximum(given["token_ids"], PAD + 1), given["padding_mask"]
    ids[mask == 0] = PAD
    arguments = {"input_ids": torch.tensor(ids).long(), "attention_mask": torch.tensor(mask)}
    name = "logits"
    if case.class_name.endswith("DoubleHeadsModel"):
        name = "mc_logits"
        last = (np.arange(mask.shape[1]) * mask).max(1)
        arguments["mc_token_ids"] = torch.tensor(last).long()
    with torch.no_grad():
        wanted = getattr(theirs(**arguments), name).numpy()
    found = tfzoo.load(tmp_path).model({"token_ids": ids, "padding_mask": mask})[name]
    assert np.ptp(wanted) > 0.05
    assert parity.largest_difference({name: found}, {name: wanted}) < parity.TOLERANCE


def check_stored(path: pathlib.Path) -> None:
    """Compares with what transformers gave for a checkpoint of ../shared/data, greedy ids too."""
    given, stored = np.load(path / "inputs.npz"), np.load(path / "outputs.npz")
    model = tfzoo.load(f"hf:{path}").model
    found = model.probe()(
        {"token_ids": given["input_ids"], "padding_mask": given["attention_mask"]}
    )
    wanted = {name: stored[name] for name in stored if name not in ("greedy", "beam3")}
    assert {"logits", "hidden_states_0", "hidden_states_2"} <= set(wanted)
    assert parity.largest_difference(found, wanted) < parity.TOLERANCE
    prompt_length, length = given["input_ids"].shape[1], stored["greedy"].shape[1]
    found_ids = greedy(model, given["input_ids"], length - prompt_length)
    assert np.array_equal(found_ids, stored["greedy"])


def greedy(model: Any, prompt_bt: np.ndarray, num_tokens: int) -> np.ndarray:
    """`prompt_bt` and the `num_tokens` likeliest tokens after it, one cached step each."""
    ids = np.asarray(prompt_bt, np.int32)
    caches = model.empty_caches(len(ids), ids.shape[1] + num_tokens)
    step, start = ids, 0
    for _ in range(num_tokens):
        logits, caches = model.step(step, caches, start)
        start = ids.shape[1]
        step = np.argmax(logits[:, -1:], -1).astype(np.int32)
        ids = np.concatenate([ids, step], 1)
    return ids


def check_rows_alone(model: Any, prompts: list[list[int]], num_tokens: int = 3) -> None:
    """Prompts of different lengths, read in one pass and continued, against each row alone."""
    longest, size = max(map(len, prompts)), max(map(len, prompts)) + num_tokens
    ids = np.full((len(prompts), longest), 3, np.int32)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    more = np.arange(len(prompts) * num_tokens).reshape(len(prompts), num_tokens) * 5 % 11
    logits, caches = model.step(ids, model.empty_caches(len(prompts), size), 0)
    seen = [list(logits[row, : lengths[row]]) for row in range(len(prompts))]
    for i in range(num_tokens):
        step = more[:, i : i + 1].astype(np.int32)
        logits, caches = model.step(step, caches, ops.convert_to_tensor(lengths + i))
        for row in range(len(prompts)):
            seen[row].append(logits[row, 0])
    for row, prompt in enumerate(prompts):
        alone = np.array([[*prompt, *more[row]]], np.int32)
        wanted = model({"token_ids": alone, "padding_mask": np.ones_like(alone)})["logits"]
        near(np.stack(seen[row]), wanted[0], 1e-5)


def check_names(architecture: Any, name: str, fields: dict[str, Any]) -> None:
    """Every weight of every head has a foreign name of its own; every field, a key."""
    layout = architecture.HUGGING_FACE
    for head in layout.heads:
        for tied in (True, False):
            model = tfzoo.build(name, **fields, head=head, tied_output=tied)
            found = [n for match in strict.matches(model, layout.renames) for n in match.names]
            assert len(found) == len(set(found))
            prefixes = layout.head_weights(head, tied)
            assert all(any(n.startswith(prefix) for n in found) for prefix in prefixes)
            assert all(n.startswith((layout.prefix, *prefixes)) for n in found)
    config_class = models.model_class(name).config_class
    ours = {field.name for field in dataclasses.fields(config_class)}
    assert set(typing.get_args(architecture.Head)) == set(layout.heads)
    unread = ours - set(layout.fields.values())
    assert unread <= {"head", "num_labels", "window", "packed"}


def check_defaults(
    architecture: Any, name: str, class_name: str, extra: set[str], **fields: Any
) -> None:
    """What an empty config.json means, and every key that transformers writes.

    Args:
        architecture: The module.
        name: Of the architecture.
        class_name: transformers' config class.
        extra: Keys that we write and its class does not have.
        **fields: Those whose default is not transformers'.
    """
    import transformers

    config, layout = models.config(name, **fields), architecture.HUGGING_FACE
    theirs = getattr(transformers, class_name)().to_dict()
    assert read(architecture) == read(architecture, **theirs) == config
    written = hugging_face_config.values(config, layout, None, 0)
    said = {"architectures", "dtype"}
    assert {k for k in written if k not in theirs} - said == extra
    changed = {k for k in theirs.keys() & written if theirs[k] != written[k]} - said
    assert not changed


def read(architecture: Any, **values: Any) -> Any:
    """Our config for the keys of a config.json."""
    layout = architecture.HUGGING_FACE
    modern = hugging_face_config.unaliased({"model_type": layout.model_type, **values}, layout)
    name = architecture.__name__.rpartition(".")[2]
    return models.config(name, **hugging_face_config.fields(modern, layout, "config.json"))


def refusal(architecture: Any, **values: Any) -> str:
    """What is said to keys of config.json."""
    with pytest.raises(UserError) as error:
        read(architecture, **values)
    return str(error.value)


def check_dropouts(name: str, fields: dict[str, Any], cases: dict[str, dict[str, Any]]) -> None:
    """Every dropout acts in training and only there.

    Args:
        name: Of the architecture.
        fields: Of a small one.
        cases: The field of each rate, and the fields under which it alone can act.
    """
    ids = np.array([[2, 7, 9, 3]], np.int32)
    given = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    for rate, more in cases.items():
        rates = {**dict.fromkeys(cases, 0.0), rate: 0.5}
        model = tfzoo.build(name, **{**fields, **rates, **more})
        fill(model)
        output = list(model.output)[-1]
        still = model(given)[output]
        near(model(given, training=False)[output], still, 0)
        assert np.abs(model(given, training=True)[output] - still).max() > 1e-3, rate
