"""`tfzoo vocabulary` trains, says where, and refuses in one line."""

import pathlib

from tfzoo.text import kinds

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "vocabularies" / "wordpiece.yaml"


def test_a_vocabulary_is_trained_from_a_config(run, tmp_path):
    (tmp_path / "texts.txt").write_text("the cat sat on the mat\n" * 3 + "the hat\n")
    out = tmp_path / "out"
    changes = [f"files=[{tmp_path / '*.txt'}]", "size=40"]
    code, said, _ = run("vocabulary", f"--config={CONFIG}", f"--output={out}", "--set", *changes)
    made = kinds.load(out)
    assert code == 0 and said == f"Written: {out} (wordpiece, {made.vocab_size} tokens)\n"
    assert made.tokenize(["the"]).to_list() == [[made.id_of("the")]]


def test_a_mistake_is_one_line(run, tmp_path):
    for change in ("size=none", "sise=3", "kind=bpe", "files=[]"):
        code, _, err = run(
            "vocabulary", f"--config={CONFIG}", f"--output={tmp_path / 'out'}", "--set", change
        )
        assert (code, err.count("\n")) == (2, 1), err
    assert not list(tmp_path.iterdir())
