"""A tiny experiment on a tiny file, for the tests of the trainer."""

import json
import os
import pathlib
import random
import subprocess
import sys

from tfzoo.core import experiment
from tfzoo.tasks.classification import Data

ROOT = pathlib.Path(__file__).parents[2]
WORDS = {
    "animal": ("cat", "dog", "horse", "cow"),
    "metal": ("iron", "gold", "zinc", "tin"),
    "plant": ("oak", "rose", "fern", "moss"),
}
FIELDS = {
    "num_layers": 1,
    "num_heads": 2,
    "width": 16,
    "feed_forward_dim": 32,
    "max_length": 12,
    "initializer_range": 0.2,
}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "head_dropout": 0.0}


def write_rows(path, count=45):
    """A file of `count` rows: few words and three classes."""
    chance = random.Random(1)
    lines = []
    for i in range(count):
        label = list(WORDS)[i % 3]
        words = (chance.choice((*WORDS[label], "the", "of")) for _ in range(chance.randint(2, 8)))
        lines.append(f"{' '.join(words)} {chance.choice(WORDS[label])}\t{label}\n")
    path.write_text("text\tlabel\n" + "".join(lines))
    return path


def write_tokenizer(folder):
    """A folder with a vocabulary of the words, so that none has to be trained."""
    from tfzoo.text.wordpiece import WordPiece

    words = sorted(word for words in WORDS.values() for word in words)
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    folder.mkdir()
    WordPiece((*special, "the", "of", *words)).save(folder)
    return folder


def values(folder, model=None, **train):
    """An experiment's values; its files are made in `folder`."""
    rows, tokenizer = folder / "rows.tsv", folder / "vocabulary"
    if not rows.exists():
        write_rows(rows)
        write_tokenizer(tokenizer)
    defaults = {"duration": "3 epochs", "batch_size": 8, "learning_rate": 3e-2, "log_every": 2}
    # Drawing takes longer than training here; observer_test.py is about that.
    defaults["tensorboard"] = {"graph": False, "pictures": False, "samples": 0}
    return {
        "task": "classification",
        "data": {"train": str(rows), "max_length": 12, "evaluate_share": 0.2},
        "model": {"tokenizer": str(tokenizer), "fields": {**FIELDS, **(model or {})}},
        "train": {**defaults, **train},
    }


def make(folder, model=None, **train):
    """The experiment of `values`."""
    return experiment.check(values(folder, model, **train), Data)


def child(code, *arguments, check=True):
    """Runs Python code in a process of its own, because devices are set once in one."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    if check and done.returncode:
        raise AssertionError(done.stderr[-3000:])
    return done


def points(workdir):
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
