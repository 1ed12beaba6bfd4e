"""The rate of each step: by hand, and beside transformers'."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.core.errors import UserError
from tfzoo.core.experiment import TrainChoice
from tfzoo.testing.conformance import near
from tfzoo.train import schedules
from tfzoo.train.schedules import Schedule

SHAPES = ("constant", "linear", "cosine", "polynomial", "inverse_square_root")


def rates(warmup, total, shape="linear", **options):
    schedule = Schedule(2.0, warmup, total, shape, **options)
    return [float(schedule(step)) for step in range(total)]


def test_the_rate_rises_in_a_line_and_falls_in_a_line():
    near(rates(4, 8), [0.5, 1.0, 1.5, 2.0, 2.0, 1.5, 1.0, 0.5], 1e-7)
    near(rates(0, 4), [2.0, 1.5, 1.0, 0.5], 1e-7)
    near(rates(4, 4), [0.5, 1.0, 1.5, 2.0], 1e-7)
    near(rates(2, 5, "constant"), [1.0, 2.0, 2.0, 2.0, 2.0], 1e-7)


def test_the_other_shapes_fall_as_they_say():
    near(rates(1, 5, "cosine"), [2.0, 2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)], 1e-6)
    near(rates(1, 5, "polynomial", power=2.0), [2.0, 2.0, 1.125, 0.5, 0.125], 1e-7)
    near(rates(2, 5, "polynomial"), rates(2, 5, "linear"), 1e-7)
    expected = [1.0, 2.0, *(2 * math.sqrt(2 / n) for n in (3, 4, 5))]
    near(rates(2, 5, "inverse_square_root"), expected, 1e-6)


@pytest.mark.parametrize("shape", ["linear", "cosine", "polynomial"])
def test_the_rate_ends_at_its_final_share_and_stays_there(shape):
    schedule = Schedule(2.0, 2, 6, shape, power=3.0, final=0.25)
    assert float(schedule(5)) > 0.5
    near([schedule(6), schedule(100)], [0.5, 0.5], 1e-7)
    near(schedule(2), 2.0, 1e-7)
    assert float(Schedule(2.0, 2, 6, shape)(6)) == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("warmup", [0, 1, 5, 20])
def test_no_step_of_the_training_has_the_rate_0(shape, warmup):
    found = rates(warmup, 20, shape)
    assert min(found) > 0
    near(max(found), 2.0, 1e-6)


def test_the_inverse_square_root_is_the_transformers_formula():
    width, warmup = 512, 40
    ours = Schedule((width * warmup) ** -0.5, warmup, 400, "inverse_square_root")
    for n in (1, 2, 39, 40, 41, 400):  # section 5.3 counts steps from 1
        near(ours(n - 1), width**-0.5 * min(n**-0.5, n * warmup**-1.5), 1e-6)


def test_the_inverse_square_root_without_a_warm_up_is_that_of_t5():
    ours = Schedule(0.01, 0, 2**19, "inverse_square_root")
    for n in (1, 9_999, 10_000, 10_001, 2**19):
        near(ours(n - 1), 1 / math.sqrt(max(n, 10_000)), 1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_schedule_is_the_same_in_a_graph_and_after_its_config(shape):
    schedule = Schedule(2.0, 3, 12, shape, 2.0, 0.1)
    again = Schedule.from_config(schedule.get_config())
    graph = tf.function(lambda step: again(step), jit_compile=True)
    for step in (0, 2, 3, 7):
        near(graph(tf.constant(step, tf.int64)), schedule(step), 1e-6)


def test_a_warm_up_longer_than_the_training_is_refused():
    choice = TrainChoice(warmup="20 steps")
    with pytest.raises(UserError, match=r"train\.warmup is longer.*20 of 10 steps"):
        schedules.schedule(choice, 5, 10)


def test_an_experiment_says_every_part_of_its_schedule():
    choice = TrainChoice(
        warmup="10%",
        learning_rate=1e-3,
        schedule="polynomial",
        schedule_power=0.5,
        final_rate=0.2,
    )
    assert schedules.schedule(choice, 50, 100).get_config() == {
        "peak": 1e-3,
        "warmup_steps": 10,
        "total_steps": 100,
        "shape": "polynomial",
        "power": 0.5,
        "final": 0.2,
    }


def test_a_field_that_the_schedule_has_no_use_for_is_refused():
    with pytest.raises(UserError, match=r"schedule_power is for train\.schedule=polynomial"):
        schedules.schedule(TrainChoice(schedule_power=2.0), 5, 10)
    with pytest.raises(UserError, match=r"final_rate is for .*Received: train\.final_rate=0\.1"):
        schedules.schedule(TrainChoice(schedule="constant", final_rate=0.1), 5, 10)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("shape", "name", "options"),
    [
        ("linear", "get_linear_schedule_with_warmup", {}),
        ("cosine", "get_cosine_schedule_with_warmup", {}),
        ("cosine", "get_cosine_with_min_lr_schedule_with_warmup", {"min_lr_rate": 0.1}),
        ("polynomial", "get_polynomial_decay_schedule_with_warmup", {"power": 3.0, "lr_end": 0.2}),
        ("constant", "get_constant_schedule_with_warmup", None),
        ("inverse_square_root", "get_inverse_sqrt_schedule", None),
    ],
)
def test_the_rates_are_those_of_transformers(shape, name, options):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    warmup, total = 7, 30
    length = {} if options is None else {"num_training_steps": total}
    options = options or {}
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    theirs = getattr(transformers, name, None) or getattr(transformers.optimization, name)
    scheduler = theirs(sgd, num_warmup_steps=warmup, **length, **options)
    found = []
    for _ in range(total + 1):
        found.append(scheduler.get_last_lr()[0])
        sgd.step()
        scheduler.step()
    final = options.get("min_lr_rate", options.get("lr_end", 0.0) / 2.0)
    ours = Schedule(2.0, warmup, total, shape, options.get("power", 1.0), final)
    found_here = np.array([float(ours(step)) for step in range(total)])
    near(found_here[:warmup], found[1 : warmup + 1], 1e-6)  # theirs begins with a step at 0
    later = 1 if shape == "inverse_square_root" else 0
    near(found_here[warmup:], found[warmup + later : total + later], 1e-6)
