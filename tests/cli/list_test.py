import json


def test_every_size_is_listed_with_its_parameters(run):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["bert", "base", "109,482,240"] in lines
    assert ["bert", "large", "335,141,888"] in lines
    assert "classification" in out
    assert "hf:google-bert/bert-base-uncased" in out


def test_json_holds_the_same(run, monkeypatch):
    monkeypatch.setattr("tfzoo.models.count_parameters", lambda name, size: 109_482_240)
    listed = json.loads(run("list", "--json")[1])
    assert {"model": "bert", "variant": "base", "parameters": 109_482_240} in listed["models"]
    assert "classification" in listed["tasks"]
    assert listed["checkpoints"][0]["licence"]
