"""Every experiment in configs/ parses strictly, builds a small model and takes a step."""

import pathlib

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
VOCABULARIES = ROOT / "configs" / "vocabularies"  # Tested in tests/text/train_vocabulary_test.py.
PREPARE = ROOT / "configs" / "prepare"  # Tested in tests/cli/prepare_test.py.
CONFIGS = {
    path.relative_to(ROOT).as_posix(): path
    for path in ROOT.glob("configs/**/*.yaml")
    if path.parent not in (VOCABULARIES, PREPARE)
}

SMALL = (
    "model.load=null",
    "model.variant=null",
    "model.tokenizer=null",
    "train.duration=1 steps",
    "train.warmup=0 steps",
    "train.batch_size=4",
    "train.accumulate=1",
    "train.evaluate_every=1 steps",
    "train.checkpoint_every=1 steps",
    "train.strategy=one_device",
    "train.tensorboard={graph: false, layers: false, pictures: false, samples: 0}",
)
LAYERS = "num_layers: 1, num_heads: 2, width: 8, feed_forward_dim: 16"
SIDES = ", ".join(
    f"num_{side}_layers: 1, num_{side}_heads: 2, {side}_feed_forward_dim: 16"
    for side in ("encoder", "decoder")
)
FIELDS = {
    "bart": f"{SIDES}, width: 8, max_length: 64",
    "bert": f"{LAYERS}, max_length: 512",
    "distilbert": f"{LAYERS}, max_length: 512",
    "gpt2": f"{LAYERS}, max_length: 64",
    "t5": f"{LAYERS.replace('num_l', 'num_encoder_l')}, num_decoder_layers: 1, head_dim: 4",
    "transformer": f"{SIDES}, width: 8, max_length: 512",
}
SENTENCES = (
    "The film was good and long.",
    "Nobody saw it twice!",
    "So it was, they say, in every town.",
    "A dog sat on the mat.",
)


def rows(folder, data):
    """A TSV of the columns that an experiment reads."""
    columns = [data.get("text", "text"), data.get("label", "label"), data.get("pair")]
    names = [name for name in columns if name is not None]
    lines = [["the film was good", "1", "so it was"], ["the film was bad", "0", "so it was"]]
    table = [names, *(line[: len(names)] for line in lines * 4)]
    (folder / "rows.tsv").write_text("\n".join("\t".join(row) for row in table) + "\n")
    return [f"data.{key}={folder / 'rows.tsv'}" for key in ("train", "evaluate")]


def parallel(folder, data):
    """Two files of lines that belong together."""
    for side in ("en", "de"):
        (folder / f"rows.{side}").write_text("\n".join(SENTENCES * 3) + "\n")
    return [f"data.{k}=[{folder}/rows.en,{folder}/rows.de]" for k in ("train", "evaluate")]


def texts(folder, data):
    """A folder of documents of a few sentences, one a file."""
    place = folder / "texts"
    place.mkdir()
    for i in range(8):
        sentences = SENTENCES[i % 4 :] + SENTENCES
        (place / f"{i}.txt").write_text("\n".join(sentences) + "\n")
    small = ["data.length=32"] + ["data.most_masked=5"] * ("most_masked" in data)
    return [*small, *(f"data.texts.{k}={place}" for k in ("train", "evaluate"))]


def distilled(folder, data):
    """The same, and a teacher."""
    import tfzoo
    from tests.tasks import pretraining
    from tfzoo.tasks import folder as model_folder
    from tfzoo.tasks.masked_language_model import MaskedLanguageModel

    tokenizer = pretraining.tokenizer()
    fields = yaml.safe_load(f"{{{FIELDS['bert']}}}")
    model = tfzoo.build("bert", **fields, vocab_size=tokenizer.vocab_size, head="masked_lm")
    model_folder.save(MaskedLanguageModel(model, tokenizer), folder / "teacher")
    return [*texts(folder, data), f"data.teacher={folder / 'teacher'}"]


FILES = {"distillation": distilled, "classification": rows, "sequence_to_sequence": parallel}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_says_what_it_is(name):
    head = [line for line in CONFIGS[name].read_text().splitlines() if line.startswith("#")]
    text = " ".join(line.lstrip("# ") for line in head)
    assert f"tfzoo train --config={name}" in text, "its command"
    assert "score" in text.lower() or "accuracy" in text.lower(), "its measured score"
    assert "min" in text, "its time"


@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_parses_strictly(name):
    from tfzoo.cli.train import check_model
    from tfzoo.train import run as training

    check_model(training.read(CONFIGS[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_an_experiment_takes_a_step(name, tmp_path):
    from tfzoo.train import run as training

    values = yaml.safe_load(CONFIGS[name].read_text())
    model = values["model"].get("name", "bert")
    files = FILES.get(values["task"], texts)(tmp_path, values["data"])
    # The least that every kind of vocabulary can be: 256 bytes, or the sentinels and some pieces.
    size = {"bert": 60, "distilbert": 60, "gpt2": 300, "bart": 300}.get(model, 36)
    overrides = [*SMALL, *files, f"model.vocab_size={size}", f"model.fields={{{FIELDS[model]}}}"]
    if model == "bart":
        overrides.append("model.vocabulary={style: roberta}")
    experiment = training.read(CONFIGS[name], overrides)
    summary = training.run(experiment, tmp_path / "run")
    assert summary["steps"] == 1


def test_there_are_experiments_of_every_family():
    families = {path.parent.name for path in CONFIGS.values()}
    assert families == {
        path.name
        for path in (ROOT / "configs").iterdir()
        if path.is_dir() and path not in (VOCABULARIES, PREPARE)
    }
    assert families
