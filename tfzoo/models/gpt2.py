"""GPT-2 and GPT-3: causal transformer decoders.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Brown et al.
2020, "Language Models are Few-Shot Learners", https://arxiv.org/abs/2005.14165. Checked against
transformers 5.23 (modeling_gpt2.py) and, for what the published checkpoints computed, openai/gpt-2,
commit 9b63575.

    token_ids ──► token embedding ─┐                                 ┌─ · token table ─► logits
    positions ──► position embed. ─┴─ + ─► dropout ─► Block x n ─► norm ─► sequence ─► head

Easy to get wrong: layer norm stands before each sublayer (pre-norm) and once more after the last
block; gelu is the tanh form; the published kernels are stored `(inputs, outputs)`, unlike BERT's;
positions are counted from the first column, padding or not. GPT-3 is the same model whose odd
blocks see only a band of keys (section 2.1: "alternating dense and locally banded sparse attention
patterns"); the paper does not print the width of the band, so `window` is None, dense, unless set.
"""

import dataclasses
from typing import Any, Literal

import keras

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import HIDDEN_ACT, HuggingFace, synonyms
from tfzoo.core.renames import conv1d, dense, norm, table
from tfzoo.layers import heads
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.masks import CausalMask
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.positions import LearnedPositions
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal[
    "none",
    "causal_lm",
    "double_heads",
    "classification",
    "token_classification",
    "question_answering",
]


@dataclasses.dataclass(frozen=True)
class Gpt2Config:
    """Sizes of a GPT-2 decoder and the head on top of it. The defaults are the 124M model.

    `feed_forward_dim` of None is four times the width. `window` is how many keys the odd blocks see
    at most (GPT-3); None means all. `scale_scores` divides the scores of a head by the square root
    of its width; `scale_by_layer` divides those of block i by i + 1 besides. `packed` is for
    training: a row may hold several documents, which `padding_mask` then numbers 1, 2, 3, ...; none
    sees another, and positions are counted within each. The model reads none of `bos_id`, `eos_id`
    and `pad_id`; who writes text with it does.
    """

    vocab_size: int = 50_257
    num_layers: int = 12
    num_heads: int = 12
    width: int = 768
    feed_forward_dim: int | None = None
    max_length: int = 1024
    activation: str = "gelu_tanh"
    dropout: float = 0.1
    embedding_dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.1
    choice_dropout: float = 0.1
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_scores: bool = True
    scale_by_layer: bool = False
    window: int | None = None
    bos_id: int | None = 50_256
    eos_id: int | None = 50_256
    pad_id: int | None = None
    head: Head = "causal_lm"
    num_labels: int = 2
    tied_output: bool = True
    packed: bool = False

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "max_length", "num_labels")
        checks.at_least(self, 1, "feed_forward_dim", "window")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "embedding_dropout", "attention_dropout")
        checks.dropout_rates(self, "head_dropout", "choice_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_heads", "width")


def _gpt3(num_layers: int, width: int, num_heads: int) -> dict[str, int]:
    sizes = {"num_layers": num_layers, "width": width, "num_heads": num_heads}
    return {**sizes, "max_length": 2048}


# GPT-2: table 2 of its paper, with the heads of the released checkpoints. GPT-3: table 2.1 of its
# paper; 1.3B is printed with 24 heads of 128, which do not multiply to 2048, so it has 16.
VARIANTS: dict[str | None, dict[str, int]] = {
    "small": {},
    "medium": {"num_layers": 24, "num_heads": 16, "width": 1024},
    "large": {"num_layers": 36, "num_heads": 20, "width": 1280},
    "xl": {"num_layers": 48, "num_heads": 25, "width": 1600},
    "gpt3-125m": _gpt3(12, 768, 12),
    "gpt3-350m": _gpt3(24, 1024, 16),
    "gpt3-760m": _gpt3(24, 1536, 16),
    "gpt3-1.3b": _gpt3(24, 2048, 16),
    "gpt3-2.7b": _gpt3(32, 2560, 32),
    "gpt3-6.7b": _gpt3(32, 4096, 32),
    "gpt3-13b": _gpt3(40, 5120, 40),
    "gpt3-175b": _gpt3(96, 12_288, 96),
}


@keras.saving.register_keras_serializable("tfzoo")
class Gpt2(Model):
    """Maps `{"token_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens (`packed`: the number of the document), 0 on padding. Without
    a head the output is `sequence` `(b, t, d)`. Heads give `logits`: `(b, t, v)` of the next token
    for the language model, `(b, c)` at the last real token for classification, `(b, t, c)` for
    token classification; question answering gives `start_logits` and `end_logits`, `(b, t)`. Double
    heads give those of the language model and `mc_logits` `(b,)`, the score of each row as one of
    the answers to choose from, at the last real token. Logits are float32.
    """

    config_class = Gpt2Config

    def __init__(self, config: Gpt2Config, name: str = "gpt2"):
        self.config = config
        std = config.initializer_range
        self.token_embedding = TokenEmbedding(
            config.vocab_size, config.width, std, name="token_embedding"
        )
        self.position_embedding = LearnedPositions(
            config.max_length, std, name="position_embedding"
        )
        self.embedding_dropout = keras.layers.Dropout(
            config.embedding_dropout, name="embedding_dropout"
        )
        self.masks = [CausalMask(packed=config.packed, name="causal_mask")]
        if config.window is not None:
            self.masks.append(CausalMask(config.window, config.packed, name="banded_mask"))
        self.decoder_blocks = [_block(config, i) for i in range(config.num_layers)]
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
        tokens_btd = self.token_embedding(token_ids)
        documents_bt = padding_mask if self.config.packed else None
        positions_btd = self.position_embedding(tokens_btd, start=start, documents_bt=documents_bt)
        x_btd = self.embedding_dropout(tokens_btd + positions_btd)
        masks_bqk = [mask(x_btd, padding_mask, caches=caches, start=start) for mask in self.masks]
        depth = self.config.num_layers
        others = [{"mask_bqk": masks_bqk[i % len(masks_bqk)]} for i in range(depth)]
        x_btd, caches, calls = run(self.decoder_blocks, x_btd, others, caches, start)
        return self.final_norm(x_btd), caches, calls


def _block(config: Gpt2Config, i: int) -> Block:
    scale = (config.width // config.num_heads) ** -0.5 if config.scale_scores else 1.0
    return Block(
        config.num_heads,
        config.feed_forward_dim or 4 * config.width,
        config.dropout,
        config.attention_dropout,
        config.activation,
        norm_first=True,
        norm_epsilon=config.norm_epsilon,
        initializer_range=config.initializer_range,
        # Section 2.3 of the GPT-2 paper: one over the root of the number of residual layers.
        output_range=config.initializer_range / (2 * config.num_layers) ** 0.5,
        scale=scale / (i + 1) if config.scale_by_layer else scale,
        name=f"block_{i}",
    )


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `transformer.`
_LAYER = "transformer.h.{i}"
RENAMES = (
    table("token_embedding", "transformer.wte"),
    table("position_embedding", "transformer.wpe"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.ln_1"),
    *conv1d("block_{i}/attention/qkv", f"{_LAYER}.attn.c_attn"),
    *conv1d("block_{i}/attention/output", f"{_LAYER}.attn.c_proj"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.ln_2"),
    *conv1d("block_{i}/feed_forward/expand", f"{_LAYER}.mlp.c_fc"),
    *conv1d("block_{i}/feed_forward/contract", f"{_LAYER}.mlp.c_proj"),
    *norm("final_norm", "transformer.ln_f"),
    *dense("lm_head", "lm_head"),
    *dense("choice", "multiple_choice_head.summary"),
    *dense("score", "score"),
    *dense("classifier", "classifier"),
    *dense("span", "qa_outputs"),
)

HUGGING_FACE = HuggingFace(
    model_type="gpt2",
    tokenizer="byte_level_bpe",
    prefix="transformer.",
    heads={
        "none": ("GPT2Model",),
        "causal_lm": ("GPT2LMHeadModel", "lm_head.weight"),
        "double_heads": ("GPT2DoubleHeadsModel", "lm_head.weight", "multiple_choice_head."),
        "classification": ("GPT2ForSequenceClassification", "score."),
        "token_classification": ("GPT2ForTokenClassification", "classifier."),
        "question_answering": ("GPT2ForQuestionAnswering", "qa_outputs."),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "n_layer": "num_layers",
        "n_head": "num_heads",
        "n_embd": "width",
        "n_inner": "feed_forward_dim",
        "n_positions": "max_length",
        "activation_function": "activation",
        "resid_pdrop": "dropout",
        "embd_pdrop": "embedding_dropout",
        "attn_pdrop": "attention_dropout",
        "classifier_dropout": "head_dropout",
        "summary_first_dropout": "choice_dropout",
        "layer_norm_epsilon": "norm_epsilon",
        "initializer_range": "initializer_range",
        "scale_attn_weights": "scale_scores",
        "scale_attn_by_inverse_layer_idx": "scale_by_layer",
        "bos_token_id": "bos_id",
        "eos_token_id": "eos_id",
        "pad_token_id": "pad_id",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    modern=synonyms(
        {
            "hidden_size": "n_embd",
            "max_position_embeddings": "n_positions",
            "num_attention_heads": "n_head",
            "num_hidden_layers": "n_layer",
        }
    ),
    values={"activation_function": HIDDEN_ACT},
    fixed={
        "n_ctx": None,  # what older files call n_positions besides
        "reorder_and_upcast_attn": None,  # the same numbers: our scores are always float32
        "summary_type": ("cls_index",),
        "summary_use_proj": (True,),
        "summary_proj_to_labels": (True,),
        "summary_activation": (None,),
    },
    tied={"lm_head.weight": "transformer.wte.weight"},
    constants=(r"transformer\.h\.\d+\.attn\.(bias|masked_bias)",),  # the causal mask
)

PRETRAINED = (
    Card("hf:openai-community/gpt2", "MIT", "small", 124_439_808, "cased"),
    Card("hf:openai-community/gpt2-medium", "MIT", "medium", 354_823_168, "cased"),
    Card("hf:openai-community/gpt2-large", "MIT", "large", 774_030_080, "cased"),
    Card("hf:openai-community/gpt2-xl", "MIT", "xl", 1_557_611_200, "cased"),
)
