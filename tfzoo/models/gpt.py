"""GPT-1: a causal transformer decoder in the order of the original transformer.

Source: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training". Checked
against transformers 5.23 (modeling_openai.py).

    token_ids ──► token embedding ─┐                             ┌─ · token table ─► logits
    positions ──► position embed. ─┴─ + ─► dropout ─► Block x n ─┴─ sequence ─► head

Easy to get wrong: layer norm follows each residual (post-norm), as in BERT and unlike GPT-2, and
there is none behind the embeddings nor behind the last block; what its config.json calls "gelu" is
the tanh form; its kernels are stored `(inputs, outputs)`; the feed-forward network is four times as
wide as the model, which no key says.
"""

import dataclasses
from typing import Any, Literal

import keras

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import HuggingFace, synonyms
from tfzoo.core.renames import conv1d, dense, norm, table
from tfzoo.layers import heads
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.masks import CausalMask
from tfzoo.layers.positions import LearnedPositions
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal["none", "causal_lm", "double_heads", "classification"]


@dataclasses.dataclass(frozen=True)
class GptConfig:
    """Sizes of a GPT-1 decoder and the head on top of it. The defaults are the published model.

    `packed` is for training: a row may hold several documents, which `padding_mask` then numbers 1,
    2, 3, ...; none sees another, and positions are counted within each. The model reads none of
    `bos_id`, `eos_id` and `pad_id`; who writes text with it does.
    """

    vocab_size: int = 40_478
    num_layers: int = 12
    num_heads: int = 12
    width: int = 768
    max_length: int = 512
    activation: str = "gelu_tanh"
    dropout: float = 0.1
    embedding_dropout: float = 0.1
    attention_dropout: float = 0.1
    choice_dropout: float = 0.1
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    head: Head = "causal_lm"
    num_labels: int = 2
    tied_output: bool = True
    packed: bool = False

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "max_length", "num_labels")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "embedding_dropout", "attention_dropout")
        checks.dropout_rates(self, "choice_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_heads", "width")


# Section 4.1 of the paper.
VARIANTS: dict[str | None, dict[str, int]] = {"base": {}}


@keras.saving.register_keras_serializable("tfzoo")
class Gpt(Model):
    """Maps `{"token_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens (`packed`: the number of the document), 0 on padding. Without
    a head the output is `sequence` `(b, t, d)`. Heads give `logits`: `(b, t, v)` of the next token
    for the language model, `(b, c)` at the last real token for classification. Double heads give
    those of the language model and `mc_logits` `(b,)`, the score of each row as one of the answers
    to choose from, at the last real token. Logits are float32.
    """

    config_class = GptConfig

    def __init__(self, config: GptConfig, name: str = "gpt"):
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
        self.causal_mask = CausalMask(packed=config.packed, name="causal_mask")
        self.decoder_blocks = [
            Block(
                config.num_heads,
                4 * config.width,
                config.dropout,
                config.attention_dropout,
                config.activation,
                norm_epsilon=config.norm_epsilon,
                initializer_range=std,
                name=f"block_{i}",
            )
            for i in range(config.num_layers)
        ]
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
        mask_bqk = self.causal_mask(x_btd, padding_mask, caches=caches, start=start)
        return run(self.decoder_blocks, x_btd, {"mask_bqk": mask_bqk}, caches, start)


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `transformer.`
_LAYER = "transformer.h.{i}"
RENAMES = (
    table("token_embedding", "transformer.tokens_embed"),
    table("position_embedding", "transformer.positions_embed"),
    *conv1d("block_{i}/attention/qkv", f"{_LAYER}.attn.c_attn"),
    *conv1d("block_{i}/attention/output", f"{_LAYER}.attn.c_proj"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.ln_1"),
    *conv1d("block_{i}/feed_forward/expand", f"{_LAYER}.mlp.c_fc"),
    *conv1d("block_{i}/feed_forward/contract", f"{_LAYER}.mlp.c_proj"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.ln_2"),
    *dense("lm_head", "lm_head"),
    *dense("choice", "multiple_choice_head.summary"),
    *dense("score", "score"),
)

HUGGING_FACE = HuggingFace(
    model_type="openai-gpt",
    tokenizer="gpt_bpe",
    prefix="transformer.",
    heads={
        "none": ("OpenAIGPTModel",),
        "causal_lm": ("OpenAIGPTLMHeadModel", "lm_head.weight"),
        "double_heads": ("OpenAIGPTDoubleHeadsModel", "lm_head.weight", "multiple_choice_head."),
        "classification": ("OpenAIGPTForSequenceClassification", "score."),
    },
    label_heads=("classification",),
    fields={
        "vocab_size": "vocab_size",
        "n_layer": "num_layers",
        "n_head": "num_heads",
        "n_embd": "width",
        "n_positions": "max_length",
        "afn": "activation",
        "resid_pdrop": "dropout",
        "embd_pdrop": "embedding_dropout",
        "attn_pdrop": "attention_dropout",
        "summary_first_dropout": "choice_dropout",
        "layer_norm_epsilon": "norm_epsilon",
        "initializer_range": "initializer_range",
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
    # transformers' own table for this model, ACT_FNS.
    values={"afn": {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}},
    fixed={
        "n_ctx": None,  # what older files call n_positions besides
        "n_special": None,  # as the next one, left by the first port; transformers reads neither
        "predict_special_tokens": None,
        "summary_type": ("cls_index",),
        "summary_use_proj": (True,),
        "summary_proj_to_labels": (True,),
        "summary_activation": (None,),
    },
    tied={"lm_head.weight": "transformer.tokens_embed.weight"},
    counters=("transformer.position_ids",),
    constants=(r"transformer\.h\.\d+\.attn\.bias",),  # the causal mask
)

PRETRAINED = (Card("hf:openai-community/openai-gpt", "MIT", "base", 116_534_784, "uncased"),)
