import yaml


def shown(run, *arguments):
    code, out, err = run("show", *arguments)
    assert (code, err) == (0, "")
    return out


def test_the_fields_of_a_size_are_yaml(run):
    text = shown(run, "bert", "tiny")
    assert "Devlin" in text
    assert "# bert tiny: 4,385,920 parameters" in text
    fields = yaml.safe_load(text[text.index("# bert tiny") :])
    assert (fields["num_layers"], fields["width"], fields["vocab_size"]) == (2, 128, 30_522)


def test_a_model_folder_says_what_it_is(run, models):
    text = shown(run, models / "classifier")
    values = yaml.safe_load(text)
    assert "a tfzoo model" in text
    assert values["task"] == {
        "name": "classification",
        "pairs": False,
        "max_length": 12,
        "labels": ["x", "y", "z"],
    }
    assert values["model"]["width"] == 8


def test_a_hugging_face_folder_says_what_it_is(run, models, tmp_path):
    run("convert", models / "classifier", f"hf:{tmp_path / 'hf'}")
    text = shown(run, f"hf:{tmp_path / 'hf'}")
    assert "a Hugging Face model" in text
    assert yaml.safe_load(text)["model"]["head"] == "classification"


def test_an_experiment_is_shown_with_every_value(run, tmp_path, labelled):
    path = tmp_path / "c.yaml"
    path.write_text(f"task: classification\ndata: {{train: {labelled}}}\n")
    values = yaml.safe_load(shown(run, f"--config={path}"))
    assert values["train"]["batch_size"] == 32
    assert values["model"]["name"] == "bert"
