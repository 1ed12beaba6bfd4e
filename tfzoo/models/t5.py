"""T5 (1.0, 1.1), mT5 and Flan-T5: an encoder-decoder that takes every task as text to text.

Source: Raffel et al. 2019, https://arxiv.org/abs/1910.10683; mT5: Xue et al. 2020,
https://arxiv.org/abs/2010.11934; Flan-T5: Chung et al. 2022, https://arxiv.org/abs/2210.11416.
Checked against transformers 5.23 (modeling_t5.py), to which the published checkpoints were ported.

    encoder ids ─► tokens ─► Block x n ─► norm ─► encoder_sequence ─┐
                      │        └─ + bias by distance, both ways     ▼
    decoder ids ─► tokens ─► Block with cross-attention x n ─► norm ─► sequence ─► head
                               └─ + bias by distance, backwards

Easy to get wrong: one table of distances serves all blocks of a stack, and cross-attention has
none; scores are not scaled; no layer has a bias or a shift; the heads together need not be as wide
as the model. 1.0 scores with the token table, scaled by width ** -0.5; 1.1, mT5 and Flan with a
table of their own, unscaled, and gate the feed-forward network by the tanh form of gelu. Published
weights overflow float16: there the residual stream and the last product of a block are float32.
"""

import dataclasses
from typing import Any, Literal, get_args

import keras
from keras import ops

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import T5_FEED_FORWARD, Alias, HuggingFace, Part, t5_values
from tfzoo.core.renames import dense, t5_stack, table
from tfzoo.layers import masks, pooling
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.heads import classes, classifier, scores, spans
from tfzoo.layers.normalization import RMSNorm
from tfzoo.layers.positions import RelativePositions
from tfzoo.models.model import Drawing, Model, Stack

DecoderHead = Literal["none", "conditional_generation", "classification", "question_answering"]
EncoderHead = Literal["encoder", "token_classification"]
Head = Literal[DecoderHead, EncoderHead]
SIDES, KEYS, GATED = ("encoder", "decoder"), ("token_ids", "padding_mask"), "gated_"


@dataclasses.dataclass(frozen=True)
class T5Config:
    """Sizes of a T5 and the head on top of it. The defaults are T5 1.0 small.

    An `activation` that begins with `gated_`, such as `gated_gelu_tanh`, is that of a gated
    feed-forward network. The model takes texts of any length; `max_length` is that of its
    pretraining, where tasks truncate unless told otherwise. `dropout` acts everywhere.
    """

    vocab_size: int = 32_128
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    num_heads: int = 8
    head_dim: int = 64
    width: int = 512
    feed_forward_dim: int = 2048
    num_buckets: int = 32
    max_distance: int = 128
    max_length: int = 512
    activation: str = "relu"
    dropout: float = 0.1
    head_dropout: float = 0.0
    norm_epsilon: float = 1e-6
    scale_output: bool = True
    pad_id: int = 0
    eos_id: int = 1
    decoder_start_id: int = 0
    head: Head = "conditional_generation"
    num_labels: int = 2
    tied_output: bool = True

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_encoder_layers", "num_decoder_layers")
        checks.at_least(self, 1, "num_heads", "head_dim", "width", "feed_forward_dim")
        checks.at_least(self, 1, "max_length", "num_labels")
        checks.at_least(self, 4, "num_buckets")
        checks.above(self, self.num_buckets // 2, "max_distance")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "head_dropout")
        checks.one_of(self, [*ACTIVATIONS, *(GATED + name for name in ACTIVATIONS)], "activation")
        checks.token_ids(self, "pad_id", "eos_id", "decoder_start_id")


def _sizes(layers: int, width: int, inner: int, heads: int, head_dim: int = 64) -> dict[str, int]:
    sizes = {"width": width, "feed_forward_dim": inner, "num_heads": heads, "head_dim": head_dim}
    return {**sizes, "num_encoder_layers": layers, "num_decoder_layers": layers}


_V1_1 = {"activation": "gated_gelu_tanh", "tied_output": False, "scale_output": False}
_V1_1_SIZES = {
    "small": _sizes(8, 512, 1024, 6),
    "base": _sizes(12, 768, 2048, 12),
    "large": _sizes(24, 1024, 2816, 16),
    "xl": _sizes(24, 2048, 5120, 32),
    "xxl": _sizes(24, 4096, 10_240, 64),
}
# 1.0: section 3.7 of the paper. 1.1 and Flan: released_checkpoints.md of its repository,
# google-research/text-to-text-transfer-transformer. mT5: section 3.2 of its paper.
VARIANTS: dict[str | None, dict[str, Any]] = {
    "small": {},
    "base": _sizes(12, 768, 3072, 12),
    "large": _sizes(24, 1024, 4096, 16),
    "3b": _sizes(24, 1024, 16_384, 32, 128),
    "11b": _sizes(24, 1024, 65_536, 128, 128),
    **{f"v1.1-{name}": sizes | _V1_1 for name, sizes in _V1_1_SIZES.items()},
    **{f"mt5-{n}": s | _V1_1 | {"vocab_size": 250_112} for n, s in _V1_1_SIZES.items()},
}


@keras.saving.register_keras_serializable("tfzoo")
class T5(Model):
    """Maps `{"encoder_token_ids", "encoder_padding_mask"}`, `(b, k)` int32, to a dict.

    Without a head, and for conditional generation, there are also `decoder_token_ids` and
    `decoder_padding_mask`, `(b, t)`; classification and question answering give the decoder the
    encoder's ids, moved one to the right. Masks are 1 on real tokens. Without a head the outputs
    are `sequence` `(b, t, d)`, the decoder's, and `encoder_sequence` `(b, k, d)`. Heads give
    float32 `logits`: `(b, t, v)` of the next token, or `(b, c)` for classification, read at the
    last token `eos_id` (the first where there is none); `start_logits` and `end_logits`, `(b, k)`,
    for question answering. The heads `encoder` and `token_classification` have no decoder: like
    BERT they map `token_ids` and `padding_mask` to `sequence`, or `logits` `(b, t, c)`.
    """

    config_class = T5Config

    def __init__(self, config: T5Config, name: str = "t5"):
        self.config = config
        width, self.std = config.width, config.width**-0.5
        self.token_embedding = TokenEmbedding(config.vocab_size, width, 1.0, name="token_embedding")
        self.dropout = keras.layers.Dropout(config.dropout, name="dropout")
        self.causal_mask = masks.CausalMask(name="causal_mask")
        has_decoder = config.head in get_args(DecoderHead)
        self.stacks = {side: _stack(config, side) for side in SIDES[: 1 + has_decoder]}
        self.decoder_blocks = self.stacks["decoder"][0] if has_decoder else None
        generates = config.head == "conditional_generation"
        # A layer: while it draws, Keras (3.15) takes a product with a plain number to be sparse.
        is_scaled = generates and config.scale_output
        scale = keras.layers.Rescaling(self.std, name="output_scale") if is_scaled else None
        self.output_scale = scale
        is_untied = generates and not config.tied_output
        self.lm_head = scores(config.vocab_size, 1.0, "lm_head", False) if is_untied else None

        sides = SIDES if generates or config.head == "none" else SIDES[:1]
        names = [f"{side}_{key}" for side in sides for key in KEYS] if has_decoder else KEYS
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        ids, mask = (inputs[name] for name in names[:2])
        x_btd, _, calls = self._encode(ids, mask)
        features, stacks = {"sequence": x_btd}, {"": Stack(calls, x_btd)}
        if has_decoder:
            features, stacks = {"encoder_sequence": x_btd}, {"encoder_": Stack(calls, x_btd)}
            decoder_ids, decoder_mask = (inputs.get(f"decoder_{key}") for key in KEYS)
            if decoder_ids is None:
                start_b1 = ops.full_like(ids[:, :1], config.decoder_start_id)
                decoder_ids = ops.concatenate([start_b1, ids[:, :-1]], axis=1)
            encoder = {"encoder_bkd": x_btd, "encoder_padding_mask": mask}
            x_btd, _, calls = self._decode(decoder_ids, decoder_mask, **encoder)
            features["sequence"], stacks["decoder_"] = x_btd, Stack(calls, x_btd)
        super().__init__(inputs, self._head(x_btd, ids) or features, name=name)
        self.drawing = Drawing(features, stacks)

    def _encode(self, token_ids: Any, padding_mask: Any = None) -> tuple[Any, Any, Any]:
        return self._run("encoder", token_ids, padding_mask)

    def _decode(
        self,
        token_ids: Any,
        padding_mask: Any = None,
        caches: Any = None,
        start: Any = 0,
        encoder_bkd: Any = None,
        encoder_padding_mask: Any = None,
    ) -> tuple[Any, Any, Any]:
        encoder_mask_bqk = masks.padding(encoder_padding_mask)
        others = {"encoder_bkd": encoder_bkd, "encoder_mask_bqk": encoder_mask_bqk}
        return self._run("decoder", token_ids, padding_mask, caches, start, **others)

    def _run(
        self,
        side: str,
        ids_bt: Any,
        mask_bt: Any,
        caches: Any = None,
        start: Any = 0,
        **others: Any,
    ) -> tuple[Any, Any, Any]:
        """What leaves the encoder or the decoder, its caches, and what its blocks are called on."""
        blocks, positions, norm = self.stacks[side]
        x_btd = self.dropout(self.token_embedding(ids_bt))
        others["mask_bqk"] = masks.padding(mask_bt)
        if side == "decoder":
            others["mask_bqk"] = self.causal_mask(x_btd, mask_bt, caches=caches, start=start)
        others["bias_bhqk"] = positions(x_btd, caches=caches, start=start)
        x_btd, caches, calls = run(blocks, x_btd, others, caches, start)
        return self.dropout(norm(x_btd)), caches, calls

    def logits(self, x_btd: Any) -> Any:
        x_btd = x_btd if self.output_scale is None else self.output_scale(x_btd)
        if self.lm_head is not None:
            return self.lm_head(x_btd)
        return self.token_embedding(x_btd, reverse=True)

    def _head(self, x_btd: Any, encoder_token_ids: Any) -> dict[str, Any]:
        """Draws the published head called `config.head` and returns its outputs."""
        config, std = self.config, self.std
        match config.head:
            case "conditional_generation":
                return {"logits": self.logits(x_btd)}
            case "classification":
                x_bd = pooling.last(x_btd, ops.equal(encoder_token_ids, config.eos_id))
                return {"logits": classifier(x_bd, config.num_labels, config.head_dropout, std)}
            case "token_classification":
                sizes = (config.num_labels, config.head_dropout, std, "token_classifier")
                return {"logits": classes(x_btd, *sizes)}
            case "question_answering":
                return spans(x_btd, std)
        return {}


def _stack(config: T5Config, side: str) -> tuple[list[Block], RelativePositions, RMSNorm]:
    """The blocks of one side, their table of distances and the norm behind them."""
    common: dict[str, Any] = {"norm_first": True, "norm": "rms", "use_bias": False, "scale": 1.0}
    common |= {"initializer_range": None, "float32_sums": True, "head_dim": config.head_dim}
    blocks = [
        Block(
            config.num_heads,
            config.feed_forward_dim,
            config.dropout,
            config.dropout,
            config.activation.removeprefix(GATED),
            norm_epsilon=config.norm_epsilon,
            cross=side == "decoder",
            gated=config.activation.startswith(GATED),
            activation_dropout=config.dropout,
            name=f"{side}_block_{i}",
            **common,
        )
        for i in range(getattr(config, f"num_{side}_layers"))
    ]
    sizes = (config.num_heads, config.num_buckets, config.max_distance, side == "encoder")
    positions = RelativePositions(*sizes, config.width**-0.5, name=f"{side}_positions")
    return blocks, positions, RMSNorm(config.norm_epsilon, name=f"{side}_norm")


# Our weights <- Hugging Face's.
RENAMES = (
    table("token_embedding", "transformer.shared"),
    *t5_stack("encoder", "transformer.encoder", 1),
    *t5_stack("decoder", "transformer.decoder", 2),
    *dense("lm_head", "lm_head"),
    *dense("classifier_hidden", "classification_head.dense"),
    *dense("classifier", "classification_head.out_proj"),
    *dense("token_classifier", "classifier"),
    *dense("span", "qa_outputs"),
)

# What configuration_mt5.py of transformers 5.23 has else. Its model never scales the output.
_MT5 = {"vocab_size": 250_112, "d_ff": 1024, "num_layers": 8, "num_heads": 6}
_MT5["feed_forward_proj"] = "gated-gelu"
_SHARED = "transformer.shared.weight"
HUGGING_FACE = HuggingFace(
    model_type="t5",
    tokenizer="sentencepiece",
    prefix="transformer.",
    bare=("none", "conditional_generation", "encoder", "question_answering"),
    heads={
        "none": ("T5Model",),
        "conditional_generation": ("T5ForConditionalGeneration", "lm_head.weight"),
        "encoder": ("T5EncoderModel",),
        "classification": ("T5ForSequenceClassification", "classification_head."),
        "token_classification": ("T5ForTokenClassification", "classifier."),
        "question_answering": ("T5ForQuestionAnswering", "qa_outputs."),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "num_layers": "num_encoder_layers",
        "num_decoder_layers": "num_decoder_layers",
        "num_heads": "num_heads",
        "d_kv": "head_dim",
        "d_model": "width",
        "d_ff": "feed_forward_dim",
        "relative_attention_num_buckets": "num_buckets",
        "relative_attention_max_distance": "max_distance",
        "n_positions": "max_length",
        "feed_forward_proj": "activation",
        "dropout_rate": "dropout",
        "classifier_dropout": "head_dropout",
        "layer_norm_epsilon": "norm_epsilon",
        "scale_decoder_outputs": "scale_output",
        "pad_token_id": "pad_id",
        "eos_token_id": "eos_id",
        "decoder_start_token_id": "decoder_start_id",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    values={"feed_forward_proj": T5_FEED_FORWARD},
    fallbacks={"num_decoder_layers": "num_layers", "decoder_start_token_id": "pad_token_id"},
    # The factor is about initial values alone; T5EncoderModel writes false for the other.
    fixed={"initializer_factor": None, "is_encoder_decoder": (True, False)},
    parts=(Part(None, "transformer.decoder.", get_args(DecoderHead)),),
    tied={"lm_head.weight": _SHARED},
    untied_by_values=True,
    modern=t5_values,
    copies={f"transformer.{side}.embed_tokens.weight": _SHARED for side in SIDES},
    # Stored in checkpoints of 2019, and never read.
    constants=(r"transformer\.decoder\..*\.EncDecAttention\.relative_attention_bias\.weight",),
    class_prefix="T5",
    aliases={"mt5": Alias("MT5", _MT5, {"scale_decoder_outputs": False})},
)

PRETRAINED = (
    Card("hf:google-t5/t5-small", "Apache-2.0", "small", 60_506_624, "cased"),
    Card("hf:google-t5/t5-base", "Apache-2.0", "base", 222_903_552, "cased"),
    Card("hf:google-t5/t5-large", "Apache-2.0", "large", 737_668_096, "cased"),
)
