"""The folders of sentence-transformers."""

import json

import pytest

from tfzoo.core.errors import UserError
from tfzoo.weights import sentence_transformers

OLD = "sentence_transformers.models."
NEW_POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"


def write(folder, types=("Transformer", "Pooling"), paths=("", "1_Pooling", "2_Normalize"), **more):
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": name if "." in name else OLD + name}
        for i, (name, path) in enumerate(zip(types, paths, strict=False))
    ]
    files = {"modules.json": modules, "1_Pooling/config.json": {"pooling_mode": "mean"}, **more}
    for name, value in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))


def refused(folder):
    with pytest.raises(UserError) as error:
        sentence_transformers.read(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_plain_folder_has_no_options(tmp_path):
    assert sentence_transformers.read(tmp_path) == (tmp_path, {})


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_what_is_written_is_read(tmp_path, pooling, normalize):
    sentence_transformers.write(tmp_path, 8, pooling, normalize, 99)
    options = {"pooling": pooling, "normalize": normalize, "max_length": 99}
    assert sentence_transformers.read(tmp_path) == (tmp_path, options)


def test_the_encoder_may_lie_in_a_folder_of_its_own(tmp_path):
    more = {"0_Transformer/sentence_bert_config.json": {"max_seq_length": 7}}
    write(tmp_path, paths=("0_Transformer", "1_Pooling"), **more)
    encoder, options = sentence_transformers.read(tmp_path)
    assert encoder == tmp_path / "0_Transformer"
    assert options == {"pooling": "mean", "normalize": False, "max_length": 7}


def test_files_of_version_6_are_read(tmp_path):
    more = {
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "modality_config": {
                "text": {"method": "forward", "method_output_name": "last_hidden_state"}
            },
            "module_output_name": "token_embeddings",
        },
        "1_Pooling/config.json": {
            "embedding_dimension": 8,
            "pooling_mode": "cls",
            "include_prompt": True,
        },
        "2_Normalize/config.json": {
            "module_input_name": "sentence_embedding",
            "module_output_name": "sentence_embedding",
        },
        "config_sentence_transformers.json": {"default_prompt_name": None, "prompts": {"q": ""}},
    }
    types = (
        "sentence_transformers.base.modules.transformer.Transformer",
        NEW_POOLING,
        "sentence_transformers.base.modules.normalize.Normalize",
    )
    write(tmp_path, types, **more)
    assert sentence_transformers.read(tmp_path)[1] == {"pooling": "cls", "normalize": True}


@pytest.mark.parametrize(
    ("modes", "wanted"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"word_embedding_dimension": 8}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
    ],
)
def test_poolings(tmp_path, modes, wanted):
    write(tmp_path, **{"1_Pooling/config.json": modes})
    assert sentence_transformers.read(tmp_path)[1]["pooling"] == wanted


@pytest.mark.parametrize(
    ("types", "more", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "Received: Transformer, Pooling, Dense"),
        (("Transformer",), {}, "Received: Transformer"),
        (("Pooling", "Transformer"), {}, "Received: Pooling, Transformer"),
        ((), {}, "no modules"),
        (("Transformer", "Pooling"), {"1_Pooling/config.json": {"pooling_mode": "max"}}, "max"),
        (
            ("Transformer", "Pooling"),
            {"1_Pooling/config.json": {"pooling_mode_lasttoken": True}},
            "lasttoken",
        ),
        (
            ("Transformer", "Pooling"),
            {"1_Pooling/config.json": {"pooling_mode": ["mean", "cls"]}},
            "mean, cls",
        ),
        (("Transformer", "Pooling"), {"1_Pooling/config.json": {"new": 1}}, "`new`"),
        (
            ("Transformer", "Pooling"),
            {"sentence_bert_config.json": {"do_lower_case": True}},
            "do_lower_case",
        ),
        (
            ("Transformer", "Pooling"),
            {"sentence_bert_config.json": {"max_seq_length": "9"}},
            "max_seq_length",
        ),
        (("Transformer", "Pooling"), {"sentence_bert_config.json": {"new": 1}}, "`new`"),
        (
            ("Transformer", "Pooling"),
            {"sentence_bert_config.json": {"transformer_task": "fill-mask"}},
            "transformer_task",
        ),
        (
            ("Transformer", "Pooling"),
            {"config_sentence_transformers.json": {"default_prompt_name": "query"}},
            "default_prompt_name",
        ),
        (
            ("Transformer", "Pooling", "Normalize"),
            {"2_Normalize/config.json": {"module_input_name": "token_embeddings"}},
            "module_input_name",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, types, more, message):
    write(tmp_path, types, **more)
    assert message in refused(tmp_path)


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "a/b", "a\\b", 3, None])
def test_a_path_out_of_the_folder_is_refused(tmp_path, path):
    write(tmp_path, paths=(path, "1_Pooling"))
    assert "must name folders inside" in refused(tmp_path)


@pytest.mark.parametrize("content", ["{", "[3]", '[{"path": ""}]', '{"a": 1}', "null", "3"])
def test_a_broken_list_of_modules_is_one_line(tmp_path, content):
    (tmp_path / "modules.json").write_text(content)
    assert "modules.json" in refused(tmp_path)


def test_a_missing_pooling_is_one_line(tmp_path):
    write(tmp_path)
    (tmp_path / "1_Pooling/config.json").unlink()
    assert "config.json is missing" in refused(tmp_path)
