"""What KerasHub calls the parts of each architecture, and what transformers calls them.

Source: keras_hub 0.32, src/models/*/*_backbone.py, *_text_classifier.py and *_masked_lm.py.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Head:
    """A task with weights of its own.

    Attributes:
        class_name: Its class in transformers.
        parts: Place of a layer in task.weights.h5 -> name of the module.
    """

    class_name: str
    parts: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Family:
    """A backbone.

    Attributes:
        values: What config.json says of every one.
        keys: Key of the preset -> keys of config.json.
        parts: Place of a layer in model.weights.h5 -> name of the module. `{i}` is the number of a
            block; on the left `{after}` is one behind those of the encoder.
        tokenizer: Its class in transformers.
        files: Names of the tokenizer's files -> their names in transformers.
        heads: What follows the family in a task's name -> the task.
    """

    values: Mapping[str, Any]
    keys: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, str]
    tokenizer: str
    files: Mapping[str, str]
    heads: Mapping[str, Head] = dataclasses.field(default_factory=dict)


_WORDPIECE = {"vocabulary.txt": "vocab.txt"}
_BPE = {"vocabulary.json": "vocab.json", "merges.txt": "merges.txt"}
_SENTENCEPIECE = {"vocabulary.spm": "spiece.model"}

_ENCODER_KEYS = {
    "vocabulary_size": ("vocab_size",),
    "num_layers": ("num_hidden_layers",),
    "num_heads": ("num_attention_heads",),
    "hidden_dim": ("hidden_size",),
    "intermediate_dim": ("intermediate_size",),
    "dropout": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "max_sequence_length": ("max_position_embeddings",),
}
_TOKENS = "layers/reversible_embedding"
_BOTH = "layers/token_and_position_embedding"
_NORM = "layers/layer_normalization"
_ENCODER, _DECODER = "layers/transformer_encoder{i}", "layers/transformer_decoder{i}"
# The layers of a block of keras_hub.layers, in the order in which `_block` names them.
_BLOCK = (
    "_self_attention_layer/query_dense",
    "_self_attention_layer/key_dense",
    "_self_attention_layer/value_dense",
    "_self_attention_layer/output_dense",
    "_self_attention_layer_norm",
    "_feedforward_intermediate_dense",
    "_feedforward_output_dense",
    "_feedforward_layer_norm",
    "_cross_attention_layer/query_dense",
    "_cross_attention_layer/key_dense",
    "_cross_attention_layer/value_dense",
    "_cross_attention_layer/output_dense",
    "_cross_attention_layer_norm",
)


def _block(place: str, module: str, *names: str) -> dict[str, str]:
    pairs = zip(_BLOCK, names, strict=False)
    return {f"{place}/{ours}": f"{module}.{theirs}" for ours, theirs in pairs}


def _bert_block(module: str) -> dict[str, str]:
    return _block(
        _ENCODER,
        f"{module}.encoder.layer.{{i}}",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    )


# KerasHub's masked language model of BERT has an epsilon of its own in its head (1e-5), that of
# DistilBERT another gelu, too: transformers has no words for these, so they are not read.
_BERT = Family(
    values={
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
    },
    keys={**_ENCODER_KEYS, "num_segments": ("type_vocab_size",)},
    parts={
        _TOKENS: "bert.embeddings.word_embeddings",
        "layers/position_embedding": "bert.embeddings.position_embeddings",
        "layers/embedding": "bert.embeddings.token_type_embeddings",
        _NORM: "bert.embeddings.LayerNorm",
        "layers/dense": "bert.pooler.dense",
        **_bert_block("bert"),
    },
    tokenizer="BertTokenizer",
    files=_WORDPIECE,
    heads={
        "TextClassifier": Head("BertForSequenceClassification", {"layers/dense": "classifier"}),
    },
)
_DISTILBERT = Family(
    values={
        "model_type": "distilbert",
        "architectures": ["DistilBertModel"],
        "activation": "gelu",
    },
    keys={
        "vocabulary_size": ("vocab_size",),
        "num_layers": ("n_layers",),
        "num_heads": ("n_heads",),
        "hidden_dim": ("dim",),
        "intermediate_dim": ("hidden_dim",),
        "dropout": ("dropout", "attention_dropout"),
        "max_sequence_length": ("max_position_embeddings",),
    },
    parts={
        f"{_BOTH}/token_embedding": "distilbert.embeddings.word_embeddings",
        f"{_BOTH}/position_embedding": "distilbert.embeddings.position_embeddings",
        _NORM: "distilbert.embeddings.LayerNorm",
        **_block(
            _ENCODER,
            "distilbert.transformer.layer.{i}",
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "sa_layer_norm",
            "ffn.lin1",
            "ffn.lin2",
            "output_layer_norm",
        ),
    },
    tokenizer="DistilBertTokenizer",
    files=_WORDPIECE,
    heads={
        "TextClassifier": Head(
            "DistilBertForSequenceClassification",
            {"layers/dense": "pre_classifier", "layers/dense_1": "classifier"},
        ),
    },
)
_ROBERTA = Family(
    values={
        "model_type": "roberta",
        "architectures": ["RobertaModel"],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    keys=_ENCODER_KEYS,
    parts={
        f"{_BOTH}/token_embedding": "roberta.embeddings.word_embeddings",
        f"{_BOTH}/position_embedding": "roberta.embeddings.position_embeddings",
        _NORM: "roberta.embeddings.LayerNorm",
        **_bert_block("roberta"),
    },
    tokenizer="RobertaTokenizer",
    files=_BPE,
    heads={
        "TextClassifier": Head(
            "RobertaForSequenceClassification",
            {"layers/dense": "classifier.dense", "layers/dense_1": "classifier.out_proj"},
        ),
        "MaskedLM": Head(
            "RobertaForMaskedLM",
            {
                "layers/masked_lm_head/_intermediate_dense": "lm_head.dense",
                "layers/masked_lm_head/_intermediate_layer_norm": "lm_head.layer_norm",
                "layers/masked_lm_head": "lm_head",
            },
        ),
    },
)
_GPT2 = Family(
    values={
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
    },
    keys={
        "vocabulary_size": ("vocab_size",),
        "num_layers": ("n_layer",),
        "num_heads": ("n_head",),
        "hidden_dim": ("n_embd",),
        "intermediate_dim": ("n_inner",),
        "dropout": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
        "max_sequence_length": ("n_positions",),
    },
    parts={
        _TOKENS: "transformer.wte",
        "layers/position_embedding": "transformer.wpe",
        _NORM: "transformer.ln_f",
        **_block(
            _DECODER,
            "transformer.h.{i}",
            "attn.query",
            "attn.key",
            "attn.value",
            "attn.c_proj",
            "ln_1",
            "mlp.c_fc",
            "mlp.c_proj",
            "ln_2",
        ),
    },
    tokenizer="GPT2Tokenizer",
    files=_BPE,
)
_BLOOM = Family(
    values={"model_type": "bloom", "architectures": ["BloomForCausalLM"]},
    keys={
        "vocabulary_size": ("vocab_size",),
        "num_layers": ("n_layer",),
        "num_heads": ("n_head",),
        "hidden_dim": ("hidden_size",),
        "dropout": ("hidden_dropout", "attention_dropout"),
        "layer_norm_epsilon": ("layer_norm_epsilon",),
    },
    parts={
        _TOKENS: "transformer.word_embeddings",
        _NORM: "transformer.word_embeddings_layernorm",
        f"{_NORM}_1": "transformer.ln_f",
        **{
            f"layers/bloom_decoder{{i}}/{place}": f"transformer.h.{{i}}.{name}"
            for place, name in {
                "_pre_attention_layernorm": "input_layernorm",
                "_self_attention_layer/_query_dense": "self_attention.query",
                "_self_attention_layer/_key_dense": "self_attention.key",
                "_self_attention_layer/_value_dense": "self_attention.value",
                "_self_attention_layer/_output_dense": "self_attention.dense",
                "_post_attention_layernorm": "post_attention_layernorm",
                "_mlp_intermediate_dense": "mlp.dense_h_to_4h",
                "_mlp_output_dense": "mlp.dense_4h_to_h",
            }.items()
        },
    },
    tokenizer="BloomTokenizer",
    files=_BPE,
)


def _bart_block(place: str, stack: str) -> dict[str, str]:
    def attention(name: str) -> list[str]:
        parts = [f"{name}.{part}_proj" for part in ("q", "k", "v", "out")]
        return [*parts, f"{name}_layer_norm"]

    names = [*attention("self_attn"), "fc1", "fc2", "final_layer_norm"]
    names += attention("encoder_attn") if stack == "decoder" else []
    return _block(place, f"model.{stack}.layers.{{i}}", *names)


_BART = Family(
    values={
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "activation_function": "gelu",
    },
    keys={
        "vocabulary_size": ("vocab_size",),
        "num_layers": ("encoder_layers", "decoder_layers"),
        "num_heads": ("encoder_attention_heads", "decoder_attention_heads"),
        "hidden_dim": ("d_model",),
        "intermediate_dim": ("encoder_ffn_dim", "decoder_ffn_dim"),
        "dropout": ("dropout", "attention_dropout"),
        "max_sequence_length": ("max_position_embeddings",),
    },
    parts={
        _TOKENS: "model.shared",
        "layers/position_embedding": "model.encoder.embed_positions",
        "layers/position_embedding_1": "model.decoder.embed_positions",
        _NORM: "model.encoder.layernorm_embedding",
        f"{_NORM}_1": "model.decoder.layernorm_embedding",
        **_bart_block(_ENCODER, "encoder"),
        **_bart_block(_DECODER, "decoder"),
    },
    tokenizer="BartTokenizer",
    files=_BPE,
)


def _t5_block(number: str, stack: str) -> dict[str, str]:
    last = 2 if stack == "decoder" else 1
    parts = {
        "self_attention_layer_norm": "0.layer_norm",
        "self_attention": "0.SelfAttention.relative_attention_bias",
        "layer_norm": f"{last}.layer_norm",
        "input_projector": f"{last}.DenseReluDense.wi_0",
        "gate_projector": f"{last}.DenseReluDense.wi_1",
        "output_projector": f"{last}.DenseReluDense.wo",
    }
    kinds = [("self_attention", "0.SelfAttention")]
    if stack == "decoder":
        kinds.append(("cross_attention", "1.EncDecAttention"))
        parts["cross_attention_layer_norm"] = "1.layer_norm"
    for place, module in kinds:
        for part in ("query", "key", "value", "output"):
            parts[f"{place}/{part}_projector"] = f"{module}.{part[0]}"
    return {
        f"layers/t5_transformer_layer{number}/{place}": f"{stack}.block.{{i}}.layer.{name}"
        for place, name in parts.items()
    }


_T5 = Family(
    values={"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
    keys={
        "vocabulary_size": ("vocab_size",),
        "num_layers": ("num_layers", "num_decoder_layers"),
        "num_heads": ("num_heads",),
        "hidden_dim": ("d_model",),
        "key_value_dim": ("d_kv",),
        "intermediate_dim": ("d_ff",),
        "dropout": ("dropout_rate",),
        "layer_norm_epsilon": ("layer_norm_epsilon",),
        "tie_embedding_weights": ("tie_word_embeddings",),
    },
    parts={
        _TOKENS: "shared",
        "layers/t5_layer_norm": "encoder.final_layer_norm",
        "layers/t5_layer_norm_1": "decoder.final_layer_norm",
        **_t5_block("{i}", "encoder"),
        **_t5_block("{after}", "decoder"),
    },
    tokenizer="T5Tokenizer",
    files=_SENTENCEPIECE,
)

# A backbone's class begins with its family.
FAMILIES = {
    "Bert": _BERT,
    "DistilBert": _DISTILBERT,
    "Roberta": _ROBERTA,
    "GPT2": _GPT2,
    "Bloom": _BLOOM,
    "Bart": _BART,
    "T5": _T5,
}
