"""Google's own BERT checkpoints: bert_config.json, bert_model.ckpt and vocab.txt.

Source: https://github.com/google-research/bert, commit eedf571: modeling.py names the variables,
run_pretraining.py, run_classifier.py and run_squad.py the heads. Its gelu is the tanh form, which
transformers calls gelu_new.
"""

import pathlib
import re
from typing import Any

from tfzoo.core import json_file
from tfzoo.core.errors import UserError
from tfzoo.weights import tensorflow_checkpoint
from tfzoo.weights.stored import StoredTensor, transposed

CONFIG = "bert_config.json"

# What training leaves beside the weights.
_NOT_WEIGHTS = re.compile(r"global_step|.*/adam_[mv]")
# The variables of heads -> their names in transformers.
_HEADS = {
    "cls/predictions/output_bias": "cls.predictions.bias",
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
}
_CLASSES: tuple[tuple[set[str], str], ...] = (
    ({"classifier.weight"}, "BertForSequenceClassification"),
    ({"qa_outputs.weight"}, "BertForQuestionAnswering"),
    ({"cls.predictions.bias", "cls.seq_relationship.weight"}, "BertForPreTraining"),
    ({"cls.predictions.bias"}, "BertForMaskedLM"),
    ({"cls.seq_relationship.weight"}, "BertForNextSentencePrediction"),
    (set(), "BertModel"),
)
_LAST = {"kernel": "weight", "gamma": "weight", "beta": "bias"}


def matches(folder: pathlib.Path) -> bool:
    """Whether a folder is one of these."""
    return (folder / CONFIG).exists()


def read(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    """The values of a Hugging Face config.json, and the tensors by Hugging Face's names.

    Raises:
        UserError: when a file is missing or broken.
    """
    stored = tensorflow_checkpoint.read(tensorflow_checkpoint.find(folder))
    tensors: dict[str, StoredTensor] = {}
    for path, tensor in stored.items():
        if not _NOT_WEIGHTS.fullmatch(path):
            is_kernel = path.endswith("/kernel")
            tensors[_name(path)] = transposed(tensor) if is_kernel else tensor
    class_name = next(name for weights, name in _CLASSES if weights <= tensors.keys())
    values = {**_config(folder / CONFIG), "architectures": [class_name]}
    if class_name == "BertForSequenceClassification":
        shape = tensors["classifier.weight"].shape
        values["num_labels"] = shape[0] if shape else 0
    return values, tensors


def tokenizer_files(folder: pathlib.Path) -> dict[str, Any]:
    """The tokenizer's files by the names that they have in transformers: paths, or what they say.

    No file says whether texts become lowercase, which Google's code asks of its user. The
    vocabulary shows it: one of lowercased texts has no capitals, but for special tokens.
    """
    names = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
    files: dict[str, Any] = {name: folder / name for name in names}
    path = files["vocab.txt"]
    if path.exists() and not any(files[name].exists() for name in names[1:]):
        capitals = re.compile(rb"^[^\[\n]*[A-Z]", re.MULTILINE).search(path.read_bytes())
        files["tokenizer_config.json"] = {"do_lower_case": capitals is None}
    return files


def _config(path: pathlib.Path) -> dict[str, Any]:
    values = json_file.read_object(path)
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        if key not in values:
            raise UserError(f"{path} does not say its `{key}`, so it is not of Google's BERT.")
    if values.get("hidden_act", "gelu") == "gelu":
        values["hidden_act"] = "gelu_new"
    values.setdefault("type_vocab_size", 16)  # BertConfig's default there, and not transformers'
    return {**values, "model_type": "bert"}


def _name(path: str) -> str:
    if path in _HEADS:
        return _HEADS[path]
    *scopes, last = re.sub(r"/layer_(\d+)/", r"/layer/\1/", path).split("/")
    if scopes[-1:] == ["embeddings"]:
        return ".".join((*scopes, last, "weight"))
    return ".".join((*scopes, _LAST.get(last, last)))
