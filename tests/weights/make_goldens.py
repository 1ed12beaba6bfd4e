"""Wrote goldens/tf_model.json and goldens/flax_model.json; needs what tfzoo's tests do not have.

    pip install --target OLD --no-deps transformers==4.49.0 tokenizers==0.21.4 \
        huggingface_hub==0.36.2 tf-keras==2.21.0 flax==0.12.8 msgpack==1.2.4
    PYTHONPATH=OLD:. TF_USE_LEGACY_KERAS=1 python tests/weights/make_goldens.py

For every class: its config.json, the names and shapes in the file that it writes, in their order,
and its own outputs for given inputs when each weight is filled from its name by `fill`.
"""

import json
import os
import pathlib
import re
import sys
import tempfile

import numpy as np

GOLDENS = pathlib.Path(__file__).parent / "goldens"
ENCODER = {
    "vocab_size": 13,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}
DISTILBERT = {
    "vocab_size": 13,
    "dim": 8,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dim": 12,
    "max_position_embeddings": 10,
}
GPT = {
    "vocab_size": 13,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 10,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
T5 = {"vocab_size": 13, "d_model": 8, "num_layers": 2, "num_heads": 2, "d_kv": 3, "d_ff": 12}
BART = {
    "vocab_size": 13,
    "d_model": 8,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 12,
    "decoder_ffn_dim": 12,
    "max_position_embeddings": 10,
    "forced_eos_token_id": None,
}
MARIAN = {**BART, "pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 2}
V11 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CASES = {
    "BertForPreTraining": ("BertConfig", ENCODER),
    "BertForSequenceClassification": ("BertConfig", {**ENCODER, "num_labels": 3}),
    "BertForQuestionAnswering": ("BertConfig", ENCODER),
    "DistilBertForMaskedLM": ("DistilBertConfig", DISTILBERT),
    "DistilBertForSequenceClassification": ("DistilBertConfig", DISTILBERT),
    "RobertaForMaskedLM": ("RobertaConfig", {**ENCODER, "type_vocab_size": 1}),
    "RobertaForSequenceClassification": ("RobertaConfig", {**ENCODER, "type_vocab_size": 1}),
    "GPT2LMHeadModel": ("GPT2Config", GPT),
    "GPT2ForSequenceClassification": ("GPT2Config", GPT),
    "OpenAIGPTLMHeadModel": ("OpenAIGPTConfig", GPT),
    "OpenAIGPTForSequenceClassification": ("OpenAIGPTConfig", GPT),
    "T5ForConditionalGeneration": ("T5Config", T5),
    "T5ForConditionalGeneration 1.1": ("T5Config", {**T5, **V11}),
    "BartForConditionalGeneration": ("BartConfig", BART),
    "BartForSequenceClassification": ("BartConfig", BART),
    "MarianMTModel": ("MarianConfig", MARIAN),
}
ARGUMENTS = {
    "token_ids": "input_ids",
    "encoder_token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "encoder_padding_mask": "attention_mask",
    "decoder_token_ids": "decoder_input_ids",
    "decoder_padding_mask": "decoder_attention_mask",
}
OUTPUTS = {
    "mlm_logits": "prediction_logits",
    "nsp_logits": "seq_relationship_logits",
    "logits": "logits",
    "start_logits": "start_logits",
    "end_logits": "end_logits",
}


def fill(name, shape):
    """The values of a weight: those of norms near 1, the others near 0."""
    seed = np.frombuffer(name.encode(), np.uint8)
    values = np.random.default_rng(seed).normal(size=shape) * 0.3
    is_gain = re.search(r"(gamma|scale)(:0)?$|layer_norm/weight", name)
    return (values + 1 if is_gain else values).astype(np.float32)


def inputs(class_name):
    """Two rows of which the second is padded; the last real token is the end of the sequence."""
    ids = np.array([[4, 5, 6, 7, 8, 2], [9, 3, 10, 2, 1, 1]])
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    if "GPT" in class_name:
        ids = ids * mask  # its classifier looks for padding by its id
    if not class_name.startswith(("T5", "Bart", "Marian")):
        return {"token_ids": ids, "padding_mask": mask}
    given = {"encoder_token_ids": ids, "encoder_padding_mask": mask}
    if "Classification" in class_name:  # which makes the decoder's inputs itself
        return given
    return {**given, "decoder_token_ids": ids[:, :4], "decoder_padding_mask": mask[:, :4]}


def tensorflow_golden(class_name, config, folder):
    import h5py
    import tensorflow as tf
    import transformers

    model = getattr(transformers, f"TF{class_name}")(config)
    given = {ARGUMENTS[n]: tf.constant(v, tf.int32) for n, v in inputs(class_name).items()}
    model(given)
    for weight in model.weights:
        if not ("Marian" in class_name and "embed_positions" in weight.name):
            weight.assign(fill(weight.name, weight.shape))
    model.save_pretrained(folder)
    with h5py.File(folder / "tf_model.h5") as file:
        weights = [
            [layer, name, list(file[layer][name].shape)]
            for layer in file.attrs["layer_names"]
            for name in file[layer].attrs["weight_names"]
        ]
    return weights, model(given)


def flax_golden(class_name, config, folder):
    import jax.numpy as jnp
    import transformers
    from flax.traverse_util import flatten_dict, unflatten_dict

    clip = getattr(jnp, "old_clip", jnp.clip)
    jnp.old_clip = clip
    # A newer jax has other names for the arguments.
    jnp.clip = lambda x, min=None, max=None, *, a_min=None, a_max=None: clip(
        x, min if a_min is None else a_min, max if a_max is None else a_max
    )
    model = getattr(transformers, f"Flax{class_name}")(config)
    flat = flatten_dict(model.params, sep="/")
    model.params = unflatten_dict({n: fill(n, v.shape) for n, v in flat.items()}, sep="/")
    model.save_pretrained(folder)
    given = {ARGUMENTS[n]: v for n, v in inputs(class_name).items()}
    return [[name, list(value.shape)] for name, value in flat.items()], model(**given)


def main(kind):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import transformers

    goldens = {}
    for case, (config_name, values) in CASES.items():
        class_name = case.split()[0]
        flax = kind == "flax_model"
        if flax and not hasattr(transformers, f"Flax{class_name}"):
            continue
        with tempfile.TemporaryDirectory() as path:
            folder = pathlib.Path(path)
            config = getattr(transformers, config_name)(**values)
            make = flax_golden if flax else tensorflow_golden
            weights, result = make(class_name, config, folder)
            written = json.loads((folder / "config.json").read_text())
        outputs = {
            ours: np.asarray(result[theirs], np.float64).round(7).tolist()
            for ours, theirs in OUTPUTS.items()
            if theirs in result
        }
        goldens[case] = {"config": written, "weights": weights, "outputs": outputs}
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in goldens.items())
    (GOLDENS / f"{kind}.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    for kind in sys.argv[1:] or ("tf_model", "flax_model"):
        main(kind)
