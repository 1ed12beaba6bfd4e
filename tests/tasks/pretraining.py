"""A small text, a tokenizer for every objective, and a run of a few steps, for the tests of tasks.

The text says little, so that a tiny model learns something of it in a dozen steps.
"""

import random

from tests.train.tiny import points
from tfzoo import tasks
from tfzoo.core import experiment
from tfzoo.train import run as training

WORDS = "the cat dog sees hears a bird fish and then sleeps".split()
SENTINELS = [f"<extra_id_{i}>" for i in range(8)]
VOCABULARY = ("[PAD]", "</s>", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "<mask>", *SENTINELS,
              *WORDS, "##s", ".")  # fmt: skip
EOS = 1
SIZES = {"width": 16, "initializer_range": 0.1}
ENCODER = {**SIZES, "num_layers": 2, "num_heads": 2, "feed_forward_dim": 32, "max_length": 24}
SIDES = {f"num_{side}_layers": 1 for side in ("encoder", "decoder")}
DROPOUTS = ("dropout", "attention_dropout")
NO_DROPOUT = dict.fromkeys(DROPOUTS, 0.0)


def documents(count=40, seed=1):
    """Texts of two to four sentences."""
    chance = random.Random(seed)

    def sentence():
        one, two = chance.choices(("cat", "dog", "bird", "fish"), k=2)
        return f"The {one} {chance.choice(('sees', 'hears'))} a {two} and then the {one} sleeps."

    return [" ".join(sentence() for _ in range(chance.randint(2, 4))) for _ in range(count)]


def write_texts(folder):
    """A file of the documents, one after the other."""
    path = folder / "texts.txt"
    path.write_text("\n\n".join(documents()))
    return path


def tokenizer():
    """It has the special tokens of all families."""
    from tfzoo.text.wordpiece import WordPiece

    return WordPiece(VOCABULARY)


def make(folder, task, data, model, **train):
    """An experiment of a task on the text, or on what `data` says."""
    vocabulary = folder / "vocabulary"
    if not vocabulary.exists():
        vocabulary.mkdir()
        tokenizer().save(vocabulary)
        write_texts(folder)
    if "train" not in data:
        data = {"texts": {"train": str(folder / "texts.txt"), "evaluate_share": 0.2}, **data}
    defaults = {"duration": "12 steps", "batch_size": 8, "learning_rate": 1e-2, "log_every": 3}
    quiet = {"graph": False, "pictures": False, "samples": 0, "layers": False}
    values = {
        "task": task,
        "data": data,
        "model": {"tokenizer": str(vocabulary), **model},
        "train": {"evaluate_every": "6 steps", "tensorboard": quiet, **defaults, **train},
    }
    return experiment.check(values, tasks.trainable(task).Data)


def check_learns(folder, task, data, model, **train):
    """Runs; the training loss falls. Returns the summary."""
    summary = training.run(make(folder, task, data, model, **train), folder / "run")
    losses = [p["loss"] for p in points(folder / "run") if p["kind"] == "train"]
    if not losses[-1] < 0.95 * losses[0]:
        raise AssertionError(f"The loss did not fall: {losses}.")
    return summary
