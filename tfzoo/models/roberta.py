"""RoBERTa: BERT trained longer, on more text, without next sentences.

Source: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach",
https://arxiv.org/abs/1907.11692. Checked against transformers 5.23 (modeling_roberta.py).

    token_ids ─┬► token embedding ──┐
               └► position embed. ──┼─ + ─► norm ─► dropout ─► Block x n ─► sequence ─► head
    one segment row ────────────────┘                              └─ <s> ─► pooled ──┘

Easy to get wrong: positions are counted over the tokens that are not the padding token, whatever
the mask says, and the table has `pad_id + 1` rows in front that no token has (the last of them is
padding's), so that 514 rows are 512 tokens; there is one segment, whose row is added everywhere;
the layer of the masked language model is gelu under any `activation`; the classifier reads <s>
through a tanh layer of its own, and not through the pooler, which multiple choice reads.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras
from keras import ops

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.errors import UserError
from tfzoo.core.foreign import HIDDEN_ACT, HuggingFace, Part
from tfzoo.core.renames import Rename, dense, norm, table
from tfzoo.layers import heads, masks
from tfzoo.layers.activations import ACTIVATIONS
from tfzoo.layers.blocks import Block, run
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.normalization import LayerNorm
from tfzoo.layers.positions import LearnedPositions
from tfzoo.models.model import Drawing, Model, Stack

Head = Literal[
    "none",
    "masked_lm",
    "classification",
    "token_classification",
    "question_answering",
    "multiple_choice",
]
POOLED_HEADS = ("multiple_choice",)


@dataclasses.dataclass(frozen=True)
class RobertaConfig:
    """Sizes of a RoBERTa encoder and the head on top of it. The defaults are RoBERTa base.

    `num_positions` counts the rows of the position table, of which tokens have those from
    `pad_id + 1` on. `pooler` is the tanh layer on <s> that `pooled` comes from; multiple choice,
    which reads it, needs it.
    """

    vocab_size: int = 50_265
    num_layers: int = 12
    num_heads: int = 12
    width: int = 768
    feed_forward_dim: int = 3072
    num_positions: int = 514
    pad_id: int = 1
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.1
    norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    pooler: bool = True
    head: Head = "none"
    num_labels: int = 2
    tied_output: bool = True

    @property
    def max_length(self) -> int:
        """Number of tokens, padding not counted, that a text may have."""
        return self.num_positions - self.pad_id - 1

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "feed_forward_dim")
        checks.at_least(self, 1, "num_labels")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "attention_dropout", "head_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_heads", "width")
        if self.pad_id is None:
            raise UserError("RoBERTa counts positions by the padding token. Received: pad_id=None.")
        checks.token_ids(self, "pad_id")
        checks.at_least(self, self.pad_id + 2, "num_positions")
        if self.head in POOLED_HEADS and not self.pooler:
            raise UserError(f"head={self.head} reads the pooled output: it needs pooler=true.")


# Section 3.1 of the paper: the sizes of BERT.
VARIANTS: dict[str | None, dict[str, int]] = {
    "base": {},
    "large": {"num_layers": 24, "num_heads": 16, "width": 1024, "feed_forward_dim": 4096},
}


@keras.saving.register_keras_serializable("tfzoo")
class Roberta(Model):
    """Maps `{"token_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens and 0 on padding, which should be `pad_id` in `token_ids`.
    Without a head the outputs are `sequence` `(b, t, d)` and, with a pooler, `pooled` `(b, d)`.
    Heads give `logits`: `(b, c)` for classification, `(b, t, c)` for token classification,
    `(b, t, v)` for the masked language model, `(b, 1)` for multiple choice, the score of each row
    as one of the answers to choose from; question answering gives `start_logits` and `end_logits`,
    `(b, t)`, with -1e4 on padding left to the caller. Logits are float32.
    """

    config_class = RobertaConfig

    def __init__(self, config: RobertaConfig, name: str = "roberta"):
        inputs = {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "padding_mask")
        }
        token_ids, std = inputs["token_ids"], config.initializer_range
        has_output_bias = config.head == "masked_lm" and config.tied_output

        # Embeddings, summed.
        token_embedding = TokenEmbedding(
            config.vocab_size, config.width, std, has_output_bias, name="token_embedding"
        )
        segment_embedding = TokenEmbedding(1, config.width, std, name="segment_embedding")
        position_embedding = LearnedPositions(
            config.max_length, std, config.pad_id + 1, name="position_embedding"
        )
        tokens_btd = token_embedding(token_ids)
        positions_bt = _positions(token_ids, config.pad_id)
        x_btd = tokens_btd + segment_embedding(ops.zeros_like(token_ids))
        x_btd = x_btd + position_embedding(tokens_btd, positions_bt=positions_bt)
        x_btd = LayerNorm(config.norm_epsilon, name="embedding_norm")(x_btd)
        x_btd = keras.layers.Dropout(config.dropout, name="embedding_dropout")(x_btd)

        # Blocks.
        mask_bqk = masks.padding(inputs["padding_mask"])
        blocks = [
            Block(
                config.num_heads,
                config.feed_forward_dim,
                config.dropout,
                config.attention_dropout,
                config.activation,
                norm_epsilon=config.norm_epsilon,
                initializer_range=std,
                name=f"block_{i}",
            )
            for i in range(config.num_layers)
        ]
        x_btd, _, calls = run(blocks, x_btd, {"mask_bqk": mask_bqk})

        # Outputs.
        features = {"sequence": x_btd}
        if config.pooler and config.head in ("none", *POOLED_HEADS):
            features["pooled"] = heads.hidden(config.width, "tanh", std, "pooler")(x_btd[:, 0])
        if config.head == "masked_lm":
            self.logits = heads.masked_lm(
                token_embedding, config.tied_output, "gelu", config.norm_epsilon, std
            )
        outputs = _head(config, features, self.logits) or features
        super().__init__(inputs, outputs, name=name)
        self.config = config
        self.drawing = Drawing(features, {"": Stack(calls, x_btd)})


def _positions(token_ids_bt: Any, pad_id: int) -> Any:
    """`(b, t)` positions: 0, 1, ... over the tokens that are not padding, and -1 on padding."""
    real_bt = ops.cast(ops.not_equal(token_ids_bt, pad_id), "int32")
    return ops.cumsum(real_bt, axis=1) * real_bt - 1


def _head(
    config: RobertaConfig, features: dict[str, Any], logits: Callable[[Any], Any]
) -> dict[str, Any]:
    """Draws the published head called `config.head` and returns its outputs."""
    x_btd, rate, std = features["sequence"], config.head_dropout, config.initializer_range
    match config.head:
        case "masked_lm":
            return {"logits": logits(x_btd)}
        case "classification":
            return {"logits": heads.classifier(x_btd[:, 0], config.num_labels, rate, std)}
        case "token_classification":
            return {"logits": heads.classes(x_btd, config.num_labels, rate, std, "score")}
        case "question_answering":
            return heads.spans(x_btd, std)
        case "multiple_choice":
            return {"logits": heads.classes(features["pooled"], 1, config.dropout, std, "score")}
    return {}


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `roberta.`
_LAYER = "roberta.encoder.layer.{i}"
_ATTENTION = f"{_LAYER}.attention.self"
RENAMES = (
    table("token_embedding", "roberta.embeddings.word_embeddings"),
    Rename("token_embedding/output_bias", ("lm_head.bias",)),
    table("segment_embedding", "roberta.embeddings.token_type_embeddings"),
    table("position_embedding", "roberta.embeddings.position_embeddings"),
    *norm("embedding_norm", "roberta.embeddings.LayerNorm"),
    *dense("block_{i}/attention/qkv", *(f"{_ATTENTION}.{n}" for n in ("query", "key", "value"))),
    *dense("block_{i}/attention/output", f"{_LAYER}.attention.output.dense"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.attention.output.LayerNorm"),
    *dense("block_{i}/feed_forward/expand", f"{_LAYER}.intermediate.dense"),
    *dense("block_{i}/feed_forward/contract", f"{_LAYER}.output.dense"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.output.LayerNorm"),
    *dense("pooler", "roberta.pooler.dense"),
    *dense("mlm_transform", "lm_head.dense"),
    *norm("mlm_norm", "lm_head.layer_norm"),
    *dense("mlm_output", "lm_head.decoder"),
    *dense("classifier_hidden", "classifier.dense"),
    *dense("classifier", "classifier.out_proj"),
    *dense("score", "classifier"),
    *dense("span", "qa_outputs"),
)

# Of the token classifier and of multiple choice; that of texts has `classifier.dense.weight`.
_SCORE = ("classifier.weight", "classifier.bias")
HUGGING_FACE = HuggingFace(
    model_type="roberta",
    tokenizer="byte_level_bpe",
    prefix="roberta.",
    heads={
        "none": ("RobertaModel",),
        "masked_lm": ("RobertaForMaskedLM", "lm_head."),
        "classification": (
            "RobertaForSequenceClassification",
            "classifier.dense.",
            "classifier.out_proj.",
        ),
        "token_classification": ("RobertaForTokenClassification", *_SCORE),
        "question_answering": ("RobertaForQuestionAnswering", "qa_outputs."),
        "multiple_choice": ("RobertaForMultipleChoice", *_SCORE),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "hidden_size": "width",
        "intermediate_size": "feed_forward_dim",
        "max_position_embeddings": "num_positions",
        "pad_token_id": "pad_id",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "classifier_dropout": "head_dropout",
        "layer_norm_eps": "norm_epsilon",
        "initializer_range": "initializer_range",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    values={"hidden_act": HIDDEN_ACT},
    # transformers fills in BERT's; every published file says otherwise.
    defaults={"max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12},
    fallbacks={"classifier_dropout": "hidden_dropout_prob"},
    fixed={"type_vocab_size": (1,)},
    parts=(Part("pooler", "roberta.pooler.", POOLED_HEADS),),
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    untied={"lm_head.bias": "lm_head.decoder.bias"},
    counters=("roberta.embeddings.position_ids",),
)

PRETRAINED = (
    Card("hf:FacebookAI/roberta-base", "MIT", "base", 124_645_632, "cased"),
    Card("hf:FacebookAI/roberta-large", "MIT", "large", 355_359_744, "cased"),
)
