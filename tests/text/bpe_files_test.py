"""Folders with a byte pair encoding: read, refused, written."""

import copy
import json

import pytest

from tfzoo.core.errors import UserError
from tfzoo.text.added_tokens import AddedToken
from tfzoo.text.bpe_files import BLOOM_PATTERN, read_merges
from tfzoo.text.byte_level_bpe import ByteLevelBPE
from tfzoo.text.gpt_bpe import GptBPE

ADDED = (*map(AddedToken, ("<s>", "<pad>", "</s>", "<unk>")), AddedToken("<mask>", lstrip=True))
NAMES = {"pad_token": "<pad>", "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
FRAME = {"before": ["<s>"], "between": ["</s>", "</s>"], "after": ["</s>"]}
GPT = (["<unk>", "a", "a</w>", "b", "b</w>", "ab</w>"], [("a", "b</w>")])
TEXTS = ["", "the cat's  on\n\n<mask> 12</s>", " a b ab"]


def make(byte_level, **options):
    return ByteLevelBPE(
        *byte_level, **{"added_tokens": ADDED, "named_tokens": NAMES, **FRAME, **options}
    )


@pytest.fixture
def content(byte_level, tmp_path):
    """A tokenizer.json of ours, as Python values."""
    make(byte_level).save(tmp_path / "saved")
    return json.loads((tmp_path / "saved" / "tokenizer.json").read_text("utf-8"))


@pytest.fixture
def gpt_content(tmp_path):
    GptBPE(*GPT).save(tmp_path / "saved")
    return json.loads((tmp_path / "saved" / "tokenizer.json").read_text("utf-8"))


def changed(content, changes):
    """A copy with `part__key: value` set."""
    content = copy.deepcopy(content)
    for path, value in changes.items():
        *parents, key = path.split("__")
        part = content
        for name in parents:
            part = part[name]
        part[key] = value
    return content


def refused(kind, folder, match):
    with pytest.raises(UserError, match=match) as caught:
        kind.from_folder(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


OPTIONS = [
    {},
    {"words": "bloom", "before": (), "between": (), "after": (), "padding_side": "left"},
    {"add_prefix_space": True, "special_literals": False, "max_length": 77},
    {"unknown": "<unk>", "added_tokens": [*ADDED, AddedToken("cat", special=False)]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_saved_is_read_again(byte_level, tmp_path, options):
    saved = make(byte_level, **options)
    saved.save(tmp_path / "deep" / "er")
    read = ByteLevelBPE.from_folder(tmp_path / "deep" / "er")
    names = "vocabulary merges words add_prefix_space special_literals max_length unknown frame"
    for name in (*names.split(), "special_tokens"):
        assert getattr(read, name) == getattr(saved, name), name
    assert set(read.added_tokens) == set(saved.added_tokens)
    assert read.named_tokens == saved.named_tokens
    assert read.tokenize(TEXTS).to_list() == saved.tokenize(TEXTS).to_list()


def test_gpt_1_is_read_again(tmp_path):
    saved = GptBPE(*GPT, added_tokens=["b"][:0], max_length=99, padding_side="left")
    saved.save(tmp_path)
    read = GptBPE.from_folder(tmp_path)
    assert read.vocabulary == saved.vocabulary and read.merges == saved.merges
    assert (read.unknown, read.max_length, read.frame) == ("<unk>", 99, saved.frame)


def bare(folder, tokens, merges, names=("vocab.json", "merges.txt")):
    (folder / names[0]).write_text(json.dumps({t: i for i, t in enumerate(tokens)}), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / names[1]).write_text("\n".join(lines), "utf-8")
    return folder


def test_two_files_that_hold_roberta_s_tokens_are_roberta(byte_level, tmp_path):
    read = ByteLevelBPE.from_folder(bare(tmp_path, *byte_level))
    assert (read.frame, read.max_length) == (make(byte_level).frame, 512)
    assert set(read.special_tokens) == {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_two_files_without_them_are_gpt_2(byte_level, tmp_path, names):
    vocabulary = [*byte_level[0][4:-1], "<|endoftext|>"]
    read = ByteLevelBPE.from_folder(bare(tmp_path, vocabulary, byte_level[1], names))
    assert read.frame.before == () and read.max_length == 1024
    assert read.special_tokens == ("<|endoftext|>",)
    assert read.tokenize(["a<|endoftext|>"]).to_list()[0][-1] == len(vocabulary) - 1


def test_names_and_flags_beside_two_files_are_honoured(byte_level, tmp_path):
    bare(tmp_path, *byte_level)
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"mask_token": mask}))
    config = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<new>": len(byte_level[0])}))
    read = ByteLevelBPE.from_folder(tmp_path)
    assert read.add_prefix_space and AddedToken("<mask>", lstrip=True) in read.added_tokens
    new = read.id_of("<new>")
    assert read.tokenize(["<new> <mask>"]).to_list() == [[new, new - 1]]


def test_gpt_1_has_names_of_its_own(tmp_path):
    names = ("encoder_bpe_40000.json", "vocab_40000.bpe")
    read = GptBPE.from_folder(bare(tmp_path, *GPT, names))
    assert read.tokenize(["ab ba"]).to_list() == [[5, 3, 2]] and read.max_length == 512


@pytest.mark.parametrize("kind", [ByteLevelBPE, GptBPE])
def test_a_folder_without_tokenizer_is_refused(kind, tmp_path):
    refused(kind, tmp_path, r"expected tokenizer\.json, or vocab\.json and merges\.txt")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model__type": "WordPiece"}, "model type .* Received: WordPiece"),
        ({"model__dropout": 0.1}, "dropout"),
        ({"model__byte_fallback": True}, "byte_fallback"),
        ({"model__ignore_merges": True}, "ignore_merges"),
        ({"model__continuing_subword_prefix": "##"}, "continuing_subword_prefix"),
        ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ({"model__unk_token": "<unk>", "model__fuse_unk": True}, "fuse_unk"),
        ({"model__vocab": {"a": 0, "b": 2}}, "id 2 where 1 was expected"),
        ({"model__merges": ["a b c"]}, "merge 0='a b c'"),
        ({"model__merges": ["q q"]}, "merge 0='q q', without 'qq'"),
        ({"normalizer": {"type": "NFC"}}, "normalizer type .* Received: NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer type .* Whitespace"),
        ({"pre_tokenizer": None}, "pre_tokenizer type .* Received: none"),
        ({"pre_tokenizer__use_regex": False}, "pre_tokenizer type .* Received: ByteLevel"),
        ({"post_processor": {"type": "Other"}}, "post_processor type .* Received: Other"),
        ({"post_processor__single": []}, "template"),
        ({"decoder": {"type": "BPEDecoder"}}, "decoder type .* Received: BPEDecoder"),
        ({"truncation": {"direction": "Left"}}, "direction"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(content, tmp_path, changes, match):
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(content, changes)), "utf-8")
    refused(ByteLevelBPE, tmp_path, rf"tokenizer\.json: .*{match}")


@pytest.mark.parametrize(
    ("split", "match"),
    [
        ({"pattern": {"Regex": "\\p{L}+"}}, "pattern .* Received: {'Regex'"),
        ({"behavior": "Removed"}, "behavior"),
        ({"invert": True}, "invert"),
    ],
)
def test_other_splits_than_bloom_s_are_refused(content, tmp_path, split, match):
    known = {"type": "Split", "pattern": {"Regex": BLOOM_PATTERN}, "behavior": "Isolated"}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    pre = {"type": "Sequence", "pretokenizers": [known | {"invert": False} | split, level]}
    content = changed(content, {"pre_tokenizer": pre})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    refused(ByteLevelBPE, tmp_path, match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model__end_of_word_suffix": None}, "end_of_word_suffix"),
        ({"model__unk_token": None}, "unk_token"),
        ({"normalizer__lowercase": False}, "lowercase"),
        ({"normalizer__strip_accents": False}, "strip_accents"),
        ({"normalizer": None}, "normalizer type .* Received: none"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "pre_tokenizer type"),
        ({"decoder__suffix": "@"}, "suffix"),
        ({"post_processor": {"type": "BertProcessing", "cls": ["a", 1], "sep": ["b", 3]}}, "post"),
    ],
)
def test_what_is_not_gpt_1_is_refused_by_name(gpt_content, tmp_path, changes, match):
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed(gpt_content, changes)), "utf-8")
    refused(GptBPE, tmp_path, rf"tokenizer\.json: .*{match}")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"tokenizer_class": "BertTokenizer"}, "tokenizer_class .* BertTokenizer"),
        ({"truncation_side": "left"}, "truncation_side"),
        ({"padding_side": "top"}, "padding_side"),
        ({"add_bos_token": True}, "add_bos_token"),
        ({"errors": "ignore"}, "errors"),
        ({"add_prefix_space": True}, "disagree about add_prefix_space"),
        ({"pad_token": "<none>"}, "without <none>"),
    ],
)
def test_configs_that_change_the_meaning_are_refused(content, tmp_path, config, match):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    refused(ByteLevelBPE, tmp_path, match)


def test_single_words_are_refused(content, tmp_path):
    content["added_tokens"][0]["single_word"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    refused(ByteLevelBPE, tmp_path, "'<s>' with single_word")


def test_fairseq_s_numbers_are_refused(byte_level, tmp_path):
    bare(tmp_path, *byte_level, ("encoder.json", "vocab.bpe"))
    (tmp_path / "dict.txt").write_text("262 1\n")
    refused(ByteLevelBPE, tmp_path, "fairseq")


def test_lines_that_are_no_pairs_are_named(tmp_path):
    path = tmp_path / "merges.txt"
    path.write_text("#version: 0.2\na b\n# #\r\nabc\n")
    with pytest.raises(UserError, match=r"merges\.txt:4: expected two tokens. Received: 'abc'"):
        read_merges(path)
    path.write_text("a b\n# #\r\n")
    assert read_merges(path) == [("a", "b"), ("#", "#")]


def test_tokens_with_white_space_cannot_be_saved(tmp_path):
    spaced = ByteLevelBPE(["a", "b ", "ab "], [("a", "b ")])
    with pytest.raises(UserError, match="white space"):
        spaced.save(tmp_path)


# Against Hugging Face.


@pytest.mark.parity
@pytest.mark.parametrize("options", OPTIONS)
def test_transformers_reads_what_is_saved(byte_level, tmp_path, fuzz, options):
    transformers = pytest.importorskip("transformers")
    ours = make(byte_level, **options)
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    texts = [*fuzz(3, 300, ["the", "cat", "<mask>", "</s>", " "]), *TEXTS]
    pairs = texts[::-1]
    for batch in ([texts], [texts, pairs]):
        found = ours(*batch, max_length=40)
        options = {"truncation": True, "padding": "longest", "max_length": 40}
        expected = theirs(*batch, **options)
        assert found["token_ids"].numpy().tolist() == expected["input_ids"]
        assert found["padding_mask"].numpy().tolist() == expected["attention_mask"]
    assert "token_type_ids" not in expected
    ids = ours.tokenize(texts)
    for skip in (True, False):
        decoded = [text.decode() for text in ours.decode(ids, skip).numpy()]
        assert decoded == theirs.batch_decode(ids.to_list(), skip_special_tokens=skip)


@pytest.mark.parity
def test_transformers_reads_gpt_1(tmp_path, fuzz):
    transformers = pytest.importorskip("transformers")
    ours = GptBPE([*GPT[0], "<pad>"], GPT[1], named_tokens={"pad_token": "<pad>"})
    ours.save(tmp_path)
    texts = fuzz(4, 300, ["ab", "<unk>", "<pad>", "ba"])
    for kind in (transformers.AutoTokenizer, transformers.OpenAIGPTTokenizer):
        theirs = kind.from_pretrained(str(tmp_path))
        assert ours.tokenize(texts).to_list() == theirs(texts)["input_ids"]
        ids = [row for row in ours.tokenize(texts).to_list() if row]
        decoded = [t.decode() for t in ours.decode(ours.tokenize(texts)).numpy() if t]
        assert decoded == theirs.batch_decode(ids)


@pytest.mark.parity
@pytest.mark.data
@pytest.mark.parametrize("name", ["GPT2Tokenizer", "RobertaTokenizer", "OpenAIGPTTokenizer"])
@pytest.mark.parametrize("files", ["both", "tokenizer.json", "vocab.json"])
def test_what_transformers_saves_is_read(shared_data, tmp_path, fuzz, name, files):
    transformers = pytest.importorskip("transformers")
    sources = {
        "GPT2Tokenizer": ("tok-gpt2", "encoder.json", "vocab.bpe"),
        "RobertaTokenizer": ("tok-roberta-bart", "vocab.json", "merges.txt"),
        "OpenAIGPTTokenizer": ("tok-gpt1", "encoder_bpe_40000.json", "vocab_40000.bpe"),
    }
    item, vocabulary, merges = sources[name]
    vocabulary = json.loads((shared_data(item) / vocabulary).read_text("utf-8"))
    pairs = read_merges(shared_data(item) / merges)
    theirs = getattr(transformers, name)(vocab=vocabulary, merges=pairs, model_max_length=99)
    if files == "vocab.json":
        bare(tmp_path, sorted(vocabulary, key=vocabulary.get), pairs)
        if name == "RobertaTokenizer":
            (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
            theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    else:
        theirs.save_pretrained(str(tmp_path))
        if files == "tokenizer.json":
            (tmp_path / "tokenizer_config.json").unlink()
    kind = GptBPE if name == "OpenAIGPTTokenizer" else ByteLevelBPE
    ours = kind.from_folder(tmp_path)
    assert files != "both" or ours.max_length == 99
    texts = fuzz(5, 200, ["the", "cat", "<mask>", " ", "<s>", "<|endoftext|>", "<unk>", "'s"])
    expected = theirs(texts, texts[::-1])["input_ids"]
    inputs = ours(texts, texts[::-1], max_length=ours.max_length)
    rows = zip(inputs["token_ids"].numpy(), inputs["padding_mask"].numpy(), expected, strict=True)
    for ids, mask, theirs_row in rows:
        if len(theirs_row) <= ours.max_length:
            assert ids[: mask.sum()].tolist() == theirs_row


@pytest.mark.parametrize(
    "config", [None, {"model_max_length": 32}, {"tokenizer_class": "BartTokenizer"}]
)
def test_roberta_s_special_tokens_have_their_names_where_no_file_says_so(content, tmp_path, config):
    (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "padding": None}), "utf-8")
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    read = ByteLevelBPE.from_folder(tmp_path)
    assert read.pad_id == read.id_of("<pad>") != 0
    assert read.named_tokens["mask_token"] == "<mask>"
    read.save(tmp_path / "again")
    assert ByteLevelBPE.from_folder(tmp_path / "again").named_tokens == read.named_tokens


def test_the_class_that_config_json_names_counts_where_no_other_file_names_one(content, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    (tmp_path / "config.json").write_text('{"tokenizer_class": "BertTokenizer"}', "utf-8")
    refused(ByteLevelBPE, tmp_path, "BertTokenizer")
