import json
import math

import pytest

import tfzoo


def figures(run, *arguments):
    code, out, err = run("evaluate", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_the_figures_of_every_class_are_printed(run, models, labelled):
    code, out, err = run("evaluate", models / "classifier", f"--data={labelled}")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["x", "y", "z"]
    assert "accuracy 0." in out


def test_json_and_files_hold_the_same_figures(run, models, labelled, tmp_path):
    arguments = ("evaluate", models / "classifier", f"--data={labelled}", "--json")
    printed = json.loads(run(*arguments, f"--out={tmp_path / 'scores'}")[1])
    written = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert printed == written
    assert sum(map(sum, printed["confusion"])) == 12
    assert (tmp_path / "scores" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")


def test_other_columns_can_be_read(run, models, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('x,"a b, c"\ny,b\n', encoding="utf-8")
    code, out, err = run(
        "evaluate", models / "classifier", f"--data={path}", "--label=0", "--text=1", "--json"
    )
    assert code == 0, err
    assert sum(map(sum, json.loads(out)["confusion"])) == 2


def test_pairs_are_read_from_their_column(run, models, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a", "pair": "b", "label": "x"}, {"text": "b", "pair": "c", "label": "z"}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    code, out, err = run("evaluate", models / "pairs", f"--data={path}", "--json")
    assert code == 0, err
    assert json.loads(out)["classes"]["x"]["rows"] == 1


def test_a_folder_that_cannot_be_written_is_one_line_before_the_evaluation(run, models, tmp_path):
    taken, data = tmp_path / "taken", tmp_path / "data.tsv"
    taken.write_text("")
    data.write_text("text\tlabel\na b\tx\n")
    code, out, err = run("evaluate", models / "classifier", f"--data={data}", f"--out={taken}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "taken cannot be used" in err


def test_plain_texts_are_scored_by_a_language_model(run, models, tmp_path):
    (tmp_path / "t.txt").write_text("a b c a b c\na\n\nb b c a c a b c a b c b a\n")
    task = tfzoo.load(models / "decoder").task
    for documents, texts in {
        "file": [(tmp_path / "t.txt").read_text()],
        "blank_lines": ["a b c a b c\na", "b b c a c a b c a b c b a"],
        "line": ["a b c a b c", "a", "b b c a c a b c a b c b a"],
    }.items():
        found = figures(
            run, models / "decoder", f"--data={tmp_path / 't.txt'}", f"--documents={documents}"
        )
        nats = -task.score(texts)["log_likelihood"].sum()
        assert (found["texts"], found["tokens"]) == (len(texts), 20)
        assert found["characters"] == sum(map(len, texts))
        assert found["loss"] == pytest.approx(nats / 20)
        assert found["perplexity"] == pytest.approx(math.exp(nats / 20))
        assert found["bits_per_character"] == pytest.approx(
            nats / found["characters"] / math.log(2)
        )


def test_texts_of_tables_folders_and_json_lines_are_scored_alike(run, models, tmp_path):
    (tmp_path / "rows.tsv").write_text("text\tother\na b\tc\nc a\tb\n")
    (tmp_path / "inside").mkdir()
    rows = "\n".join(json.dumps({"text": text}) for text in ("a b", "c a"))
    (tmp_path / "inside" / "rows.jsonl").write_text(rows)
    found = [
        figures(run, models / "decoder", f"--data={tmp_path / name}")
        for name in ("rows.tsv", "inside/rows.jsonl", "inside")
    ]
    assert found[0] == found[1] == found[2]
    after = figures(run, models / "decoder", f"--data={tmp_path / 'rows.tsv'}", "--pair=other")
    assert (after["tokens"], after["characters"]) == (2, 2)


def test_how_long_texts_are_read_is_an_option(run, models, tmp_path):
    (tmp_path / "t.txt").write_text("a b c a b c b b c a c a b c a b c b a")
    task, text = tfzoo.load(models / "decoder").task, (tmp_path / "t.txt").read_text()
    arguments = (models / "decoder", f"--data={tmp_path / 't.txt'}")
    found = [figures(run, *arguments, f"--stride={n}")["loss"] for n in (2, 11)]
    wanted = [-task.score([text], stride=n)["log_likelihood"][0] / 19 for n in (2, 11)]
    assert found == pytest.approx(wanted)
    assert abs(found[0] - found[1]) > 1e-3


def test_targets_are_scored_by_an_encoder_decoder(run, models, tmp_path):
    (tmp_path / "pairs.tsv").write_text("text\tpair\na b\tc\nc a\tb a\n")
    found = figures(run, models / "translator", f"--data={tmp_path / 'pairs.tsv'}")
    scores = tfzoo.load(models / "translator").task.score(["a b", "c a"], ["c", "b a"])
    assert found["tokens"] == scores["num_tokens"].sum() == 7
    assert found["loss"] == pytest.approx(-scores["log_likelihood"].sum() / 7)
    assert 0 <= found["accuracy"] <= 1


def test_figures_are_printed_and_written(run, models, tmp_path):
    (tmp_path / "t.txt").write_text("a b c")
    arguments = ("evaluate", models / "decoder", f"--data={tmp_path / 't.txt'}")
    code, out, _ = run(*arguments, f"--out={tmp_path / 'scores'}")
    names = ["loss", "perplexity", "accuracy", "loss_per_character", "bits_per_character"]
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        *names,
        "texts",
        "tokens",
        "characters",
    ]
    written = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert out.splitlines()[0].split()[1] == f"{written['loss']:.4f}"


def test_a_language_model_classifies_with_a_template(run, models, labelled, tmp_path):
    template = ("--template={text} b {label}", "--labels=x=a,y=b,z=c")
    found = figures(run, models / "decoder", f"--data={labelled}", *template)
    assert sum(map(sum, found["confusion"])) == 12
    assert list(found["classes"]) == ["x", "y", "z"]
