"""Each rule over many steps beside its paper's algorithm in NumPy, and beside PyTorch's."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.testing.conformance import near
from tfzoo.train import update_rules
from tfzoo.train.optimizers import Optimizer
from tfzoo.train.rates import Rate
from tfzoo.train.schedules import Schedule

SHAPES = {"hidden/kernel": (5, 4), "hidden/bias": (4,), "block_0/attention/qkv/kernel": (4, 6)}
DECAY = 0.1
STEPS = 12
SCHEDULE = Schedule(0.05, 3, STEPS + 1, "linear")


def begin():
    """The weights, and their gradients at each step, which grow and shrink."""
    chance = np.random.default_rng(5)
    weights = {path: chance.normal(size=shape) for path, shape in SHAPES.items()}
    gradients = [
        {p: chance.normal(size=s) * 10.0 ** chance.integers(-3, 2) for p, s in SHAPES.items()}
        for _ in range(STEPS)
    ]
    return weights, gradients


def train(rule, paths=tuple(SHAPES)):
    """The weights after all steps; the bias does not decay."""
    weights, gradients = begin()
    variables = []
    for path in paths:
        *scopes, name = path.split("/")
        with contextlib.ExitStack() as within:
            for scope in scopes:
                within.enter_context(keras.name_scope(scope))
            variables.append(keras.Variable(weights[path].astype("float32"), name=name))
    how = {v.path: Rate(decays="bias" not in v.path) for v in variables}
    optimizer = Optimizer(rule, SCHEDULE, DECAY, how, "rule")
    optimizer.build(variables)
    step = tf.function(lambda found: optimizer.apply(found, variables))
    for found in gradients:
        step([tf.constant(found[path], tf.float32) for path in paths])
    return {v.path: np.array(v) for v in variables}


def expected(algorithm, apart=True):
    """The same in float64. `algorithm(w, g, state, t, rate, decay) -> w`; qkv is three weights."""
    weights, gradients = begin()
    found = {}
    for path, weight in weights.items():
        parts = 3 if "qkv" in path and apart else 1
        made = []
        for part, w in enumerate(np.split(weight, parts, -1)):
            state = {}
            for i, all_gradients in enumerate(gradients):
                g = np.split(all_gradients[path], parts, -1)[part]
                decay = None if "bias" in path else DECAY
                w = algorithm(w, g, state, i + 1, float(SCHEDULE(i)), decay)
            made.append(w)
        found[path] = np.concatenate(made, -1)
    return found


def adam_direction(g, state, t, beta_1, beta_2, epsilon):
    m = state["m"] = beta_1 * state.get("m", 0) + (1 - beta_1) * g
    v = state["v"] = beta_2 * state.get("v", 0) + (1 - beta_2) * g**2
    return m / (1 - beta_1**t) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)


def adamw(w, g, state, t, rate, decay):
    return w - rate * (adam_direction(g, state, t, 0.8, 0.98, 0.01) + (decay or 0) * w)


def lamb(w, g, state, t, rate, decay):
    direction = adam_direction(g, state, t, 0.9, 0.999, 1e-6)
    if decay is not None:
        direction = direction + decay * w
        direction = direction * np.linalg.norm(w) / np.linalg.norm(direction)
    return w - rate * direction


def lion(w, g, state, t, rate, decay):
    m = state.get("m", np.zeros_like(g))
    state["m"] = 0.98 * m + 0.02 * g
    return w - rate * (np.sign(0.8 * m + 0.2 * g) + (decay or 0) * w)


def root_mean_square(x):
    return np.sqrt(np.mean(x**2))


def adafactor(w, g, state, t, rate, decay, beta=None, epsilon=1e-30):
    beta, square = 1 - t**-0.8 if beta is None else beta, g**2 + epsilon
    rate = rate * max(1e-3, root_mean_square(w))
    if g.ndim == 2:  # algorithm 4 with sums, not means
        r = state["r"] = beta * state.get("r", 0) + (1 - beta) * square.sum(1)
        c = state["c"] = beta * state.get("c", 0) + (1 - beta) * square.sum(0)
        v = np.outer(r, c) / r.sum()
    else:
        v = state["v"] = beta * state.get("v", 0) + (1 - beta) * square
    update = g / np.sqrt(v)
    update = update / max(1, root_mean_square(update))
    return w - rate * (update + (decay or 0) * w)


def adafactor_of_beta_2(w, g, state, t, rate, decay):
    beta = 0.95 * (1 - 0.95 ** (t - 1)) / (1 - 0.95**t)
    return adafactor(w, g, state, t, rate, decay, beta, 0.01)


def sgd(w, g, state, t, rate, decay):
    m = state["m"] = 0.9 * state.get("m", 0) + g
    return w - rate * (m + (decay or 0) * w)


def nesterov(w, g, state, t, rate, decay):
    m = state["m"] = 0.8 * state.get("m", 0) + g
    return w - rate * (g + 0.8 * m + (decay or 0) * w)


def plain(w, g, state, t, rate, decay):
    return w - rate * (g + (decay or 0) * w)


def signs(w, g, state, t, rate, decay):
    return w - rate * (np.sign(g) + (decay or 0) * w)


@pytest.mark.parametrize(
    ("rule", "algorithm"),
    [
        (update_rules.AdamW(0.8, 0.98, 0.01), adamw),
        (update_rules.Lamb(), lamb),
        (update_rules.Lion(0.8, 0.98), lion),
        (update_rules.Lion(0.0, 0.0), signs),
        (update_rules.Adafactor(), adafactor),
        (update_rules.Adafactor(beta_2=0.95, epsilon=0.01), adafactor_of_beta_2),
        (update_rules.Sgd(), sgd),
        (update_rules.Sgd(0.8, nesterov=True), nesterov),
        (update_rules.Sgd(0.0), plain),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_many_steps_are_those_of_the_paper(rule, algorithm):
    found = train(rule)
    for path, weight in expected(algorithm).items():
        near(found[path], weight, 3e-6)


def test_what_is_not_given_is_the_papers():
    assert update_rules.AdamW() == update_rules.AdamW(0.9, 0.999, 1e-8)
    assert update_rules.Lamb() == update_rules.Lamb(0.9, 0.999, 1e-6)
    assert update_rules.Lion() == update_rules.Lion(0.9, 0.99)
    assert update_rules.Adafactor() == update_rules.Adafactor(None, None, 1e-30, 1e-3, 1.0)


@pytest.mark.parametrize("algorithm", [lamb, adafactor], ids=["lamb", "adafactor"])
def test_a_fused_weight_learns_as_its_parts_do_and_not_as_one(algorithm):
    path = "block_0/attention/qkv/kernel"
    found = train(update_rules.RULES[algorithm.__name__](), (path,))[path]
    near(found, expected(algorithm)[path], 3e-6)
    assert np.abs(found - expected(algorithm, apart=False)[path]).max() > 1e-3


@pytest.mark.parametrize("rule", [update_rules.AdamW, update_rules.Adafactor])
def test_no_memory_of_squares_at_all_is_refused(rule):
    with pytest.raises(UserError, match=r"Received: beta_2=0\.0"):
        rule(beta_2=0.0)


def test_adafactor_remembers_a_row_and_a_column_and_nothing_else():
    slots = update_rules.Adafactor().slots((512, 1536), 3)
    assert slots == {"row": (3, 512), "column": (3, 512)}
    assert update_rules.Adafactor().slots((512,), 1) == {"velocity": (1, 512)}
    assert update_rules.Adafactor().slots((), 1) == {"velocity": (1,)}


@pytest.mark.parity
@pytest.mark.parametrize("beta_1", [None, 0.9])
def test_adafactor_is_that_of_transformers(beta_1):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    found = train(update_rules.Adafactor(beta_1=beta_1))
    weights, gradients = begin()
    parts = {}
    for path, weight in weights.items():
        pieces = np.split(weight, 3 if "qkv" in path else 1, -1)
        parts[path] = [torch.nn.Parameter(torch.tensor(p, dtype=torch.float32)) for p in pieces]
    groups = [
        {"params": parameters, "weight_decay": 0.0 if "bias" in path else DECAY}
        for path, parameters in parts.items()
    ]
    theirs = transformers.Adafactor(
        groups, lr=0.1, scale_parameter=True, relative_step=False, warmup_init=False, beta1=beta_1
    )
    for i, step in enumerate(gradients):
        for group in theirs.param_groups:
            group["lr"] = float(SCHEDULE(i))
        for path, parameters in parts.items():
            pieces = np.split(step[path], len(parameters), -1)
            for parameter, piece in zip(parameters, pieces, strict=True):
                parameter.grad = torch.tensor(piece, dtype=torch.float32)
        theirs.step()
    for path, parameters in parts.items():
        near(found[path], np.concatenate([p.detach().numpy() for p in parameters], -1), 3e-6)
