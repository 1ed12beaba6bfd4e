"""Small Hugging Face folders made with the safetensors package, not with our own writer."""

import json

import numpy as np
import safetensors.numpy

from tfzoo.models import bert

CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
}
LAYOUT = bert.HUGGING_FACE
HEADS = {
    "BertForPreTraining": ("cls.predictions", "cls.seq_relationship"),
    "BertForMaskedLM": ("cls.predictions",),
    "BertForSequenceClassification": ("classifier",),
    "BertForTokenClassification": ("classifier",),
    "BertForQuestionAnswering": ("qa_outputs",),
}


def shapes(classes=2, vocab=11, width=8, feed_forward=16):
    """Names and shapes of all weights that a BERT of one layer can have, as in transformers."""
    layer = "bert.encoder.layer.0."
    dense = {
        **{f"{layer}attention.self.{name}": (width, width) for name in ("query", "key", "value")},
        f"{layer}attention.output.dense": (width, width),
        f"{layer}intermediate.dense": (feed_forward, width),
        f"{layer}output.dense": (width, feed_forward),
        "bert.pooler.dense": (width, width),
        "cls.predictions.transform.dense": (width, width),
        "cls.seq_relationship": (2, width),
        "classifier": (classes, width),
        "qa_outputs": (2, width),
    }
    norms = (
        "bert.embeddings.LayerNorm",
        f"{layer}attention.output.LayerNorm",
        f"{layer}output.LayerNorm",
        "cls.predictions.transform.LayerNorm",
    )
    found = {
        "bert.embeddings.word_embeddings.weight": (vocab, width),
        "bert.embeddings.position_embeddings.weight": (12, width),
        "bert.embeddings.token_type_embeddings.weight": (2, width),
        "cls.predictions.bias": (vocab,),
    }
    for name, shape in dense.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return found


def weights(*prefixes, **sizes):
    """The weights whose names begin with a prefix, each filled from its own name."""
    found = {}
    for name, shape in shapes(**sizes).items():
        if name.startswith(prefixes):
            seed = np.frombuffer(name.encode(), np.uint8)
            found[name] = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return found


def write(folder, class_name="BertModel", tensors=None, **config):
    """A Hugging Face folder with the weights of a class of transformers."""
    folder.mkdir(exist_ok=True)
    if tensors is None:
        tensors = weights("bert.", *HEADS.get(class_name, ()))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    values = {**CONFIG, "architectures": [class_name], **config}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def change(folder, **config):
    """Changes keys of config.json; `...` as a value removes the key."""
    values = {**json.loads((folder / "config.json").read_text()), **config}
    kept = {key: value for key, value in values.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
