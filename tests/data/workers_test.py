"""Tasks run here or in other processes, with the same results."""

import os

import pytest

from tfzoo.data import workers


def test_one_worker_is_this_process():
    with workers.start(1) as run:
        assert list(run(lambda _: os.getpid(), [1])) == [os.getpid()]


@pytest.mark.slow
def test_several_workers_are_other_processes_whose_errors_arrive():
    with workers.start(2) as run:
        assert sorted(run(abs, [-1, -2, -3])) == [1, 2, 3]
        assert os.getpid() not in set(run(_pid, [0]))
        with pytest.raises(ZeroDivisionError):
            list(run(_divide, [0]))


def _pid(_):
    return os.getpid()


def _divide(number):
    return 1 / number
