"""Which reader serves a folder, and where its tokenizer is."""

import json

import pytest

import tfzoo
from tests.weights import (
    google_bert_test,
    keras_hub_test,
    openai_gpt2_test,
    openai_gpt_test,
    t5x_test,
    tiny,
    transformers_flax_test,
    transformers_h5_test,
)
from tfzoo.core.errors import UserError
from tfzoo.tasks import folder
from tfzoo.weights import layouts

# Layout -> writes a small folder of it.
WRITERS = {
    "safetensors": tiny.write,
    "tf_model.h5": transformers_h5_test.write,
    "flax_model.msgpack": transformers_flax_test.write,
    "Google's BERT": lambda path: google_bert_test.write(path, google_bert_test.all_weights()),
    "OpenAI's GPT-2": lambda path: openai_gpt2_test.write(path, openai_gpt2_test.arrays()),
    "OpenAI's GPT": openai_gpt_test.write,
    "T5X": lambda path: t5x_test.write(path, t5x_test.draw(t5x_test.SMALL)),
    "KerasHub": keras_hub_test.write,
}
TYPES = {"OpenAI's GPT-2": "gpt2", "OpenAI's GPT": "openai-gpt", "T5X": "t5"}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_ends_in_a_config_and_weights_of_hugging_face(layout, tmp_path):
    WRITERS[layout](tmp_path)
    source = layouts.read(tmp_path)
    assert source.values["model_type"] == TYPES.get(layout, "bert")
    assert source.tensors
    has_config = (tmp_path / "config.json").exists()
    assert has_config or layouts.matches(tmp_path)


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_converts_to_a_tfzoo_folder(layout, tmp_path):
    (tmp_path / "theirs").mkdir()
    WRITERS[layout](tmp_path / "theirs")
    before = tfzoo.load(tmp_path / "theirs")
    folder.convert(str(tmp_path / "theirs"), str(tmp_path / "ours"))
    after = tfzoo.load(tmp_path / "ours")
    assert after.config == before.config
    weights = {w.path: w.numpy() for w in before.model.weights}
    assert all((weights[w.path] == w.numpy()).all() for w in after.model.weights)


def test_a_folder_of_nothing_is_no_model(tmp_path):
    assert not layouts.matches(tmp_path)
    with pytest.raises(UserError, match=r"config\.json is missing"):
        layouts.read(tmp_path)


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c", "A", "##CD"]


@pytest.mark.parametrize("capitals", [True, False])
def test_a_vocabulary_of_google_shows_whether_texts_become_lowercase(capitals, tmp_path):
    WRITERS["Google's BERT"](tmp_path)
    vocabulary = VOCABULARY if capitals else [t for t in VOCABULARY if t not in ("A", "##CD")]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = tfzoo.load(tmp_path).tokenizer
    pieces = tokenizer.tokenize(["aCD A"])[0].numpy().tolist()
    expected = ["a", "##CD", "A"] if capitals else ["[UNK]", "a"]
    assert [tokenizer.vocabulary[i] for i in pieces] == expected


def test_what_google_bert_says_beside_its_vocabulary_counts(tmp_path):
    WRITERS["Google's BERT"](tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    assert tfzoo.load(tmp_path).tokenizer.lowercase


@pytest.mark.data
@pytest.mark.parametrize("name", ["cased", "uncased"])
def test_googles_own_vocabularies_show_it(name, shared_data, tmp_path):
    WRITERS["Google's BERT"](tmp_path)
    words = (shared_data(f"tok-bert-base-{name}") / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").write_bytes(words)
    with layouts.tokenizer_folder(tmp_path) as place:
        config = json.loads((place / "tokenizer_config.json").read_text())
    assert config == {"do_lower_case": name == "uncased"}


def preset(path, class_name, config, **assets):
    """A KerasHub tokenizer's files."""
    values = {"class_name": class_name, "config": config}
    (path / "tokenizer.json").write_text(json.dumps(values))
    (path / "assets" / "tokenizer").mkdir(parents=True)
    for name, content in assets.items():
        (path / "assets" / "tokenizer" / name.replace("__", ".")).write_text(content)


def test_a_tokenizer_of_keras_hub_is_read(tmp_path):
    keras_hub_test.write(tmp_path)
    words = "\n".join(VOCABULARY[:7])
    options = {"lowercase": True, "strip_accents": False}
    preset(tmp_path, "BertTokenizer", options, vocabulary__txt=words)
    tokenizer = tfzoo.load(tmp_path).tokenizer
    assert (tokenizer.lowercase, tokenizer.strip_accents) == (True, False)
    assert tokenizer.vocabulary == tuple(VOCABULARY[:7])


def test_a_tokenizer_of_byte_pairs_of_keras_hub_is_read(tmp_path):
    from tfzoo.text.byte_level_bpe import ByteLevelBPE

    vocabulary = json.dumps({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3})
    keras_hub_test.write(tmp_path)
    preset(tmp_path, "GPT2Tokenizer", {}, vocabulary__json=vocabulary, merges__txt="a b\n")
    with layouts.tokenizer_folder(tmp_path) as place:
        tokenizer = ByteLevelBPE.from_folder(place)
    assert tokenizer.tokenize(["aba"])[0].numpy().tolist() == [3, 1]


def test_an_error_about_a_copy_names_the_folder(tmp_path):
    keras_hub_test.write(tmp_path)
    preset(tmp_path, "BertTokenizer", {}, vocabulary__txt="a\na\n")
    with pytest.raises(UserError) as error:
        tfzoo.load(tmp_path)
    assert str(tmp_path) in str(error.value)
    (tmp_path / "tokenizer.json").write_text('{"class_name": "AlbertTokenizer", "config": {}}')
    with pytest.raises(UserError, match="Received: class_name='AlbertTokenizer'"):
        tfzoo.load(tmp_path)


def test_a_file_that_is_missing_among_the_assets_is_named(tmp_path):
    keras_hub_test.write(tmp_path)
    preset(tmp_path, "BertTokenizer", {})
    with pytest.raises(UserError, match=r"vocab\.txt"):
        tfzoo.load(tmp_path)
