"""The tables between KerasHub's names and transformers'."""

import pytest

from tfzoo import models
from tfzoo.weights.keras_hub_families import FAMILIES

ARCHITECTURES = {
    "Bert": "bert",
    "DistilBert": "distilbert",
    "Roberta": "roberta",
    "GPT2": "gpt2",
    "Bloom": "bloom",
    "Bart": "bart",
    "T5": "t5",
}


def layout(family):
    return models.module(ARCHITECTURES[family]).HUGGING_FACE


def test_there_is_a_family_for_every_architecture_that_both_have():
    assert set(FAMILIES) == set(ARCHITECTURES)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_is_a_module_of_the_architecture(family):
    known = {name for rule in layout(family).renames for name in rule.theirs}
    joined = {"GPT2": "attn.c_attn", "Bloom": "self_attention.query_key_value"}
    heads = [head.parts.values() for head in FAMILIES[family].heads.values()]
    for module in [*FAMILIES[family].parts.values(), *(name for names in heads for name in names)]:
        scope, _, last = module.rpartition(".")
        if last in ("query", "key", "value") and family in joined:
            module = f"{scope.rpartition('.')[0]}.{joined[family]}"
        prefix = "transformer." if family == "T5" else ""
        if module.endswith("relative_attention_bias"):
            module = module.format(i=0)  # only the first block has one
        names = {f"{prefix}{module}.{last}" for last in ("weight", "bias")}
        assert names & known, module


@pytest.mark.parametrize("family", FAMILIES)
def test_every_key_and_value_is_one_of_config_json(family):
    from tfzoo.weights import hugging_face_config

    theirs = {key for keys in FAMILIES[family].keys.values() for key in keys}
    known = {*layout(family).fields, *layout(family).fixed, *hugging_face_config.HARMLESS}
    assert theirs | set(FAMILIES[family].values) <= known | {"model_type", "architectures"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_class_is_one_of_the_architecture(family):
    classes = [classes[0] for classes in layout(family).heads.values()]
    mine = [head.class_name for head in FAMILIES[family].heads.values()]
    assert {*FAMILIES[family].values["architectures"], *mine} <= set(classes)
