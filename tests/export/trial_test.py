"""The child process: it has no TensorFlow to lean on, and its end is always noticed."""

import pytest

from tfzoo.export import trial
from tfzoo.export.verify import timed_request


def test_a_folder_that_is_no_model_ends_the_trial(tmp_path, tiny_task):
    with pytest.raises(trial.TrialError, match="no SavedModel there"):
        trial.run(tmp_path, [], timed_request(tiny_task), print)


def test_a_child_that_hangs_is_given_up(copied, tiny_task):
    with pytest.raises(trial.TrialError, match="no answer within 0 s"):
        trial.run(copied, [], timed_request(tiny_task), print, timeout_seconds=0.05)
