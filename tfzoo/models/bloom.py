"""BLOOM: a causal transformer decoder without positions, whose attention fades with distance.

Source: BigScience 2022, "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model",
https://arxiv.org/abs/2211.05100; ALiBi: Press et al. 2021, https://arxiv.org/abs/2108.12409.
Checked against transformers 5.23 (modeling_bloom.py).

    token_ids ─► token embedding ─► norm ─► Block x n ─► norm ─┬─ · token table ─► logits
    positions ─► linear bias on the scores of each block ─┘    └─ sequence ─► head

Easy to get wrong: layer norm stands before each sublayer, once more behind the last block, and also
behind the embeddings; the slopes of ALiBi are no plain geometric row where the number of heads is
no power of two; the published query, key and value kernels stand together head by head; gelu is the
tanh form; there is no dropout on the embeddings.
"""

import dataclasses
from typing import Any, Literal

import keras

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import HuggingFace, synonyms
from tfzoo.core.renames import Rename, dense, norm, table
from tfzoo.layers import heads
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.masks import CausalMask
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.positions import LinearBias
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal["none", "causal_lm", "classification", "token_classification", "question_answering"]


@dataclasses.dataclass(frozen=True)
class BloomConfig:
    """Sizes of a BLOOM decoder and the head on top of it. The defaults are the smallest one.

    `max_length` is the number of tokens it was trained on; longer texts are read too.
    `residual_after_norm` adds a sublayer to its normalized input. `packed` is for training: a row
    may hold several documents, which `padding_mask` then numbers 1, 2, 3, ...; none sees another.
    The model reads none of `bos_id`, `eos_id` and `pad_id`; who writes text with it does.
    """

    vocab_size: int = 250_880
    num_layers: int = 24
    num_heads: int = 16
    width: int = 1024
    max_length: int = 2048
    dropout: float = 0.0
    attention_dropout: float = 0.0
    head_dropout: float = 0.0
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    residual_after_norm: bool = False
    bos_id: int | None = 1
    eos_id: int | None = 2
    pad_id: int | None = None
    head: Head = "causal_lm"
    num_labels: int = 2
    tied_output: bool = True
    packed: bool = False

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "max_length", "num_labels")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "attention_dropout", "head_dropout")
        checks.divides(self, "num_heads", "width")


# Table 3 of the paper.
VARIANTS: dict[str | None, dict[str, int]] = {
    "560m": {},
    "1b1": {"width": 1536},
    "1b7": {"width": 2048},
    "3b": {"num_layers": 30, "num_heads": 32, "width": 2560},
    "7b1": {"num_layers": 30, "num_heads": 32, "width": 4096},
    "176b": {"num_layers": 70, "num_heads": 112, "width": 14_336},
}


@keras.saving.register_keras_serializable("tfzoo")
class Bloom(Model):
    """Maps `{"token_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens (`packed`: the number of the document), 0 on padding. Without
    a head the output is `sequence` `(b, t, d)`. Heads give `logits`: `(b, t, v)` of the next token
    for the language model, `(b, c)` at the last real token for classification, `(b, t, c)` for
    token classification; question answering gives `start_logits` and `end_logits`, `(b, t)`. Logits
    are float32.
    """

    config_class = BloomConfig

    def __init__(self, config: BloomConfig, name: str = "bloom"):
        self.config = config
        std = config.initializer_range
        self.token_embedding = TokenEmbedding(
            config.vocab_size, config.width, std, name="token_embedding"
        )
        self.embedding_norm = LayerNorm(config.norm_epsilon, name="embedding_norm")
        self.causal_mask = CausalMask(packed=config.packed, name="causal_mask")
        self.linear_bias = LinearBias(config.num_heads, name="linear_bias")
        self.decoder_blocks = [
            Block(
                config.num_heads,
                4 * config.width,
                config.dropout,
                config.attention_dropout,
                "gelu_tanh",
                norm_first=True,
                norm_epsilon=config.norm_epsilon,
                initializer_range=std,
                residual_after_norm=config.residual_after_norm,
                name=f"block_{i}",
            )
            for i in range(config.num_layers)
        ]
        self.final_norm = LayerNorm(config.norm_epsilon, name="final_norm")
        self.logits = heads.language_model(config, self.token_embedding)

        inputs = {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "padding_mask")
        }
        x_btd, _, calls = self._decode(**inputs)
        features = {"sequence": x_btd}
        outputs = heads.of_decoder(config, x_btd, inputs["padding_mask"], self.logits)
        super().__init__(inputs, outputs or features, name=name)
        self.drawing = Drawing(features, {"": Stack(calls, x_btd)})

    def _decode(
        self, token_ids: Any, padding_mask: Any = None, caches: Any = None, start: Any = 0
    ) -> tuple[Any, Any, Any]:
        x_btd = self.embedding_norm(self.token_embedding(token_ids))
        others = {
            "mask_bqk": self.causal_mask(x_btd, padding_mask, caches=caches, start=start),
            "bias_bhqk": self.linear_bias(x_btd, caches=caches, start=start),
        }
        x_btd, caches, calls = run(self.decoder_blocks, x_btd, others, caches, start)
        return self.final_norm(x_btd), caches, calls


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `transformer.`
_LAYER = "transformer.h.{i}"
_QKV = f"{_LAYER}.self_attention.query_key_value"
RENAMES = (
    table("token_embedding", "transformer.word_embeddings"),
    *norm("embedding_norm", "transformer.word_embeddings_layernorm"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.input_layernorm"),
    Rename("block_{i}/attention/qkv/kernel", (f"{_QKV}.weight",), transpose=True, interleaved=True),
    Rename("block_{i}/attention/qkv/bias", (f"{_QKV}.bias",), interleaved=True),
    *dense("block_{i}/attention/output", f"{_LAYER}.self_attention.dense"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.post_attention_layernorm"),
    *dense("block_{i}/feed_forward/expand", f"{_LAYER}.mlp.dense_h_to_4h"),
    *dense("block_{i}/feed_forward/contract", f"{_LAYER}.mlp.dense_4h_to_h"),
    *norm("final_norm", "transformer.ln_f"),
    *dense("lm_head", "lm_head"),
    *dense("score", "score"),
    *dense("classifier", "classifier"),
    *dense("span", "qa_outputs"),
)

HUGGING_FACE = HuggingFace(
    model_type="bloom",
    tokenizer="byte_level_bpe",
    prefix="transformer.",
    heads={
        "none": ("BloomModel",),
        "causal_lm": ("BloomForCausalLM", "lm_head.weight"),
        "classification": ("BloomForSequenceClassification", "score."),
        "token_classification": ("BloomForTokenClassification", "classifier."),
        "question_answering": ("BloomForQuestionAnswering", "qa_outputs."),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "n_layer": "num_layers",
        "n_head": "num_heads",
        "hidden_size": "width",
        "seq_length": "max_length",
        "hidden_dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "classifier_dropout": "head_dropout",
        "layer_norm_epsilon": "norm_epsilon",
        "initializer_range": "initializer_range",
        "apply_residual_connection_post_layernorm": "residual_after_norm",
        "bos_token_id": "bos_id",
        "eos_token_id": "eos_id",
        "pad_token_id": "pad_id",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    defaults={"n_layer": 2, "n_head": 8, "hidden_size": 64},
    fallbacks={"classifier_dropout": "hidden_dropout"},
    # The published files say n_embed and num_attention_heads.
    modern=synonyms(
        {"n_embed": "hidden_size", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}
    ),
    fixed={
        "n_inner": (None,),  # transformers always takes four times the width
        # Adds up the slices of each tensor-parallel rank, which transformers does without the bias.
        "slow_but_exact": (False,),
        "pretraining_tp": None,  # of slow_but_exact alone
        # How Megatron trained: nothing that transformers reads.
        **dict.fromkeys(
            "attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion offset_alibi "
            "skip_bias_add skip_bias_add_qkv unk_token_id".split()
        ),
    },
    tied={"lm_head.weight": "transformer.word_embeddings.weight"},
)

_LICENCE = "BigScience-BLOOM-RAIL-1.0"
PRETRAINED = (
    Card("hf:bigscience/bloom-560m", _LICENCE, "560m", 559_214_592, "cased"),
    Card("hf:bigscience/bloom-1b1", _LICENCE, "1b1", 1_065_314_304, "cased"),
    Card("hf:bigscience/bloom-1b7", _LICENCE, "1b7", 1_722_408_960, "cased"),
    Card("hf:bigscience/bloom-3b", _LICENCE, "3b", 3_002_557_440, "cased"),
    Card("hf:bigscience/bloom-7b1", _LICENCE, "7b1", 7_069_016_064, "cased"),
    Card("hf:bigscience/bloom", _LICENCE, "176b", 176_247_271_424, "cased"),
)
