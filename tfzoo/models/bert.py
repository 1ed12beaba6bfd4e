"""BERT: a bidirectional transformer encoder.

Source: Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers",
https://arxiv.org/abs/1810.04805. Checked against transformers 5.23 (modeling_bert.py) and, for what
the published checkpoints computed, google-research/bert, commit eedf571.

    token_ids ──► token embedding ──┐
    positions ──► position embed. ──┼─ + ─► norm ─► dropout ─► Block x n ─► sequence ─► head
    segment_ids ► segment embed.  ──┘                              └─ [CLS] ─► pooled ──┘

Easy to get wrong: layer norm follows each residual (post-norm) with epsilon 1e-12; the embedding
sum is normalized before the first block; the released code uses the tanh form of gelu, while the
Hugging Face port uses the exact form (4.7e-4 apart), so `activation` must follow the checkpoint;
the masked language model's output table is the token embedding, with a bias of its own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras

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
    "pretraining",
    "masked_lm",
    "next_sentence",
    "classification",
    "token_classification",
    "question_answering",
    "multiple_choice",
]
POOLED_HEADS = ("pretraining", "next_sentence", "classification", "multiple_choice")


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes of a BERT encoder and the head on top of it. The defaults are BERT-Base, uncased.

    `pooler` is the tanh layer on [CLS] that `pooled` comes from; heads that read it need it.
    `num_labels` is the number of classes of the classification heads.
    """

    vocab_size: int = 30_522
    num_layers: int = 12
    num_heads: int = 12
    width: int = 768
    feed_forward_dim: int = 3072
    max_length: int = 512
    num_segments: int = 2
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.1
    norm_epsilon: float = 1e-12
    initializer_range: float = 0.02
    pooler: bool = True
    head: Head = "none"
    num_labels: int = 2
    tied_output: bool = True

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "feed_forward_dim")
        checks.at_least(self, 1, "max_length", "num_segments", "num_labels")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.above(self, 0, "norm_epsilon")
        checks.dropout_rates(self, "dropout", "attention_dropout", "head_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_heads", "width")
        if self.head in POOLED_HEADS and not self.pooler:
            raise UserError(f"head={self.head} reads the pooled output: it needs pooler=true.")


# Sizes from table 1 of Turc et al. 2019, https://arxiv.org/abs/1908.08962; large from table 1 of
# the BERT paper.
VARIANTS: dict[str | None, dict[str, int]] = {
    "tiny": {"num_layers": 2, "num_heads": 2, "width": 128, "feed_forward_dim": 512},
    "mini": {"num_layers": 4, "num_heads": 4, "width": 256, "feed_forward_dim": 1024},
    "small": {"num_layers": 4, "num_heads": 8, "width": 512, "feed_forward_dim": 2048},
    "medium": {"num_layers": 8, "num_heads": 8, "width": 512, "feed_forward_dim": 2048},
    "base": {},
    "large": {"num_layers": 24, "num_heads": 16, "width": 1024, "feed_forward_dim": 4096},
}


@keras.saving.register_keras_serializable("tfzoo")
class Bert(Model):
    """Maps `{"token_ids", "segment_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens and 0 on padding. Without a head the outputs are `sequence`
    `(b, t, d)` and, with a pooler, `pooled` `(b, d)`. Heads give `logits`: `(b, c)` for
    classification and next sentence, `(b, t, c)` for token classification, `(b, t, v)` for the
    masked language model, `(b, 1)` for multiple choice, the score of each row as one of the answers
    to choose from; question answering gives `start_logits` and `end_logits`, `(b, t)`, with -1e4 on
    padding left to the caller; pretraining gives `mlm_logits` and `nsp_logits`. Logits are float32.
    """

    config_class = BertConfig

    def __init__(self, config: BertConfig, name: str = "bert"):
        inputs = {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "segment_ids", "padding_mask")
        }
        std = config.initializer_range
        has_mlm = config.head in ("pretraining", "masked_lm")

        # Embeddings, summed.
        token_embedding = TokenEmbedding(
            config.vocab_size,
            config.width,
            std,
            has_mlm and config.tied_output,
            name="token_embedding",
        )
        tokens_btd = token_embedding(inputs["token_ids"])
        segments_btd = TokenEmbedding(
            config.num_segments, config.width, std, name="segment_embedding"
        )(inputs["segment_ids"])
        positions_btd = LearnedPositions(config.max_length, std, name="position_embedding")(
            tokens_btd
        )
        x_btd = keras.layers.Add(name="embedding_sum")([tokens_btd, segments_btd])
        x_btd = x_btd + positions_btd
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
        if has_mlm:
            self.logits = _masked_lm(config, token_embedding)
        outputs = _head(config, features, self.logits) or features
        super().__init__(inputs, outputs, name=name)
        self.config = config
        self.drawing = Drawing(features, {"": Stack(calls, x_btd)})


def _head(
    config: BertConfig, features: dict[str, Any], logits: Callable[[Any], Any]
) -> dict[str, Any]:
    """Draws the published head called `config.head` and returns its outputs."""
    x_btd, pooled_bd = features["sequence"], features.get("pooled")
    rate, std = config.head_dropout, config.initializer_range
    match config.head:
        case "classification":
            return {"logits": heads.classes(pooled_bd, config.num_labels, rate, std)}
        case "multiple_choice":
            return {"logits": heads.classes(pooled_bd, 1, rate, std)}
        case "token_classification":
            return {"logits": heads.classes(x_btd, config.num_labels, rate, std)}
        case "question_answering":
            return heads.spans(x_btd, std)
        case "masked_lm":
            return {"logits": logits(x_btd)}
        case "next_sentence":
            return {"logits": heads.scores(2, std, "next_sentence")(pooled_bd)}
        case "pretraining":
            nsp_logits_b2 = heads.scores(2, std, "next_sentence")(pooled_bd)
            return {"mlm_logits": logits(x_btd), "nsp_logits": nsp_logits_b2}
    return {}


def _masked_lm(config: BertConfig, token_embedding: TokenEmbedding) -> Callable[[Any], Any]:
    return heads.masked_lm(
        token_embedding,
        config.tied_output,
        config.activation,
        config.norm_epsilon,
        config.initializer_range,
    )


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `bert.`
_LAYER = "bert.encoder.layer.{i}"
_ATTENTION = f"{_LAYER}.attention.self"
RENAMES = (
    table("token_embedding", "bert.embeddings.word_embeddings"),
    Rename("token_embedding/output_bias", ("cls.predictions.bias",)),
    table("segment_embedding", "bert.embeddings.token_type_embeddings"),
    table("position_embedding", "bert.embeddings.position_embeddings"),
    *norm("embedding_norm", "bert.embeddings.LayerNorm"),
    *dense("block_{i}/attention/qkv", *(f"{_ATTENTION}.{n}" for n in ("query", "key", "value"))),
    *dense("block_{i}/attention/output", f"{_LAYER}.attention.output.dense"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.attention.output.LayerNorm"),
    *dense("block_{i}/feed_forward/expand", f"{_LAYER}.intermediate.dense"),
    *dense("block_{i}/feed_forward/contract", f"{_LAYER}.output.dense"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.output.LayerNorm"),
    *dense("pooler", "bert.pooler.dense"),
    *dense("mlm_transform", "cls.predictions.transform.dense"),
    *norm("mlm_norm", "cls.predictions.transform.LayerNorm"),
    *dense("mlm_output", "cls.predictions.decoder"),
    *dense("next_sentence", "cls.seq_relationship"),
    *dense("classifier", "classifier"),
    *dense("span", "qa_outputs"),
)

HUGGING_FACE = HuggingFace(
    model_type="bert",
    tokenizer="wordpiece",
    prefix="bert.",
    heads={
        "none": ("BertModel",),
        "pretraining": ("BertForPreTraining", "cls.predictions.", "cls.seq_relationship."),
        "masked_lm": ("BertForMaskedLM", "cls.predictions."),
        "next_sentence": ("BertForNextSentencePrediction", "cls.seq_relationship."),
        "classification": ("BertForSequenceClassification", "classifier."),
        "token_classification": ("BertForTokenClassification", "classifier."),
        "question_answering": ("BertForQuestionAnswering", "qa_outputs."),
        "multiple_choice": ("BertForMultipleChoice", "classifier."),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "hidden_size": "width",
        "intermediate_size": "feed_forward_dim",
        "max_position_embeddings": "max_length",
        "type_vocab_size": "num_segments",
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
    fallbacks={"classifier_dropout": "hidden_dropout_prob"},
    parts=(Part("pooler", "bert.pooler.", POOLED_HEADS),),
    legacy=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    untied={"cls.predictions.bias": "cls.predictions.decoder.bias"},
    counters=("bert.embeddings.position_ids",),
)

PRETRAINED = (
    Card("hf:google-bert/bert-base-uncased", "Apache-2.0", "base", 109_482_240, "uncased"),
    Card("hf:google-bert/bert-large-uncased", "Apache-2.0", "large", 335_141_888, "uncased"),
)
