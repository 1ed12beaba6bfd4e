"""Beam search: several texts of each row at once, of which the best are kept.

Checked against transformers 5.23 (generation/utils.py, `_beam_search`), whose rules these are. Its
loop ends for all rows at once; here a row takes no more texts from where it would have ended alone.
Groups of beams are those of Vijayakumar et al. 2016, "Diverse Beam Search",
https://arxiv.org/abs/1610.02424, Hamming diversity, each a beam search of its own otherwise.

Axes: b rows, k beams of a row, m beams of one group, c candidates, h tokens of prompt and text.
"""

from typing import Any

import tensorflow as tf

from tfzoo.decoding import loop, processors, sampling, stops
from tfzoo.decoding.loop import Plan, State

_IMPOSSIBLE = -1e9
# What there is of each text that has ended.
_DONE = ("ids", "scores", "lengths", "there", "beam_indices")


def search(plan: Plan) -> dict[str, tf.Tensor]:
    """Writes `num_return_sequences` texts for each row; see `tfzoo.decoding.generate`.

    With `output_scores` there is also `beam_indices` `(b, n, t)`: in which beam of `step_scores`
    `(b, k, t, v)` each token was scored, -1 behind the end.
    """
    count = plan.config.num_beams
    x_bpd, caches = plan.begun()
    logits_bv = plan.model.logits(plan.last(x_bpd))[:, 0]
    beams = plan.copies(count)
    logits_nv, caches = loop.repeated((logits_bv, caches), count)
    state = _advanced(plan, logits_nv, {**_start(plan, beams.history()), "caches": caches})

    def step(state: State) -> State:
        place = beams.place(state["written"], beams.parameters)
        last_n1 = tf.reshape(state["last"], [-1, 1])
        logits_n1v, caches = plan.model.step(
            last_n1, state["caches"], place, beams.encoder_padding_mask
        )
        return _advanced(plan, logits_n1v[:, 0], {**state, "caches": caches})

    state = loop.run(lambda state: ~tf.reduce_all(state["ended"]), step, state)
    return _best(plan, state)


def _start(plan: Plan, ids_nh: tf.Tensor) -> State:
    """Nothing is written yet. Only the first beam of each group counts: all are alike."""
    config = plan.config
    beams, groups = config.num_beams, config.num_beam_groups
    rows = tf.shape(plan.prompt_bp)[0]
    ids_bkh = tf.reshape(ids_nh, [rows, beams, tf.shape(ids_nh)[1]])
    scores_k = [0.0 if beam % (beams // groups) == 0 else _IMPOSSIBLE for beam in range(beams)]
    scores_bk = tf.tile([scores_k], [rows, 1])
    zeros_bk = tf.zeros_like(scores_bk, tf.int32)
    running = {"ids": ids_bkh, "scores": scores_bk}
    done = {"ids": ids_bkh, "scores": tf.fill([rows, beams], _IMPOSSIBLE)}
    done |= {"lengths": zeros_bk, "there": zeros_bk > 0}
    if plan.stops is not None:
        running["stop"] = zeros_bk
    if config.output_scores:
        running["beam_indices"] = tf.fill([rows, beams, plan.width], -1)
        done["beam_indices"] = running["beam_indices"]
    ended_bg = tf.zeros([rows, groups], tf.bool)
    state = {"written": tf.constant(0), "last": zeros_bk, "ended": ended_bg}
    return {**state, "running": running, "done": done, **loop.steps(plan)}


def _advanced(plan: Plan, logits_nv: tf.Tensor, state: State) -> State:
    """The state after one more token of each beam."""
    config, i = plan.config, state["written"]
    rows = tf.shape(plan.prompt_bp)[0]
    size = logits_nv.shape[-1] or tf.shape(logits_nv)[-1]
    logs_bkv = tf.reshape(tf.nn.log_softmax(logits_nv), [rows, config.num_beams, size])
    width = config.num_beams // config.num_beam_groups
    grouped = plan.copies(width)
    parts, taken_bv = [], tf.zeros([rows, size])
    for group in range(config.num_beam_groups):
        beams = slice(group * width, (group + 1) * width)
        part = {key: {k: v[:, beams] for k, v in state[key].items()} for key in ("running", "done")}
        part |= {"written": i, "ended": state["ended"][:, group], "group": group}
        logs_bmv = logs_bkv[:, beams]
        if group:
            logs_bmv -= config.diversity_penalty * taken_bv[:, None]
        part = _group(plan, grouped, logs_bmv, part)
        if group < config.num_beam_groups - 1:
            taken_bv += tf.reduce_sum(tf.one_hot(part["last"], size), 1)
        part["from"] += group * width
        parts.append(part)
    names = ("last", "from", "processed", "running", "done")
    new = tf.nest.map_structure(
        lambda *x: tf.concat(x, 1), *({name: part[name] for name in names} for part in parts)
    )
    from_n = tf.reshape(new["from"] + tf.range(rows)[:, None] * config.num_beams, [-1])
    following = {**state, "written": i + 1, "last": new["last"]}
    following |= {"running": new["running"], "done": new["done"]}
    following["ended"] = tf.stack([part["ended"] for part in parts], 1)
    following["caches"] = loop.reordered(state["caches"], from_n)
    scores_nv = tf.reshape(new["processed"], [-1, size])
    return following | loop.recorded(state, step_scores=scores_nv, logits=logits_nv)


def _group(plan: Plan, grouped: Plan, logs_bmv: tf.Tensor, part: State) -> State:
    """One more token of the beams of a group, and what has ended with it."""
    config, i, running = plan.config, part["written"], part["running"]
    rows, width, size = (tf.shape(logs_bmv)[axis] for axis in range(3))
    logs_bmv = _scores(grouped, logs_bmv, running["ids"], i)
    sums_bn = tf.reshape(logs_bmv + running["scores"][:, :, None], [rows, width * size])
    ranks_bn = sums_bn
    if plan.samples:
        ranks_bn += _noise(plan, sums_bn, i, part["group"])
    beams = config.num_beams // config.num_beam_groups
    # As many that not all can be ends.
    count = tf.minimum(max(2, 1 + len(config.eos_ids)) * beams, width * size)
    chosen_bc = tf.math.top_k(ranks_bn, count).indices
    from_bc, token_bc = chosen_bc // size, chosen_bc % size
    candidates = {name: _picked(value, from_bc) for name, value in running.items()}
    candidates["scores"] = _picked(sums_bn, chosen_bc)
    candidates["ids"] = _put(candidates["ids"], plan.parameters["prompt_lengths"] + i, token_bc)
    limits_b1 = tf.reshape(plan.parameters["max_new_tokens"], [-1, 1])
    ends_bc = loop.ends(plan, token_bc) | (i + 1 >= limits_b1)
    if plan.stops is not None:
        candidates["stop"], found_bc = stops.after(plan.stops, candidates["stop"], token_bc)
        ends_bc |= found_bc
    if "beam_indices" in candidates:
        place_bc = from_bc + part["group"] * beams
        candidates["beam_indices"] = _put(candidates["beam_indices"], i, place_bc)

    open_bc = candidates["scores"] + tf.where(ends_bc, _IMPOSSIBLE, 0.0)
    scores_bm, next_bm = tf.math.top_k(open_bc, beams)
    following = {name: _picked(value, next_bm) for name, value in candidates.items()}
    following["scores"] = scores_bm
    done = _finished(plan, part, candidates, ends_bc)
    found = {"running": following, "done": done, "processed": logs_bmv}
    found |= {"last": _picked(token_bc, next_bm), "from": _picked(from_bc, next_bm)}
    hopeless_b = _is_hopeless(plan, scores_bm, done, i + 1)
    if config.early_stopping is True:
        hopeless_b |= tf.reduce_all(done["there"], 1)
    found["ended"] = part["ended"] | hopeless_b | tf.reduce_all(ends_bc, 1)
    return found


def _scores(grouped: Plan, logs_bmv: tf.Tensor, ids_bmh: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
    """What the next tokens of each beam add to its score."""
    config, parameters = grouped.config, grouped.parameters
    ids_nh = tf.reshape(ids_bmh, [-1, tf.shape(ids_bmh)[2]])
    logs_nv = tf.reshape(logs_bmv, [-1, logs_bmv.shape[2] or tf.shape(logs_bmv)[2]])
    scores_nv = processors.processed(logs_nv, config, parameters, ids_nh, i)
    if grouped.samples:
        keep = len(config.eos_ids or (0,)) + 1
        warped_nv = sampling.warped(scores_nv, parameters, keep)
        scores_nv = tf.where(tf.reshape(parameters["do_sample"], [-1, 1]), warped_nv, scores_nv)
    if config.renormalize_logits:
        scores_nv = tf.nn.log_softmax(scores_nv)
    return tf.reshape(scores_nv, tf.shape(logs_bmv))


def _noise(plan: Plan, sums_bn: tf.Tensor, i: tf.Tensor, group: int) -> tf.Tensor:
    """What makes the largest sums a draw without replacement by their softmax: Gumbel noise
    (Kool et al. 2019, https://arxiv.org/abs/1903.06059, section 2.3).
    """
    rows, size = tf.unstack(tf.shape(sums_bn))
    seeds_b = tf.broadcast_to(plan.parameters["seed"], [rows])
    uniform_bn = sampling.uniform(seeds_b, i, group, tf.range(size))
    draws_b1 = tf.reshape(plan.parameters["do_sample"], [-1, 1])
    return tf.where(draws_b1, -tf.math.log(-tf.math.log(uniform_bn)), 0.0)


def _finished(plan: Plan, part: State, candidates: State, ends_bc: tf.Tensor) -> State:
    """The best texts that have ended, with those that end now; none more where the row has ended.

    Only the best candidates, as many as there are beams, may end: the others are there to go on.
    """
    done, length = part["done"], part["written"] + 1
    columns_c = tf.range(tf.shape(ends_bc)[1])
    ends_bc &= columns_c < plan.config.num_beams // plan.config.num_beam_groups
    scores_bc = candidates["scores"] / tf.cast(length, tf.float32) ** plan.config.length_penalty
    new = {
        **candidates,
        "scores": scores_bc + tf.where(ends_bc, 0.0, _IMPOSSIBLE),
        "lengths": tf.fill(tf.shape(ends_bc), length),
        "there": ends_bc,
    }
    merged = {name: tf.concat([done[name], new[name]], 1) for name in _DONE if name in done}
    _, best_bm = tf.math.top_k(merged["scores"], tf.shape(done["scores"])[1])
    found = {}
    for name, value in merged.items():
        ended = tf.reshape(part["ended"], [-1, *[1] * (value.shape.rank - 1)])
        found[name] = tf.where(ended, done[name], _picked(value, best_bm))
    return found


def _is_hopeless(plan: Plan, scores_bm: tf.Tensor, done: State, length: tf.Tensor) -> tf.Tensor:
    """Whether no running beam of a row is expected to get among its best, `(b,)`."""
    config, longest = plan.config, tf.reshape(length, [1])
    if config.early_stopping == "never" and config.length_penalty > 0:
        longest = tf.reshape(plan.parameters["max_new_tokens"], [-1])
    hoped_b = scores_bm[:, 0] / tf.cast(longest, tf.float32) ** config.length_penalty
    worst_b = tf.reduce_min(done["scores"], 1)
    return tf.reduce_all(done["there"] & (hoped_b <= worst_b)[:, None], 1)


def _best(plan: Plan, state: State) -> dict[str, tf.Tensor]:
    """The best texts of each row, whichever group they are of."""
    done, count = state["done"], plan.config.num_return_sequences
    scores_bn, best_bn = tf.math.top_k(done["scores"], count)
    best = {name: _picked(value, best_bn) for name, value in done.items()}
    lengths_n = tf.reshape(best["lengths"], [-1])
    ids_nh = tf.reshape(best["ids"], [-1, tf.shape(best["ids"])[2]])
    ids_nt = loop.found(plan.copies(count), ids_nh, lengths_n)
    rows = tf.shape(scores_bn)[0]
    found = {"token_ids": tf.reshape(ids_nt, [rows, count, plan.width])}
    found |= {"lengths": best["lengths"], "scores": scores_bn}
    if "beam_indices" in best:
        found["beam_indices"] = best["beam_indices"]
    for name, steps_ntv in loop.stacked(state, plan.width).items():
        shape = tf.concat([[rows, plan.config.num_beams], tf.shape(steps_ntv)[1:]], 0)
        found[name] = tf.reshape(steps_ntv, shape)
    return found


def _picked(value: tf.Tensor, places_bn: tf.Tensor) -> tf.Tensor:
    """Of each row those of `value`, `(b, k, ...)`, that stand at some places."""
    return tf.gather(value, places_bn, batch_dims=1)


def _put(value_bch: tf.Tensor, places: Any, new_bc: tf.Tensor) -> tf.Tensor:
    """Puts one of each candidate at a row's place."""
    there_b1h = tf.range(tf.shape(value_bch)[2]) == tf.reshape(places, [-1, 1, 1])
    return tf.where(there_b1h, new_bc[:, :, None], value_bch)
