"""The transformer: the original encoder-decoder, and Marian's, its published descendant.

Source: Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762. Checked
against transformers 5.23 (modeling_marian.py), whose OPUS-MT checkpoints load into it: Tiedemann
and Thottingal 2020, "OPUS-MT", https://aclanthology.org/2020.eamt-1.61.

    encoder ids ─► token * sqrt(d) + sinusoids ─► dropout ─► Block x n ─► encoder_sequence ─┐
                         (one table)                                                        ▼
    decoder ids ─► token * sqrt(d) + sinusoids ─► dropout ─► Block with cross-attention x n ─► head

Easy to get wrong: layer norm follows each residual (section 5.4: post-norm) and none stands at the
end; `norm_first` is the later form (pre-norm), which needs one more after the last block; one table
serves source, target and output (section 3.4), and only the lookups are scaled. Section 3.5 prints
sines on even and cosines on odd columns; the authors' own code and Marian put all sines first,
which is the same model with its columns in another order, and what is drawn here.
"""

import dataclasses
from typing import Any, Literal

import keras

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import FAIRSEQ_FIELDS, FAIRSEQ_TIED, HIDDEN_ACT, Alias, HuggingFace
from tfzoo.core.renames import Rename, fairseq_layer, table
from tfzoo.layers import masks
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.masks import CausalMask
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.positions import SinusoidalPositions, sinusoids
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal["none", "conditional_generation"]
SIDES, KEYS = ("encoder", "decoder"), ("token_ids", "padding_mask")
NORM_EPSILON = 1e-5  # Marian's port; the paper gives none


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Sizes of an encoder-decoder and the head on top of it. The defaults are the paper's base.

    `max_length` counts tokens on each side; the paper has no limit, and the sinusoids are computed
    up to there. `norm_first` moves the norms before the sublayers. `scale_embedding` multiplies the
    token vectors by the square root of the width.
    """

    vocab_size: int = 37_000
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    num_encoder_heads: int = 8
    num_decoder_heads: int = 8
    width: int = 512
    encoder_feed_forward_dim: int = 2048
    decoder_feed_forward_dim: int = 2048
    max_length: int = 1024
    activation: str = "relu"
    norm_first: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    initializer_range: float = 0.02
    scale_embedding: bool = True
    pad_id: int = 0
    eos_id: int = 1
    decoder_start_id: int = 0
    head: Head = "none"

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_encoder_heads", "num_decoder_heads", "width")
        checks.at_least(self, 1, "encoder_feed_forward_dim", "decoder_feed_forward_dim")
        checks.at_least(self, 1, "max_length")
        checks.at_least(self, 0, "num_encoder_layers", "num_decoder_layers", "initializer_range")
        checks.dropout_rates(self, "dropout", "attention_dropout", "activation_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_encoder_heads", "width")
        checks.divides(self, "num_decoder_heads", "width")
        checks.token_ids(self, "pad_id", "eos_id", "decoder_start_id")


# Table 3, with the 37,000 tokens of English-German (section 5.1); `opus-mt` as its files say, with
# the vocabulary of English-German.
VARIANTS: dict[str | None, dict[str, Any]] = {
    "base": {},
    "big": {
        "width": 1024,
        **dict.fromkeys(("num_encoder_heads", "num_decoder_heads"), 16),
        **dict.fromkeys(("encoder_feed_forward_dim", "decoder_feed_forward_dim"), 4096),
        "dropout": 0.3,
    },
    "opus-mt": {
        "vocab_size": 58_101,
        "max_length": 512,
        "activation": "silu",
        **{"pad_id": 58_100, "eos_id": 0, "decoder_start_id": 58_100},
    },
}


@keras.saving.register_keras_serializable("tfzoo")
class Transformer(Model):
    """Maps token ids and masks of encoder, `(b, k)` int32, and decoder, `(b, t)`, to a dict.

    The inputs are `encoder_token_ids`, `encoder_padding_mask`, `decoder_token_ids` and
    `decoder_padding_mask`; masks are 1 on real tokens and 0 on padding. Without a head the outputs
    are `sequence` `(b, t, d)`, the decoder's, and `encoder_sequence` `(b, k, d)`; conditional
    generation gives `logits` `(b, t, v)` of the next token, float32.
    """

    config_class = TransformerConfig

    def __init__(self, config: TransformerConfig, name: str = "transformer"):
        self.config = config

        # Embeddings.
        self.scale = config.width**0.5 if config.scale_embedding else 1.0
        self.token_embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            config.initializer_range,
            config.head == "conditional_generation",
            name="token_embedding",
        )
        self.positions = SinusoidalPositions(config.max_length, False, name="positions")
        self.embedding_dropout = keras.layers.Dropout(config.dropout, name="embedding_dropout")

        # Blocks.
        self.causal_mask = CausalMask(name="causal_mask")
        self.encoder_blocks, self.decoder_blocks = (_blocks(config, side) for side in SIDES)
        self.encoder_norm, self.decoder_norm = (
            LayerNorm(NORM_EPSILON, name=f"{side}_norm") if config.norm_first else None
            for side in SIDES
        )

        inputs = {
            f"{side}_{key}": keras.Input((None,), dtype="int32", name=f"{side}_{key}")
            for side in SIDES
            for key in KEYS
        }
        encoder_ids, encoder_mask, decoder_ids, decoder_mask = inputs.values()
        encoder_bkd, encoder_calls = self._encode(encoder_ids, encoder_mask)
        x_btd, _, calls = self._decode(decoder_ids, encoder_mask, decoder_mask, encoder_bkd)
        features = {"sequence": x_btd, "encoder_sequence": encoder_bkd}
        outputs = features
        if config.head == "conditional_generation":
            outputs = {"logits": self.logits(x_btd)}
        super().__init__(inputs, outputs, name=name)
        stacks = {"encoder_": Stack(encoder_calls, encoder_bkd), "decoder_": Stack(calls, x_btd)}
        self.drawing = Drawing(features, stacks)

    def _encode(self, token_ids: Any, padding_mask: Any) -> tuple[Any, Any]:
        x_bkd, others = self._embed(token_ids, 0), {"mask_bqk": masks.padding(padding_mask)}
        x_bkd, _, calls = run(self.encoder_blocks, x_bkd, others)
        return self.encoder_norm(x_bkd) if self.encoder_norm else x_bkd, calls

    def _decode(
        self,
        token_ids: Any,
        encoder_padding_mask: Any = None,
        padding_mask: Any = None,
        encoder_bkd: Any = None,
        caches: Any = None,
        start: Any = 0,
    ) -> tuple[Any, Any, Any]:
        x_btd = self._embed(token_ids, start)
        others = {
            "mask_bqk": self.causal_mask(x_btd, padding_mask, caches=caches, start=start),
            "encoder_bkd": encoder_bkd,
            "encoder_mask_bqk": masks.padding(encoder_padding_mask),
        }
        x_btd, caches, calls = run(self.decoder_blocks, x_btd, others, caches, start)
        return self.decoder_norm(x_btd) if self.decoder_norm else x_btd, caches, calls

    def logits(self, x_btd: Any) -> Any:
        return self.token_embedding(x_btd, reverse=True)

    def _embed(self, token_ids: Any, start: Any) -> Any:
        x_btd = self.token_embedding(token_ids) * self.scale
        return self.embedding_dropout(x_btd + self.positions(x_btd, start=start))


def _blocks(config: TransformerConfig, side: str) -> list[Block]:
    """The blocks of one side, `encoder` or `decoder`."""
    return [
        Block(
            getattr(config, f"num_{side}_heads"),
            getattr(config, f"{side}_feed_forward_dim"),
            config.dropout,
            config.attention_dropout,
            config.activation,
            config.norm_first,
            norm_epsilon=NORM_EPSILON,
            cross=side == "decoder",
            initializer_range=config.initializer_range,
            activation_dropout=config.activation_dropout,
            name=f"{side}_block_{i}",
        )
        for i in range(getattr(config, f"num_{side}_layers"))
    ]


# Our weights <- Marian's in Hugging Face. A headless checkpoint has the same names without `model.`
BIAS = "final_logits_bias"
RENAMES = (
    table("token_embedding", "model.shared"),
    Rename("token_embedding/output_bias", (BIAS,), row=True),
    *fairseq_layer("encoder_block_{i}", "model.encoder.layers.{i}"),
    *fairseq_layer("decoder_block_{i}", "model.decoder.layers.{i}", cross=True),
)
# What transformers takes a key for that the file leaves out: our own defaults are the paper's.
_DEFAULTS = {
    "vocab_size": 58_101,
    "max_position_embeddings": 1024,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 12),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 16),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 4096),
    "d_model": 1024,
    "activation_function": "gelu",
    "scale_embedding": False,
    **{"pad_token_id": 58_100, "eos_token_id": 0, "decoder_start_token_id": 58_100},
}

HUGGING_FACE = HuggingFace(
    model_type="marian",
    tokenizer="marian",
    prefix="model.",
    heads={
        "none": ("MarianModel",),
        "conditional_generation": ("MarianMTModel", BIAS),
    },
    label_heads=(),
    fields={**FAIRSEQ_FIELDS, "normalize_before": "norm_first"},
    renames=RENAMES,
    # transformers 3 wrote `normalize_before`; no Marian there has its norms first.
    values={"activation_function": HIDDEN_ACT, "normalize_before": {False: False}},
    fixed={
        "is_encoder_decoder": (True,),
        "tie_word_embeddings": (True,),
        "share_encoder_decoder_embeddings": (True,),
        **{f"{side}_layerdrop": (0.0,) for side in SIDES},  # layers left out while training
        "normalize_embedding": (False,),
        "add_final_layer_norm": (False,),
        "static_position_embeddings": (True,),
        # Repetitions that the weights show, and what no version of the model reads.
        **dict.fromkeys(
            "num_hidden_layers decoder_vocab_size add_bias_logits classif_dropout "
            "classifier_dropout extra_pos_embeddings".split()
        ),
    },
    tied=FAIRSEQ_TIED,
    computed={
        r"model\.(encoder|decoder)\.embed_positions\.weight": lambda t, d: sinusoids(t, d, False)
    },
    zeros=(BIAS,),
    class_prefix="Marian",
    aliases={"marian": Alias("Marian", _DEFAULTS)},
)

PRETRAINED = (Card("hf:Helsinki-NLP/opus-mt-en-de", "CC-BY-4.0", "opus-mt", 73_886_208, "cased"),)
