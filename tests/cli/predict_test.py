import json

import numpy as np
import pytest

from tfzoo.cli import predict
from tfzoo.core.errors import UserError


def answers(run, *arguments, stdin=b""):
    code, out, err = run("predict", *arguments, "--json", stdin=stdin)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_a_line_has_label_probability_and_text(run, models):
    code, out, _ = run("predict", models / "classifier", "a b", "c\té 日")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert [line[2] for line in lines] == ["a b", "c é 日"]
    assert all(line[0] in "xyz" and 0 < float(line[1]) < 1 for line in lines)


def test_json_has_all_classes(run, models):
    (answer,) = answers(run, models / "classifier", "a b")
    assert answer["text"] == "a b"
    assert answer["labels"] == ["x", "y", "z"]
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-6)
    assert answer["score"] == pytest.approx(max(answer["scores"]))


def test_texts_from_everywhere_get_the_same_answers(run, models, tmp_path):
    texts = ["a", "b c", "é 日 a"]
    given = answers(run, models / "classifier", *texts)
    content = "\n".join(texts).encode()
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + content + b"\n")
    (tmp_path / "t.tsv").write_bytes(b"id\ttext\n" + b"\n".join(b"1\t" + t.encode() for t in texts))
    rows = "\n".join(json.dumps({"text": text}) for text in texts)
    (tmp_path / "t.jsonl").write_text(rows)
    assert answers(run, models / "classifier", stdin=content) == given
    for name in ("t.txt", "t.tsv", "t.jsonl"):
        assert answers(run, models / "classifier", f"--file={tmp_path / name}") == given


def test_batches_of_any_size_give_the_same_labels(run, models):
    texts = ["a", "b c a b c", "é", "a a a", "c"]
    one = answers(run, models / "classifier", *texts, "--batch_size=1")
    all_ = answers(run, models / "classifier", *texts, "--batch_size=5")
    assert [a["label"] for a in one] == [a["label"] for a in all_]
    assert np.allclose([a["scores"] for a in one], [a["scores"] for a in all_], atol=1e-6)


def test_pairs_come_with_an_option_or_a_tab(run, models):
    given = answers(run, models / "pairs", "a", "b", "--with", "c", "--with", "a")
    assert [answer["pair"] for answer in given] == ["c", "a"]
    assert answers(run, models / "pairs", stdin=b"a\tc\nb\ta\n") == given


def test_embeddings_are_json_of_length_1(run, models):
    (answer,) = answers(run, models / "encoder", "a b")
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-6)
    assert run("predict", models / "encoder", "a b")[1].startswith("{")


@pytest.mark.parametrize(
    ("content", "pairs", "match"),
    [
        (b"", False, "There is nothing to answer"),
        (b"a\n\nb", False, "here:2 is blank"),
        (b"a\n \n", False, "here:2 is blank"),
        (b"a\n\xff", False, "here:2 is not UTF-8"),
        (b"a\tb\nc\n", True, "here:2 must be two texts"),
        (b"a\tb\tc\n", True, "here:1 must be two texts"),
        (b"a\t\n", True, "here:1 is blank"),
    ],
)
def test_a_line_that_is_no_text_is_refused_by_number(content, pairs, match):
    with pytest.raises(UserError, match=match):
        predict.lines(content, "here", pairs)


def test_a_tab_in_a_single_text_stays():
    assert predict.lines(b"a\tb\r\nc", "here", False) == (["a\tb", "c"], None)


def test_texts_may_stand_behind_options(run, models):
    code, out, err = run("predict", models / "classifier", "--json", "a b")
    assert (code, err) == (0, "")
    assert json.loads(out)["text"] == "a b"


def test_a_language_model_chooses_among_labels(run, models, tmp_path):
    (tmp_path / "shots.csv").write_text("a,x\nb,y\n")
    (tmp_path / "t.csv").write_text("a\nc\n")
    template = ("--template={text} b {label}", "--labels=x=a,y=c", "--normalize=tokens")
    columns = ("--text=0", "--label=1", "--header=no")
    (one, two) = answers(run, models / "decoder", "a", "c", *template)
    assert one["labels"] == ["x", "y"]
    assert sum(one["scores"]) == pytest.approx(1, abs=1e-6)
    shown = answers(
        run, models / "decoder", f"--file={tmp_path / 't.csv'}", *columns, *template,
        f"--examples={tmp_path / 'shots.csv'}", "--shots=1",
    )  # fmt: skip
    assert [answer["text"] for answer in shown] == ["a", "c"]
    assert shown[0]["logits"] != one["logits"]
    code, out, _ = run("predict", models / "decoder", "c", *template)
    assert (code, out) == (0, f"{two['label']}\t{two['score']:.4f}\tc\n")


def test_a_language_model_goes_on_with_a_text(run, models):
    (one,) = answers(run, models / "decoder", "a b", "--set", "max_new_tokens=3")
    assert one["text"] == "a b"
    assert isinstance(one["written"], str)


@pytest.mark.slow
def test_a_language_model_goes_on_and_an_encoder_decoder_answers(run, models):
    for name in ("decoder", "translator"):
        (one, two) = answers(run, models / name, "a b", "c", "--set", "max_new_tokens=3")
        assert (one["text"], two["text"]) == ("a b", "c")
        (four,) = answers(run, models / name, "a b", "--set", "max_new_tokens=6", "num_beams=1")
        assert four["written"].startswith(one["written"])
        code, out, _ = run("predict", models / name, "a b", "--set", "max_new_tokens=6")
        assert (code, out) == (0, four["written"] + "\n")
        best = ["num_beams=2", "num_return_sequences=2", "max_new_tokens=3"]
        (several,) = answers(run, models / name, "a b", "--set", *best)
        assert len(several["written"]) == 2


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("decoder", ["--set=max_tokens=3"], "max_new_tokens"),
        ("decoder", ["--with=b"], "one text for each input"),
        ("classifier", ["--set=max_new_tokens=3"], "for what writes text"),
    ],
)
def test_mistakes_in_how_to_write_are_one_line(run, models, name, given, message):
    code, out, err = run("predict", models / name, "a", *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
