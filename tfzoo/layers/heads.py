"""The last layers of a model: vectors to float32 scores."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from tfzoo.core.errors import UserError
from tfzoo.layers import pooling
from tfzoo.layers.activations import activation as function_of
from tfzoo.layers.embeddings import TokenEmbedding
from tfzoo.layers.normalization import LayerNorm


def scores(
    units: int, initializer_range: float, name: str, use_bias: bool = True
) -> keras.layers.Dense:
    """A dense layer whose outputs are float32 whatever the policy, as losses need them."""
    initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
    return keras.layers.Dense(
        units, use_bias=use_bias, kernel_initializer=initializer, dtype="float32", name=name
    )


def hidden(units: int, activation: str, initializer_range: float, name: str) -> keras.layers.Dense:
    """A dense layer below the last one, with the `activation` of that name."""
    initializer = keras.initializers.TruncatedNormal(stddev=initializer_range)
    return keras.layers.Dense(
        units, function_of(activation), kernel_initializer=initializer, name=name
    )


def classes(
    x: Any, num_labels: int, dropout: float, initializer_range: float, name: str = "classifier"
) -> Any:
    """The scores `(..., c)` of the classes of texts or tokens, from their vectors `(..., d)`.

    Args:
        x: The vectors.
        num_labels: Number of classes, c.
        dropout: Probability of dropping an element of them.
        initializer_range: Standard deviation of the truncated-normal kernel.
        name: Of the last layer.
    """
    x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    return scores(num_labels, initializer_range, name)(x)


def classifier(x_bd: Any, num_labels: int, dropout: float, initializer_range: float) -> Any:
    """The scores `(b, c)` of RoBERTa's and BART's classes: a tanh layer between two dropouts.

    Args:
        x_bd: `(b, d)` vectors of the texts.
        num_labels: Number of classes, c.
        dropout: Probability of dropping an element, before and after the tanh layer.
        initializer_range: Standard deviation of the truncated-normal kernels.
    """
    x_bd = keras.layers.Dropout(dropout, name="hidden_dropout")(x_bd)
    x_bd = hidden(x_bd.shape[-1], "tanh", initializer_range, "classifier_hidden")(x_bd)
    return classes(x_bd, num_labels, dropout, initializer_range)


def masked_lm(
    token_embedding: TokenEmbedding,
    tied_output: bool,
    activation: str,
    norm_epsilon: float,
    initializer_range: float,
) -> Callable[[Any], Any]:
    """The scores `(b, t, v)` of the token at each place, as a function of vectors `(b, t, d)`.

    However often it is called, the layers and their weights are the same.

    Args:
        token_embedding: The table that scores, if `tied_output`: one with an output bias.
        tied_output: Otherwise the scores have a table of their own.
        activation: Name of the activation of the layer in between.
        norm_epsilon: Of the norm behind it.
        initializer_range: Standard deviation of the truncated-normal kernels.

    Source: google-research/bert, `get_masked_lm_output` of run_pretraining.py.
    """
    transform = hidden(token_embedding.width, activation, initializer_range, "mlm_transform")
    norm = LayerNorm(norm_epsilon, name="mlm_norm")
    if tied_output:
        output = functools.partial(token_embedding, reverse=True)
    else:
        output = scores(token_embedding.vocab_size, initializer_range, "mlm_output")
    return lambda x_btd: output(norm(transform(x_btd)))


def spans(x_btd: Any, initializer_range: float) -> dict[str, Any]:
    """Extractive question answering: `start_logits` and `end_logits`, `(b, t)` each.

    Source: Devlin et al. 2018, section 4.2, https://arxiv.org/abs/1810.04805.
    """
    logits_bt2 = scores(2, initializer_range, "span")(x_btd)
    return {"start_logits": logits_bt2[:, :, 0], "end_logits": logits_bt2[:, :, 1]}


def language_model(config: Any, token_embedding: TokenEmbedding) -> Callable[[Any], Any]:
    """The scores `(b, t, v)` of the next token, as a function of a decoder's output `(b, t, d)`.

    Args:
        config: That of the architecture: `head`, `tied_output`, `vocab_size`, `initializer_range`.
        token_embedding: The table that scores, if `tied_output`. Otherwise the scores have a table
            of their own, `lm_head`, under the heads that have one; under the others the function
            raises UserError, for there are none.
    """
    if config.tied_output:
        return functools.partial(token_embedding, reverse=True)
    if config.head in ("causal_lm", "double_heads"):
        return scores(config.vocab_size, config.initializer_range, "lm_head", use_bias=False)

    def refuse(x_btd: Any) -> Any:
        raise UserError(
            f"A model whose output table is not tied has no language model under this head. Load "
            f"it with head='causal_lm'. Received: head={config.head}."
        )

    return refuse


def of_decoder(config: Any, x_btd: Any, padding_mask_bt: Any, logits: Any) -> dict[str, Any]:
    """The published heads of a decoder, as transformers draws them.

    Args:
        config: That of the architecture: `head`, `initializer_range` and, as far as its heads read
            them, `num_labels`, `head_dropout` and `choice_dropout`.
        x_btd: `(b, t, d)` output of the decoder.
        padding_mask_bt: `(b, t)`, 1 on real tokens.
        logits: The language model: a function of `x_btd`.

    Returns:
        `logits` `(b, t, v)` of the next token for `causal_lm`; for `double_heads` those and
        `mc_logits` `(b,)`, the score of each row as one of several answers, read at its last real
        token; `logits` `(b, c)`, read there too, for `classification`; `logits` `(b, t, c)` for
        `token_classification`; `start_logits` and `end_logits`, `(b, t)`, for `question_answering`;
        nothing for `none`.
    """
    std = config.initializer_range
    match config.head:
        case "causal_lm":
            return {"logits": logits(x_btd)}
        case "double_heads":
            x_bd = pooling.last(x_btd, padding_mask_bt)
            x_bd = keras.layers.Dropout(config.choice_dropout, name="choice_dropout")(x_bd)
            return {"logits": logits(x_btd), "mc_logits": scores(1, std, "choice")(x_bd)[:, 0]}
        case "classification":
            # Scored first: the vector that is picked out is that of few classes, not of the width.
            logits_btc = scores(config.num_labels, std, "score", use_bias=False)(x_btd)
            return {"logits": pooling.last(logits_btc, padding_mask_bt)}
        case "token_classification":
            return {"logits": classes(x_btd, config.num_labels, config.head_dropout, std)}
        case "question_answering":
            return spans(x_btd, std)
    return {}
