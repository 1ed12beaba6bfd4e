"""What an architecture says about its foreign form."""

from tfzoo.core import foreign


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
