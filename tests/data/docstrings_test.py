import collections

import pytest

from tfzoo.core.errors import UserError
from tfzoo.data import docstrings, tables
from tfzoo.data.docstrings import Sentence

DOCSTRING = """Return the roots of a polynomial with the given coefficients [1]_.

The `algorithm` relies on the :func:`~there.eigvals` of the *companion* matrix. It is
numerically stable in almost every case.

Parameters
----------
p : array_like
    Rank-1 array of polynomial coefficients, of which there may be any number.

    This sentence stands in the description of a parameter.

This one uses numpy and so gives the answer away at once.
This one calls tf.nn.softmax on what it has been given.

>>> roots([1, 2, 3])
array([1.0])

- A bullet is not a sentence, even where it looks like one here.

Too short to tell.
"""


def test_plain_prose_is_found_and_everything_else_is_not():
    assert list(docstrings.sentences(DOCSTRING)) == [
        "Return the roots of a polynomial with the given coefficients.",
        "The algorithm relies on the there.eigvals of the companion matrix.",
        "It is numerically stable in almost every case.",
    ]


@pytest.mark.parametrize(
    "name", ["NumPy", "np.sum", "scipy", "sklearn", "Keras", "tf.Tensor", "TensorFlow", "plt.plot"]
)
def test_a_sentence_that_names_a_library_is_left_out(name):
    assert not list(docstrings.sentences(f"This is the same function as {name} in every way."))


def test_a_word_that_only_contains_a_name_stays():
    text = "The input is tiled and the scipyards are left as they are."
    assert list(docstrings.sentences(text)) == [text]


def sentence(text, label="a", module="a/x.py"):
    return Sentence(text, label, module)


def test_repeats_go_whatever_their_case_and_numbers():
    found = [sentence("Return the 1st row."), sentence("return THE 2st row"), sentence("Other.")]
    assert docstrings.without_repeats(found) == [found[0], found[2]]


def test_what_two_labels_share_goes_altogether():
    found = [sentence("Return the row."), sentence("Return the row!", "b"), sentence("Other.")]
    assert docstrings.without_repeats(found) == [found[2]]


def module_of(part):
    names = (f"a/{i}.py" for i in range(1000))
    return next(name for name in names if docstrings._part(name) == part)


def test_a_near_duplicate_of_another_part_goes():
    text = "The sum is taken over all of the elements of the last axis."
    near = "The sum is taken over all of the elements of the first axis."
    other = "A colour may be given as a name, as three numbers or as one."
    parts = docstrings.split(
        [
            sentence(text, module=module_of("train")),
            sentence(near, module=module_of("test")),
            sentence(other, module=module_of("test")),
        ]
    )
    assert [s.text for s in parts["train"]] == [text]
    assert [s.text for s in parts["test"]] == [other]


def test_every_label_is_equally_frequent():
    found = [sentence(f"Number {'x' * i}.", "ab"[i % 3 == 0]) for i in range(30)]
    counts = collections.Counter(s.label for s in docstrings.balanced(found, "ab", 8))
    assert counts == {"a": 8, "b": 8}
    counts = collections.Counter(s.label for s in docstrings.balanced(found, "ab", 100))
    assert counts == {"a": 10, "b": 10}


def test_the_order_does_not_depend_on_the_order_of_finding():
    found = [sentence(f"Number {'x' * i}.", "ab"[i % 2]) for i in range(30)]
    assert docstrings.balanced(found, "ab", 9) == docstrings.balanced(found[::-1], "ab", 9)


def test_a_label_that_is_missing_leaves_nothing():
    assert docstrings.balanced([sentence("Number one.")], "ab", 9) == []


@pytest.fixture(scope="module")
def corpus():
    # Only the smaller packages, for speed.
    names = {"matplotlib": "matplotlib", "scikit-learn": "sklearn"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docstrings, "PACKAGES", names)
        yield docstrings.corpus(per_class=800)


def test_installed_packages_give_enough_of_each_label(corpus):
    assert len(corpus["train"]) == 1200
    for rows in corpus.values():
        counts = collections.Counter(s.label for s in rows)
        assert counts["matplotlib"] == counts["scikit-learn"] > 5


def test_no_module_is_in_two_parts(corpus):
    modules = [{s.module for s in rows} for rows in corpus.values()]
    assert not modules[0] & modules[1]
    assert not modules[0] & modules[2]
    assert not modules[1] & modules[2]


def test_no_sentence_is_nearly_in_two_parts(corpus):
    seen = [docstrings._shingles(s.text) for s in corpus["train"]]
    for row in corpus["test"]:
        shingles = docstrings._shingles(row.text)
        assert all(len(shingles & other) < 0.5 * min(len(shingles), len(other)) for other in seen)


@pytest.mark.slow
def test_the_same_packages_give_the_same_sentences(corpus, monkeypatch):
    monkeypatch.setattr(
        docstrings, "PACKAGES", {"scikit-learn": "sklearn", "matplotlib": "matplotlib"}
    )
    assert docstrings.corpus(per_class=800) == corpus


def test_a_package_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setattr(docstrings, "PACKAGES", {"x": "no_such_package", "scikit-learn": "sklearn"})
    with pytest.raises(UserError, match="Missing: x"):
        docstrings.corpus(per_class=50)


def test_what_is_written_can_be_read(corpus, tmp_path):
    docstrings.write(corpus["test"], tmp_path / "test.tsv")
    table = tables.read(tmp_path / "test.tsv")
    assert list(table.texts) == [s.text for s in corpus["test"]]
    assert list(table.labels or ()) == [s.label for s in corpus["test"]]
