"""What an architecture says about its foreign form."""

import pytest

from tfzoo.core import foreign
from tfzoo.core.errors import UserError


def test_the_first_name_of_a_head_is_its_class_and_the_rest_are_prefixes():
    layout = foreign.HuggingFace(
        model_type="x",
        tokenizer="wordpiece",
        prefix="x.",
        heads={"none": ("XModel",), "both": ("XBoth", "a.", "b.")},
        label_heads=(),
        fields={},
        renames=(),
    )
    assert layout.head_weights("none") == ()
    assert layout.head_weights("both") == ("a.", "b.")


def test_the_first_name_of_each_activation_is_one_that_transformers_writes():
    first = {}
    for theirs, ours in foreign.HIDDEN_ACT.items():
        first.setdefault(ours, theirs)
    assert first == {
        "gelu": "gelu",
        "gelu_tanh": "gelu_new",
        "relu": "relu",
        "silu": "silu",
        "tanh": "tanh",
    }


def test_synonyms_are_said_in_the_keys_and_count_where_both_are_given():
    modern = foreign.synonyms({"hidden_size": "width", "num_layers": "depth"})
    assert modern({"hidden_size": 3, "width": 4, "depth": 5, "x": 6}) == {
        "width": 3,
        "depth": 5,
        "x": 6,
    }
    assert modern({"hidden_size": None, "width": 4}) == {"width": 4}


def test_t5_writes_its_gated_activations_as_transformers_reads_them():
    first = {}
    for theirs, ours in foreign.T5_FEED_FORWARD.items():
        first.setdefault(ours, theirs)
    assert first["gated_gelu_tanh"] == "gated-gelu"  # which transformers takes for gelu_new
    assert first["gated_gelu"] == "gated-gelu_python"
    assert first["gated_silu"] == "gated-silu"
    assert first["relu"] == "relu"


@pytest.mark.parametrize(
    ("values", "scaled"),
    [
        ({}, True),
        ({"tie_word_embeddings": True}, True),
        ({"tie_word_embeddings": False}, False),
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        ({"tie_word_embeddings": False, "scale_decoder_outputs": True}, True),
    ],
)
def test_t5_scales_its_output_unless_a_file_says_otherwise(values, scaled):
    assert foreign.t5_values(values)["scale_decoder_outputs"] is scaled


def test_what_t5_derives_is_left_out_when_it_is_right():
    derived = {"dense_act_fn": "gelu_new", "is_gated_act": True}
    found = foreign.t5_values({"feed_forward_proj": "gated-gelu", **derived})
    assert set(found) == {"feed_forward_proj", "scale_decoder_outputs"}
    with pytest.raises(
        UserError, match=r"gated-silu means dense_act_fn=silu\. Received: .*gelu_new"
    ):
        foreign.t5_values({"feed_forward_proj": "gated-silu", **derived})
