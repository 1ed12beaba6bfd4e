"""BART: a bidirectional encoder and a causal decoder, pretrained by denoising.

Source: Lewis et al. 2019, "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language
Generation, Translation, and Comprehension", https://arxiv.org/abs/1910.13461. Checked against
transformers 5.23 (modeling_bart.py), which the published checkpoints were ported to.

    encoder ids ─► token + position ─► norm ─► dropout ─► Block x n ─► encoder_sequence ─┐
                       (one table)                                                       ▼
    decoder ids ─► token + position ─► norm ─► dropout ─► Block with cross-attention x n ─► head

Easy to get wrong: layer norm follows each residual (post-norm) and the embedding sum, and no norm
stands at the end; rows 0 and 1 of both position tables are never used; both sides and the output
share one token table, and the output has a bias that transformers stores but does not train; the
classifier reads the decoder at the last end-of-sequence token, with the encoder's tokens, moved one
to the right, as the decoder's input.
"""

import dataclasses
from typing import Any, Literal

import keras
from keras import ops

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import FAIRSEQ_FIELDS, FAIRSEQ_TIED, HIDDEN_ACT, HuggingFace
from tfzoo.core.renames import Rename, dense, fairseq_layer, norm, table
from tfzoo.layers import masks, pooling
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.heads import classifier, scores, spans
from tfzoo.layers.masks import CausalMask
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.positions import LearnedPositions
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal["none", "conditional_generation", "classification", "question_answering"]
SIDES, KEYS = ("encoder", "decoder"), ("token_ids", "padding_mask")
NORM_EPSILON = 1e-5  # of every BART there is: PyTorch's default


@dataclasses.dataclass(frozen=True)
class BartConfig:
    """Sizes of a BART and the head on top of it. The defaults are BART large.

    `max_length` counts tokens on each side. `scale_embedding` multiplies the token vectors by the
    square root of the width. Without `tied_output` encoder, decoder and output each have a token
    table of their own.
    """

    vocab_size: int = 50_265
    num_encoder_layers: int = 12
    num_decoder_layers: int = 12
    num_encoder_heads: int = 16
    num_decoder_heads: int = 16
    width: int = 1024
    encoder_feed_forward_dim: int = 4096
    decoder_feed_forward_dim: int = 4096
    max_length: int = 1024
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    head_dropout: float = 0.0
    initializer_range: float = 0.02
    scale_embedding: bool = False
    pad_id: int = 1
    eos_id: int = 2
    decoder_start_id: int = 2
    head: Head = "none"
    num_labels: int = 3
    tied_output: bool = True

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_encoder_heads", "num_decoder_heads", "width")
        checks.at_least(self, 1, "encoder_feed_forward_dim", "decoder_feed_forward_dim")
        checks.at_least(self, 1, "max_length", "num_labels")
        checks.at_least(self, 0, "num_encoder_layers", "num_decoder_layers", "initializer_range")
        checks.dropout_rates(self, "dropout", "attention_dropout", "activation_dropout")
        checks.dropout_rates(self, "head_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_encoder_heads", "width")
        checks.divides(self, "num_decoder_heads", "width")
        checks.token_ids(self, "pad_id", "eos_id", "decoder_start_id")


# Section 4: 6 layers of width 768 on each side, or 12 of 1024.
VARIANTS: dict[str | None, dict[str, int]] = {
    "base": {
        "width": 768,
        **dict.fromkeys(("num_encoder_layers", "num_decoder_layers"), 6),
        **dict.fromkeys(("num_encoder_heads", "num_decoder_heads"), 12),
        **dict.fromkeys(("encoder_feed_forward_dim", "decoder_feed_forward_dim"), 3072),
    },
    "large": {},
}


@keras.saving.register_keras_serializable("tfzoo")
class Bart(Model):
    """Maps `{"encoder_token_ids", "encoder_padding_mask"}`, `(b, k)` int32, to a dict.

    Without a head, and for conditional generation, there are also `decoder_token_ids` and
    `decoder_padding_mask`, `(b, t)` int32; the other heads make the decoder's input of the
    encoder's. Masks are 1 on real tokens and 0 on padding. Without a head the outputs are
    `sequence` `(b, t, d)`, the decoder's, and `encoder_sequence` `(b, k, d)`. Heads give `logits`:
    `(b, t, v)` of the next token, or `(b, c)` for classification, at the last token `eos_id` (at
    the first token where there is none); question answering gives `start_logits` and `end_logits`,
    `(b, k)`. Logits are float32.
    """

    config_class = BartConfig

    def __init__(self, config: BartConfig, name: str = "bart"):
        self.config = config
        std, tied = config.initializer_range, config.tied_output
        generates = config.head == "conditional_generation"

        self.scale = config.width**0.5 if config.scale_embedding else 1.0
        tables = [
            TokenEmbedding(config.vocab_size, config.width, std, generates and tied, name=name)
            for name in (["token_embedding"] if tied else [f"{side}_embedding" for side in SIDES])
        ]
        self.encoder_embedding, self.decoder_embedding = tables[0], tables[-1]
        self.encoder_positions, self.decoder_positions = (
            LearnedPositions(config.max_length, std, 2, name=f"{side}_position_embedding")
            for side in SIDES
        )
        self.encoder_norm, self.decoder_norm = (
            LayerNorm(NORM_EPSILON, name=f"{side}_embedding_norm") for side in SIDES
        )
        self.embedding_dropout = keras.layers.Dropout(config.dropout, name="embedding_dropout")

        self.causal_mask = CausalMask(name="causal_mask")
        self.encoder_blocks, self.decoder_blocks = (_blocks(config, side) for side in SIDES)
        self.lm_head = None if tied or not generates else scores(config.vocab_size, std, "lm_head")

        sides = SIDES if config.head == "none" or generates else SIDES[:1]
        inputs = {
            f"{side}_{key}": keras.Input((None,), dtype="int32", name=f"{side}_{key}")
            for side in sides
            for key in KEYS
        }
        encoder_ids, encoder_mask = (inputs[f"encoder_{key}"] for key in KEYS)
        encoder_bkd, encoder_calls = self._encode(encoder_ids, encoder_mask)
        decoder_ids, decoder_mask = (inputs.get(f"decoder_{key}") for key in KEYS)
        if decoder_ids is None:
            start_b1 = ops.full_like(encoder_ids[:, :1], config.decoder_start_id)
            decoder_ids = ops.concatenate([start_b1, encoder_ids[:, :-1]], axis=1)
        x_btd, _, calls = self._decode(decoder_ids, encoder_mask, decoder_mask, encoder_bkd)
        features = {"sequence": x_btd, "encoder_sequence": encoder_bkd}
        super().__init__(inputs, self._head(x_btd, encoder_ids) or features, name=name)
        stacks = {"encoder_": Stack(encoder_calls, encoder_bkd), "decoder_": Stack(calls, x_btd)}
        self.drawing = Drawing(features, stacks)

    def _encode(self, token_ids: Any, padding_mask: Any) -> tuple[Any, Any]:
        x_bkd = self.encoder_embedding(token_ids) * self.scale
        x_bkd = self.encoder_norm(x_bkd + self.encoder_positions(x_bkd))
        x_bkd, others = self.embedding_dropout(x_bkd), {"mask_bqk": masks.padding(padding_mask)}
        x_bkd, _, calls = run(self.encoder_blocks, x_bkd, others)
        return x_bkd, calls

    def _decode(
        self,
        token_ids: Any,
        encoder_padding_mask: Any = None,
        padding_mask: Any = None,
        encoder_bkd: Any = None,
        caches: Any = None,
        start: Any = 0,
    ) -> tuple[Any, Any, Any]:
        x_btd = self.decoder_embedding(token_ids) * self.scale
        x_btd = self.decoder_norm(x_btd + self.decoder_positions(x_btd, start=start))
        x_btd = self.embedding_dropout(x_btd)
        others = {
            "mask_bqk": self.causal_mask(x_btd, padding_mask, caches=caches, start=start),
            "encoder_bkd": encoder_bkd,
            "encoder_mask_bqk": masks.padding(encoder_padding_mask),
        }
        return run(self.decoder_blocks, x_btd, others, caches, start)

    def logits(self, x_btd: Any) -> Any:
        return self.lm_head(x_btd) if self.lm_head else self.decoder_embedding(x_btd, reverse=True)

    def _head(self, x_btd: Any, encoder_token_ids: Any) -> dict[str, Any]:
        """Draws the published head called `config.head` and returns its outputs."""
        config, std = self.config, self.config.initializer_range
        match config.head:
            case "conditional_generation":
                return {"logits": self.logits(x_btd)}
            case "classification":
                x_bd = pooling.last(x_btd, ops.equal(encoder_token_ids, config.eos_id))
                return {"logits": classifier(x_bd, config.num_labels, config.head_dropout, std)}
            case "question_answering":
                return spans(x_btd, std)
        return {}


def _blocks(config: BartConfig, side: str) -> list[Block]:
    """The blocks of one side, `encoder` or `decoder`."""
    return [
        Block(
            getattr(config, f"num_{side}_heads"),
            getattr(config, f"{side}_feed_forward_dim"),
            config.dropout,
            config.attention_dropout,
            config.activation,
            norm_epsilon=NORM_EPSILON,
            cross=side == "decoder",
            initializer_range=config.initializer_range,
            activation_dropout=config.activation_dropout,
            name=f"{side}_block_{i}",
        )
        for i in range(getattr(config, f"num_{side}_layers"))
    ]


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `model.`
BIAS = "final_logits_bias"
RENAMES = (
    table("token_embedding", "model.shared"),
    Rename("token_embedding/output_bias", (BIAS,), row=True),
    *(table(f"{side}_embedding", f"model.{side}.embed_tokens") for side in SIDES),
    *(table(f"{side}_position_embedding", f"model.{side}.embed_positions") for side in SIDES),
    *norm("encoder_embedding_norm", "model.encoder.layernorm_embedding"),
    *norm("decoder_embedding_norm", "model.decoder.layernorm_embedding"),
    *fairseq_layer("encoder_block_{i}", "model.encoder.layers.{i}"),
    *fairseq_layer("decoder_block_{i}", "model.decoder.layers.{i}", cross=True),
    Rename("lm_head/kernel", ("lm_head.weight",), transpose=True),
    Rename("lm_head/bias", (BIAS,), row=True),
    *dense("classifier_hidden", "classification_head.dense"),
    *dense("classifier", "classification_head.out_proj"),
    *dense("span", "qa_outputs"),
)

HUGGING_FACE = HuggingFace(
    model_type="bart",
    tokenizer="byte_level_bpe",
    prefix="model.",
    heads={
        "none": ("BartModel",),
        "conditional_generation": ("BartForConditionalGeneration", BIAS, "lm_head.weight"),
        "classification": ("BartForSequenceClassification", "classification_head."),
        "question_answering": ("BartForQuestionAnswering", "qa_outputs."),
    },
    label_heads=("classification",),
    fields={
        **FAIRSEQ_FIELDS,
        "classifier_dropout": "head_dropout",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    values={"activation_function": HIDDEN_ACT},
    fixed={
        "is_encoder_decoder": (True,),
        **{f"{side}_layerdrop": (0.0,) for side in SIDES},  # layers left out while training
        # What transformers 2 and 3 wrote for the family of which BART is one.
        "normalize_before": (False,),
        "normalize_embedding": (True,),
        "add_final_layer_norm": (False,),
        "static_position_embeddings": (False,),
        "extra_pos_embeddings": (2,),
        "do_blenderbot_90_layernorm": (False,),
        # encoder_layers again (the weights show it), and what no version of the model reads.
        **dict.fromkeys(
            "num_hidden_layers add_bias_logits classif_dropout force_bos_token_to_be_generated "
            "save_step".split()
        ),
    },
    tied=FAIRSEQ_TIED,
    untied={"model.shared.weight": "model.encoder.embed_tokens.weight"},
    zeros=(BIAS,),
)

PRETRAINED = (
    Card("hf:facebook/bart-base", "Apache-2.0", "base", 139_420_416, "cased"),
    Card("hf:facebook/bart-large", "Apache-2.0", "large", 406_291_456, "cased"),
)
