"""One text at a time: the most likely token, or a drawn one, again and again."""

from typing import Any

import tensorflow as tf

from tfzoo.decoding import loop, processors, sampling
from tfzoo.decoding.loop import Plan, State


def search(plan: Plan) -> dict[str, tf.Tensor]:
    """Writes `num_return_sequences` texts for each row; see `tfzoo.decoding.generate`."""
    count = plan.config.num_return_sequences
    x_bpd, caches = plan.begun()
    logits_bv = plan.model.logits(plan.last(x_bpd))[:, 0]
    copies_b = tf.tile(tf.range(count), tf.shape(plan.prompt_bp)[:1]) if count > 1 else 0
    plan = plan.copies(count)
    logits_bv, caches = loop.repeated((logits_bv, caches), count)
    state = _chosen(plan, copies_b, logits_bv, {**loop.start(plan), "caches": caches})

    def step(state: State) -> State:
        place = plan.place(state["written"], plan.parameters)
        logits_b1v, caches = plan.model.step(
            state["last"][:, None], state["caches"], place, plan.encoder_padding_mask
        )
        return _chosen(plan, copies_b, logits_b1v[:, 0], {**state, "caches": caches})

    state = loop.run(lambda state: ~tf.reduce_all(state["ended"]), step, state)
    return loop.results(plan, state, count)


def _chosen(plan: Plan, copies_b: Any, logits_bv: tf.Tensor, state: State) -> State:
    """The state after the next token."""
    config, parameters, i = plan.config, plan.parameters, state["written"]
    scores_bv = processors.processed(logits_bv, config, parameters, state["ids"], i)
    if plan.samples:
        draws_b = tf.broadcast_to(parameters["do_sample"], tf.shape(state["last"]))
        draws_b &= parameters.get("temperature", 1.0) > 0.0
        warped_bv = sampling.warped(scores_bv, parameters)
        scores_bv = tf.where(draws_b[:, None], warped_bv, scores_bv)
    if config.renormalize_logits:
        scores_bv = tf.nn.log_softmax(scores_bv)
    token_b = tf.argmax(scores_bv, 1, tf.int32)
    if plan.samples:
        drawn_b = sampling.drawn(scores_bv, parameters["seed"], i, copies_b)
        token_b = tf.where(draws_b, drawn_b, token_b)
    following = loop.accepted(plan, state, token_b)
    return following | loop.recorded(state, step_scores=scores_bv, logits=logits_bv)
