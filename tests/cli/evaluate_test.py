import json


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
