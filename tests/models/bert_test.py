"""BERT against Hugging Face's own, in both directions, and the mapping between the two."""

import dataclasses
import typing

import numpy as np
import pytest

import tfzoo
from tfzoo.models import bert
from tfzoo.tasks import folder
from tfzoo.testing.conformance import EncoderConformance, fill, near
from tfzoo.weights import hugging_face_config, strict

TOLERANCE = 1e-5
SMALL = {"vocab_size": 20, "num_layers": 1, "num_heads": 2, "width": 8, "feed_forward_dim": 16}
# Our outputs, then the attributes of transformers' outputs that are the same numbers.
LOGITS = {
    "mlm_logits": "prediction_logits",
    "nsp_logits": "seq_relationship_logits",
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
    "pooled": "pooler_output",
}


def size(layers, heads, width, feed_forward, vocab, positions=40, **more):
    return {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        **more,
    }


NAMES = {
    "id2label": {0: "schlecht", 1: "gut", 2: "좋은"},
    "label2id": {"schlecht": 0, "gut": 1, "좋은": 2},
}
# Name -> (class, config, how it is saved).
CASES = {
    "encoder": ("BertModel", size(2, 4, 32, 64, 101), {}),
    "encoder without pooler": ("BertModel", size(3, 2, 24, 50, 77), {"pooler": False}),
    "no layers": ("BertModel", size(0, 2, 16, 8, 33), {}),
    "odd heads, tanh gelu": ("BertModel", size(2, 3, 33, 40, 60, hidden_act="gelu_new"), {}),
    "seven heads, one segment": ("BertModel", size(1, 7, 35, 12, 9, 21, type_vocab_size=1), {}),
    "pretraining": ("BertForPreTraining", size(2, 2, 32, 64, 119, hidden_act="gelu_new"), {}),
    "pretraining, untied": (
        "BertForPreTraining",
        size(1, 2, 32, 30, 41, tie_word_embeddings=False),
        {},
    ),
    "masked lm, relu": ("BertForMaskedLM", size(2, 5, 40, 64, 1000, hidden_act="relu"), {}),
    "masked lm, shards": ("BertForMaskedLM", size(4, 4, 32, 64, 300), {"shard": "20KB"}),
    "masked lm, untied": (
        "BertForMaskedLM",
        size(1, 2, 16, 8, 30, tie_word_embeddings=False, hidden_act="gelu_pytorch_tanh"),
        {},
    ),
    "next sentence": ("BertForNextSentencePrediction", size(1, 1, 8, 8, 20), {}),
    "classes with names": (
        "BertForSequenceClassification",
        size(2, 4, 32, 64, 90, hidden_act="silu", **NAMES),
        {},
    ),
    "eleven classes, epsilon": (
        "BertForSequenceClassification",
        size(2, 6, 30, 64, 50, num_labels=11, layer_norm_eps=1e-5, classifier_dropout=0.3),
        {},
    ),
    "tokens": ("BertForTokenClassification", size(2, 4, 32, 64, 80, num_labels=7), {}),
    "answers": ("BertForQuestionAnswering", size(2, 4, 32, 64, 80, type_vocab_size=4), {}),
    "bfloat16": ("BertForSequenceClassification", size(2, 4, 32, 64, 70), {"dtype": "bfloat16"}),
    "float16": ("BertForPreTraining", size(2, 4, 32, 64, 70), {"dtype": "float16"}),
}


def draw(class_name, config, seed, pooler=True):
    """A transformers model whose weights, norms and biases too, are all drawn."""
    import torch
    import transformers

    arguments = {} if pooler else {"add_pooling_layer": False}
    model = getattr(transformers, class_name)(transformers.BertConfig(**config), **arguments)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator) * 0.1
            weight.copy_(drawn + 1 if name.endswith("LayerNorm.weight") else drawn)
    model.set_attn_implementation("eager")  # the only one that gives its attention weights
    return model.eval()


def inputs(config, seed, rows=5, length=19):
    """Token ids, segments, and masks with padding on the right, on the left, and none."""
    generator = np.random.default_rng(seed)
    mask = np.ones((rows, length), np.int32)
    mask[1, 7:] = 0
    mask[2, 1:] = 0
    mask[3, :4] = 0
    return {
        "token_ids": generator.integers(0, config.vocab_size, (rows, length), dtype=np.int32),
        "segment_ids": generator.integers(0, config.type_vocab_size, (rows, length), np.int32),
        "padding_mask": mask,
    }


def transformers_outputs(model, ours):
    import torch

    with torch.no_grad():
        result = model(
            input_ids=torch.tensor(ours["token_ids"]).long(),
            token_type_ids=torch.tensor(ours["segment_ids"]).long(),
            attention_mask=torch.tensor(ours["padding_mask"]).long(),
            output_hidden_states=True,
            output_attentions=True,
        )
    found = {f"hidden_states_{i}": state.numpy() for i, state in enumerate(result.hidden_states)}
    found |= {f"attentions_{i}": weights.numpy() for i, weights in enumerate(result.attentions)}
    for ours_name, theirs_name in LOGITS.items():
        value = getattr(result, theirs_name, None)
        if value is not None:
            found[ours_name] = value.numpy()
    return found


def largest_difference(found, wanted):
    """Over everything in `wanted`, the vectors of padding too."""
    assert set(wanted) <= set(found)
    return max(float(np.abs(np.asarray(found[name]) - wanted[name]).max()) for name in wanted)


def reload(model, path, pooler=True):
    import transformers

    arguments = {} if pooler else {"add_pooling_layer": False}
    again, report = getattr(transformers, type(model).__name__).from_pretrained(
        path, output_loading_info=True, attn_implementation="eager", **arguments
    )
    return again.eval(), report


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES)
def test_a_random_checkpoint_computes_what_transformers_computes_and_goes_back(case, tmp_path):
    import torch

    class_name, config, how = CASES[case]
    seed = list(CASES).index(case)
    theirs = draw(class_name, config, seed, how.get("pooler", True))
    if "dtype" in how:
        theirs = theirs.to(getattr(torch, how["dtype"]))
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=how.get("shard", "5GB"))
    theirs = theirs.to(torch.float32)
    given = inputs(theirs.config, seed)
    wanted = transformers_outputs(theirs, given)

    loaded = tfzoo.load(tmp_path / "theirs")
    found = loaded.model.probe()(given)
    assert largest_difference(found, wanted) < TOLERANCE
    assert all(np.isfinite(value).all() for value in wanted.values())

    folder.convert(f"hf:{tmp_path / 'theirs'}", f"hf:{tmp_path / 'back'}")
    back, report = reload(theirs, tmp_path / "back", how.get("pooler", True))
    assert not any(report.values()), report
    again = transformers_outputs(back, given)
    assert largest_difference(again, wanted) < 1e-6
    stored, kept = theirs.state_dict(), back.state_dict()
    # transformers 5 never reads this one when the embeddings are not tied.
    unread = set() if theirs.config.tie_word_embeddings else {"cls.predictions.bias"}
    assert not [n for n in kept if n not in unread and not torch.equal(stored[n], kept[n])]
    assert back.config.id2label == theirs.config.id2label
    # What they say in other words: the same function under another name, a default spelled out.
    ignored = {"_name_or_path", "dtype", "problem_type", "classifier_dropout", "hidden_act"}
    original, written = theirs.config.to_dict(), back.config.to_dict()
    changed = {k for k in original.keys() | written if original.get(k) != written.get(k)}
    assert changed <= ignored


@pytest.mark.data
@pytest.mark.parametrize("name", ["bert-for-pretraining", "bert-for-sequence-classification"])
def test_a_stored_random_checkpoint_gives_the_stored_outputs(shared_data, name):
    path = shared_data("hf-random") / name
    given = dict(np.load(path / "inputs.npz"))
    wanted = dict(np.load(path / "outputs.npz"))
    found = tfzoo.load(f"hf:{path}").model.probe()(
        {
            "token_ids": given["input_ids"],
            "segment_ids": given["token_type_ids"],
            "padding_mask": given["attention_mask"],
        }
    )
    ours = {theirs: ours for ours, theirs in LOGITS.items()}
    wanted = {ours.get(key, key): value for key, value in wanted.items()}
    assert {"hidden_states_0", "hidden_states_2"} <= set(wanted)
    assert largest_difference(found, wanted) < TOLERANCE


@pytest.mark.parametrize("head", bert.HUGGING_FACE.heads)
@pytest.mark.parametrize("tied_output", [True, False])
def test_every_weight_of_every_head_has_a_foreign_name_of_its_own(head, tied_output):
    model = tfzoo.build("bert", **SMALL, head=head, tied_output=tied_output)
    names = [name for match in strict.matches(model, bert.RENAMES) for name in match.names]
    assert len(names) == len(set(names))
    prefixes = bert.HUGGING_FACE.head_weights(head)
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)
    assert all(name.startswith(("bert.", *prefixes)) for name in names)


def test_every_size_of_the_config_is_read_from_a_key():
    decided_by_weights = {"pooler", "head", "num_labels"}
    ours = {field.name for field in dataclasses.fields(bert.BertConfig)}
    assert set(bert.HUGGING_FACE.fields.values()) == ours - decided_by_weights
    assert set(typing.get_args(bert.Head)) == set(bert.HUGGING_FACE.heads)


def test_defaults_are_those_of_transformers():
    written = hugging_face_config.values(bert.BertConfig(), bert.HUGGING_FACE, None, 0)
    # As printed in configuration_bert.py of transformers 5.23.
    defaults = {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    assert {key: written[key] for key in defaults} == defaults
    read = hugging_face_config.fields({"model_type": "bert"}, bert.HUGGING_FACE, "config.json")
    assert bert.BertConfig(**read) == bert.BertConfig()


class TestBert(EncoderConformance):
    name = "bert"
    fields = {**SMALL, "vocab_size": 50, "num_layers": 2, "max_length": 20}
    counts = {"base": 109_482_240, "large": 335_141_888}


INPUTS = {
    "token_ids": np.array([[2, 7, 9, 3]]),
    "segment_ids": np.array([[0, 0, 1, 1]]),
    "padding_mask": np.array([[1, 1, 1, 1]]),
}


@pytest.mark.parametrize(
    ("rate", "more"),
    [
        ("dropout", {"num_layers": 0}),
        ("dropout", {"num_layers": 1}),
        ("attention_dropout", {"num_layers": 1}),
        ("head_dropout", {"num_layers": 0, "head": "classification"}),
        ("head_dropout", {"num_layers": 0, "head": "token_classification"}),
    ],
)
def test_every_dropout_acts_in_training_and_only_there(rate, more):
    rates = {"dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0, rate: 0.5}
    model = tfzoo.build("bert", **{**SMALL, **rates, **more})
    fill(model)
    name = next(iter(model.output))
    still, again = model(INPUTS)[name], model(INPUTS, training=False)[name]
    near(again, still, 0)
    assert np.abs(model(INPUTS, training=True)[name] - still).max() > 1e-3


def test_sizes_reach_the_blocks():
    model = tfzoo.build("bert", **SMALL, norm_epsilon=1e-3, initializer_range=1e-4)
    block = model.get_layer("block_0")
    assert {block.attention_norm.epsilon, block.feed_forward_norm.epsilon} == {1e-3}
    kernels = [w for w in block.weights if w.path.endswith("kernel")]
    assert all(np.abs(w).max() < 1e-3 for w in kernels)


def test_the_pooler_reads_the_first_token():
    model = tfzoo.build("bert", **SMALL)
    fill(model)
    outputs, dense = model(INPUTS), model.get_layer("pooler")
    near(outputs["pooled"], dense(outputs["sequence"][:, 0]), 1e-6)


def test_the_first_column_of_a_span_is_its_start():
    model = tfzoo.build("bert", **SMALL, head="question_answering")
    fill(model)
    outputs = model(INPUTS)
    spans = model.get_layer("span")(model.features()(INPUTS)["sequence"])
    near(outputs["start_logits"], spans[:, :, 0], 1e-6)
    near(outputs["end_logits"], spans[:, :, 1], 1e-6)
