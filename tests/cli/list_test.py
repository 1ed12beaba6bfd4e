import json

from tfzoo import models


def test_every_size_is_listed_with_its_parameters(run, monkeypatch):
    def count(name, size, real=models.count_parameters):
        return real(name, size) if name == "bert" else len(name) + len(size)

    monkeypatch.setattr(models, "count_parameters", count)
    code, out, err = run("list")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["bert", "base", "109,482,240"] in lines
    assert ["bert", "large", "335,141,888"] in lines
    for name in models.names():
        for size in models.module(name).VARIANTS:
            assert [name, size, f"{count(name, size):,}"] in lines
    assert "classification" in out
    assert "hf:google-bert/bert-base-uncased" in out


def test_json_holds_the_same(run, monkeypatch):
    monkeypatch.setattr("tfzoo.models.count_parameters", lambda name, size: 109_482_240)
    listed = json.loads(run("list", "--json")[1])
    assert {"model": "bert", "variant": "base", "parameters": 109_482_240} in listed["models"]
    assert "classification" in listed["tasks"]
    assert listed["checkpoints"][0]["licence"]
