"""DistilBERT: a BERT of half as many layers that learned from a whole one.

Source: Sanh et al. 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and
lighter", https://arxiv.org/abs/1910.01108. Checked against transformers 5.23
(modeling_distilbert.py), which is its authors' own code.

    token_ids ─► token embedding ──┐
    positions ─► position embed. ──┴─ + ─► norm ─► dropout ─► Block x n ─► sequence ─► head

Easy to get wrong: there are no segments, and texts of a pair are told apart by [SEP] alone; there
is no pooler: the classifier has a relu layer of its own on [CLS]; nothing is dropped from the
output of the attention, only from its weights; every layer norm has epsilon 1e-12; positions are a
table of weights, even where it was filled with sinusoids at first.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import keras

from tfzoo.core import checks
from tfzoo.core.cards import Card
from tfzoo.core.foreign import HIDDEN_ACT, HuggingFace, synonyms
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
NORM_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class DistilBertConfig:
    """Sizes of a DistilBERT and the head on top of it. The defaults are DistilBERT base, uncased.

    `head_dropout` is that of the heads that read whole texts, `span_dropout` that of question
    answering; token classification drops as the encoder does, by `dropout`.
    """

    vocab_size: int = 30_522
    num_layers: int = 6
    num_heads: int = 12
    width: int = 768
    feed_forward_dim: int = 3072
    max_length: int = 512
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    head_dropout: float = 0.2
    span_dropout: float = 0.1
    initializer_range: float = 0.02
    head: Head = "none"
    num_labels: int = 2
    tied_output: bool = True

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "vocab_size", "num_heads", "width", "feed_forward_dim")
        checks.at_least(self, 1, "max_length", "num_labels")
        checks.at_least(self, 0, "num_layers", "initializer_range")
        checks.dropout_rates(self, "dropout", "attention_dropout", "head_dropout", "span_dropout")
        checks.one_of(self, ACTIVATIONS, "activation")
        checks.divides(self, "num_heads", "width")


# Section 2 of the paper: BERT-Base with every second layer taken out.
VARIANTS: dict[str | None, dict[str, int]] = {"base": {}}


@keras.saving.register_keras_serializable("tfzoo")
class DistilBert(Model):
    """Maps `{"token_ids", "padding_mask"}`, each `(b, t)` int32, to a dict.

    `padding_mask` is 1 on real tokens and 0 on padding. Without a head the output is `sequence`
    `(b, t, d)`. Heads give `logits`: `(b, c)` for classification, `(b, t, c)` for token
    classification, `(b, t, v)` for the masked language model, `(b, 1)` for multiple choice, the
    score of each row as one of the answers to choose from; question answering gives `start_logits`
    and `end_logits`, `(b, t)`, with -1e4 on padding left to the caller. Logits are float32.
    """

    config_class = DistilBertConfig

    def __init__(self, config: DistilBertConfig, name: str = "distilbert"):
        inputs = {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "padding_mask")
        }
        std = config.initializer_range
        has_output_bias = config.head == "masked_lm" and config.tied_output

        # Embeddings, summed.
        token_embedding = TokenEmbedding(
            config.vocab_size, config.width, std, has_output_bias, name="token_embedding"
        )
        position_embedding = LearnedPositions(config.max_length, std, name="position_embedding")
        tokens_btd = token_embedding(inputs["token_ids"])
        x_btd = tokens_btd + position_embedding(tokens_btd)
        x_btd = LayerNorm(NORM_EPSILON, name="embedding_norm")(x_btd)
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
                norm_epsilon=NORM_EPSILON,
                initializer_range=std,
                drops_attention=False,
                name=f"block_{i}",
            )
            for i in range(config.num_layers)
        ]
        x_btd, _, calls = run(blocks, x_btd, {"mask_bqk": mask_bqk})

        # Outputs.
        features = {"sequence": x_btd}
        if config.head == "masked_lm":
            self.logits = heads.masked_lm(
                token_embedding, config.tied_output, config.activation, NORM_EPSILON, std
            )
        outputs = _head(config, x_btd, self.logits) or features
        super().__init__(inputs, outputs, name=name)
        self.config = config
        self.drawing = Drawing(features, {"": Stack(calls, x_btd)})


def _head(config: DistilBertConfig, x_btd: Any, logits: Callable[[Any], Any]) -> dict[str, Any]:
    """Draws the published head called `config.head` and returns its outputs."""
    std = config.initializer_range
    match config.head:
        case "masked_lm":
            return {"logits": logits(x_btd)}
        case "classification" | "multiple_choice":
            x_bd = heads.hidden(config.width, "relu", std, "classifier_hidden")(x_btd[:, 0])
            num_scores = config.num_labels if config.head == "classification" else 1
            return {"logits": heads.classes(x_bd, num_scores, config.head_dropout, std)}
        case "token_classification":
            return {"logits": heads.classes(x_btd, config.num_labels, config.dropout, std)}
        case "question_answering":
            x_btd = keras.layers.Dropout(config.span_dropout, name="span_dropout")(x_btd)
            return heads.spans(x_btd, std)
    return {}


# Our weights <- Hugging Face's. A headless checkpoint has the same names without `distilbert.`
_LAYER = "distilbert.transformer.layer.{i}"
_ATTENTION = f"{_LAYER}.attention"
RENAMES = (
    table("token_embedding", "distilbert.embeddings.word_embeddings"),
    Rename("token_embedding/output_bias", ("vocab_projector.bias",)),
    table("position_embedding", "distilbert.embeddings.position_embeddings"),
    *norm("embedding_norm", "distilbert.embeddings.LayerNorm"),
    *dense("block_{i}/attention/qkv", *(f"{_ATTENTION}.{part}_lin" for part in "qkv")),
    *dense("block_{i}/attention/output", f"{_ATTENTION}.out_lin"),
    *norm("block_{i}/attention_norm", f"{_LAYER}.sa_layer_norm"),
    *dense("block_{i}/feed_forward/expand", f"{_LAYER}.ffn.lin1"),
    *dense("block_{i}/feed_forward/contract", f"{_LAYER}.ffn.lin2"),
    *norm("block_{i}/feed_forward_norm", f"{_LAYER}.output_layer_norm"),
    *dense("mlm_transform", "vocab_transform"),
    *norm("mlm_norm", "vocab_layer_norm"),
    *dense("mlm_output", "vocab_projector"),
    *dense("classifier_hidden", "pre_classifier"),
    *dense("classifier", "classifier"),
    *dense("span", "qa_outputs"),
)

HUGGING_FACE = HuggingFace(
    model_type="distilbert",
    tokenizer="wordpiece",
    prefix="distilbert.",
    heads={
        "none": ("DistilBertModel",),
        "masked_lm": (
            "DistilBertForMaskedLM",
            "vocab_transform.",
            "vocab_layer_norm.",
            "vocab_projector.",
        ),
        "classification": ("DistilBertForSequenceClassification", "pre_classifier.", "classifier."),
        "token_classification": ("DistilBertForTokenClassification", "classifier."),
        "question_answering": ("DistilBertForQuestionAnswering", "qa_outputs."),
        "multiple_choice": ("DistilBertForMultipleChoice", "pre_classifier.", "classifier."),
    },
    label_heads=("classification", "token_classification"),
    fields={
        "vocab_size": "vocab_size",
        "n_layers": "num_layers",
        "n_heads": "num_heads",
        "dim": "width",
        "hidden_dim": "feed_forward_dim",
        "max_position_embeddings": "max_length",
        "activation": "activation",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "seq_classif_dropout": "head_dropout",
        "qa_dropout": "span_dropout",
        "initializer_range": "initializer_range",
        "tie_word_embeddings": "tied_output",
    },
    renames=RENAMES,
    values={"activation": HIDDEN_ACT},
    fixed={
        "sinusoidal_pos_embds": None,  # how the table began; it is stored either way
        "tie_weights_": None,  # in published files, read by no version of transformers
    },
    # transformers takes these names too.
    modern=synonyms(
        {"hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}
    ),
    tied={"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"},
    counters=("distilbert.embeddings.position_ids",),
)

PRETRAINED = (
    Card("hf:distilbert/distilbert-base-uncased", "Apache-2.0", "base", 66_362_880, "uncased"),
)
