"""Contrastive search: a likely token that is unlike what was written.

Source: Su et al. 2022, "A Contrastive Framework for Neural Text Generation", equation 5,
https://arxiv.org/abs/2202.06417. As in the last transformers that had it (4.x), what was written
includes the prompt, and vectors are those behind the last norm.
"""

import tensorflow as tf

from tfzoo.decoding import loop, processors
from tfzoo.decoding.loop import Plan, State


def search(plan: Plan) -> dict[str, tf.Tensor]:
    """Writes one text for each row; see `tfzoo.decoding.generate`.

    Each token is the one, among the `top_k` most likely, with the largest
    `(1 - penalty_alpha) * probability - penalty_alpha * likeness`: the largest cosine of the vector
    that it would have and those of all tokens before it.
    """
    count = plan.config.top_k
    many = plan.copies(count)
    x_bpd, caches = plan.begun()
    state = {
        **loop.start(plan),
        "next": plan.model.logits(plan.last(x_bpd))[:, 0],
        "seen": tf.pad(_unit(x_bpd), [[0, 0], [0, plan.width], [0, 0]]),
        "caches": loop.repeated(caches, count),
    }

    def step(state: State) -> State:
        i, rows = state["written"], tf.shape(state["last"])[0]
        scores_bv = processors.processed(
            state["next"], plan.config, plan.parameters, state["ids"], i
        )
        likely_bk, token_bk = tf.math.top_k(tf.nn.softmax(scores_bv), count)
        place = many.place(i + 1, many.parameters)
        x_n1d, caches = plan.model.read(
            tf.reshape(token_bk, [-1, 1]), state["caches"], place, many.encoder_padding_mask
        )
        unit_bkd = tf.reshape(_unit(x_n1d), [rows, count, x_n1d.shape[2]])
        best_b = _best(plan, likely_bk, unit_bkd, state["seen"], i)
        from_n = tf.repeat(best_b + tf.range(rows) * count, count)
        chosen_b1d = tf.gather(x_n1d, from_n[::count])
        written = plan.parameters["prompt_lengths"] + i
        there_bh1 = (tf.range(tf.shape(state["seen"])[1]) == tf.reshape(written, [-1, 1]))[
            ..., None
        ]
        following = {
            **loop.accepted(plan, state, tf.gather(token_bk, best_b, batch_dims=1)),
            "next": plan.model.logits(chosen_b1d)[:, 0],
            "seen": tf.where(there_bh1, _unit(chosen_b1d), state["seen"]),
            "caches": loop.reordered(caches, from_n),
        }
        return following | loop.recorded(state, step_scores=scores_bv, logits=state["next"])

    state = loop.run(lambda state: ~tf.reduce_all(state["ended"]), step, state)
    return loop.results(plan, state, 1)


def _best(
    plan: Plan, likely_bk: tf.Tensor, unit_bkd: tf.Tensor, seen_bhd: tf.Tensor, i: tf.Tensor
) -> tf.Tensor:
    """Which candidate of each row is taken, `(b,)`."""
    alpha = plan.config.penalty_alpha
    lengths_b11 = tf.reshape(plan.parameters["prompt_lengths"] + i, [-1, 1, 1])
    there_b1h = tf.range(tf.shape(seen_bhd)[1]) < lengths_b11
    cosine_bkh = tf.matmul(unit_bkd, seen_bhd, transpose_b=True)
    likeness_bk = tf.reduce_max(tf.where(there_b1h, cosine_bkh, -1.0), 2)
    return tf.argmax((1 - alpha) * likely_bk - alpha * likeness_bk, 1, tf.int32)


def _unit(x_btd: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(tf.cast(x_btd, tf.float32), -1)
