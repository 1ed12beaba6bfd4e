"""A text classification set that every machine has: which library does this sentence come from?

The sentences are those of the documentation strings in the packages that tfzoo needs anyway. Their
sources are parsed, never imported, so that this is quick and free of side effects.

    *.py of a package --(ast)--> docstrings --> prose paragraphs --> sentences --> one label each

Easy to get wrong: a library's own name, `np.` or `tf.` would give the answer away, so a sentence
that names any library is left out; so are markup, code and parameter lists, in which styles differ.
Documentation repeats itself: a sentence that two libraries share has no answer, and one that nearly
stands in the training part would make the test part easier than the world is.
"""

import ast
import collections
import dataclasses
import hashlib
import importlib.util
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

from tfzoo.core.errors import UserError

# Label -> the name that the package is imported by. NumPy and Keras are left out: much of what they
# say SciPy and TensorFlow say too, and nobody could tell from a sentence.
PACKAGES = {
    "matplotlib": "matplotlib",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "tensorflow": "tensorflow",
}
# How much of the sentences each part of the split gets, by the modules that they stand in.
SHARES = {"train": 0.75, "validation": 0.1, "test": 0.15}

# Copies of other projects (tensorflow/python/keras is one of Keras), tests, generated re-exports.
_SKIPPED = re.compile(
    r"(^|/)(tests?|testing|_api|api|externals|_vendor|vendored|_extern|extern|keras/(legacy|protobuf)"
    r"|python/keras|conftest\.py|.*_test\.py|.*_pb2\.py)(/|$)"
)
_NAMES = re.compile(
    r"\b(numpy|np|scipy|sp|sklearn|scikits?|keras\w*|tensorflow|tensorboard|tf\w{0,4}|tflite"
    r"|matplotlib|mpl\w*|pyplot|plt|mplot3d|pylab)\b",
    re.IGNORECASE,
)
_ROLE = re.compile(r":[a-z:]+:`~?\.?([^`<]+?)(\s*<[^`]+>)?`")
_CITATION = re.compile(r"\s*\[\w+\]_?")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,.;:'\"()/_%-]+\.")
_BULLET = re.compile(r"\s*([-*+#|>=~.]|\d+[.)])")
_SHINGLE = 4  # words
_NEAR = 0.5  # share of the shingles of the shorter sentence
_MOST_OF_A_MODULE = 150  # sentences, so that no single module makes up a class


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence with its answer.

    Attributes:
        text: The sentence.
        label: A key of `PACKAGES`.
        module: Where it stands, such as `scipy/stats/_qmc.py`.
    """

    text: str
    label: str
    module: str


def corpus(per_class: int = 4500) -> dict[str, list[Sentence]]:
    """The sentences of the installed packages, split by module: train, validation, test.

    No module and no near-duplicate is in two parts; every label is equally frequent in each; the
    same packages give the same sentences in the same order.

    Args:
        per_class: Most sentences of each label, over all parts.

    Raises:
        UserError: when a package is not installed with its Python sources.
    """
    # Half as many again, because near-duplicates go and parts are cut to the rarest label.
    found = [s for label in PACKAGES for s in _collect(label, per_class * 3 // 2)]
    missing = PACKAGES.keys() - {sentence.label for sentence in found}
    if missing:
        raise UserError(
            f"Expected the Python sources of {', '.join(PACKAGES)}. "
            f"Missing: {', '.join(sorted(missing))}. Install them again with pip."
        )
    parts = split(without_repeats(found))
    return {
        name: balanced(rows, PACKAGES, round(per_class * SHARES[name]))
        for name, rows in parts.items()
    }


def sentences(docstring: str) -> Iterator[str]:
    """The sentences of plain prose in a docstring that name no library."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines = paragraph.split("\n")
        # Code, directives and descriptions of parameters are indented; tables begin with a symbol.
        if any(line.startswith((" ", "\t")) or _BULLET.match(line) for line in lines):
            continue
        text = " ".join(line.strip() for line in lines)
        for sentence in _SENTENCE_END.split(_without_markup(text)):
            if _PROSE.fullmatch(sentence) and 6 <= len(sentence.split()) <= 40:
                if not _NAMES.search(sentence) and " : " not in sentence:
                    yield sentence


def without_repeats(found: Iterable[Sentence]) -> list[Sentence]:
    """Each sentence once, whatever its case and punctuation; none that two labels share."""
    seen: dict[str, Sentence] = {}
    labels = collections.defaultdict(set)
    for sentence in found:
        key = " ".join(_words(sentence.text))
        labels[key].add(sentence.label)
        seen.setdefault(key, sentence)
    return [sentence for key, sentence in seen.items() if len(labels[key]) == 1]


def split(found: Sequence[Sentence]) -> dict[str, list[Sentence]]:
    """Divides sentences by module; from later parts goes what nearly stands in an earlier one."""
    parts: dict[str, list[Sentence]] = {name: [] for name in SHARES}
    index: dict[tuple[str, ...], set[int]] = collections.defaultdict(set)
    sizes: list[int] = []
    by_part = collections.defaultdict(list)
    for sentence in found:
        by_part[_part(sentence.module)].append(sentence)
    for name in SHARES:
        kept = [s for s in by_part[name] if not _near(_shingles(s.text), index, sizes)]
        for sentence in kept:
            shingles = _shingles(sentence.text)
            for shingle in shingles:
                index[shingle].add(len(sizes))
            sizes.append(len(shingles))
        parts[name] = kept
    return parts


def balanced(found: Sequence[Sentence], labels: Iterable[str], most: int) -> list[Sentence]:
    """The same number of each label, at most `most`, in an order that means nothing."""
    groups: dict[str, list[Sentence]] = {label: [] for label in labels}
    for sentence in sorted(found, key=lambda s: _fraction(s.text)):
        groups[sentence.label].append(sentence)
    size = min(most, *(len(group) for group in groups.values()))
    chosen = [sentence for group in groups.values() for sentence in group[:size]]
    return sorted(chosen, key=lambda s: _fraction(s.text))


def write(rows: Sequence[Sentence], path: pathlib.Path) -> None:
    """Writes rows as TSV with the columns text, label, module."""
    lines = ["text\tlabel\tmodule", *(f"{s.text}\t{s.label}\t{s.module}" for s in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _collect(label: str, enough: int) -> list[Sentence]:
    """Sentences of one package, module after module in an order by hash, until there are enough."""
    spec = importlib.util.find_spec(PACKAGES[label])
    if spec is None or not spec.submodule_search_locations:
        return []
    root = pathlib.Path(next(iter(spec.submodule_search_locations)))
    modules = sorted(path.relative_to(root.parent).as_posix() for path in root.rglob("*.py"))
    modules = [m for m in modules if not _SKIPPED.search(m)]
    found: dict[str, Sentence] = {}
    for module in sorted(modules, key=_fraction):
        texts = (t for doc in _docstrings(root.parent / module) for t in sentences(doc))
        fresh = [text for text in dict.fromkeys(texts) if text not in found]
        found |= {text: Sentence(text, label, module) for text in fresh[:_MOST_OF_A_MODULE]}
        if len(found) >= enough:
            break
    return list(found.values())


def _docstrings(path: pathlib.Path) -> Iterator[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    source = path.read_bytes()
    if b'"""' not in source:
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a file for another Python, or a template
        return
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            yield ast.get_docstring(node) or ""


def _without_markup(text: str) -> str:
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", text))
    text = re.sub(r"[`*]", "", _CITATION.sub("", text))
    return re.sub(r"\s+", " ", re.sub(r"(?<!\S)\.(?=\w)", "", text)).strip()


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1))}


def _near(
    shingles: set[tuple[str, ...]], index: dict[tuple[str, ...], set[int]], sizes: list[int]
) -> bool:
    shared = collections.Counter(i for s in shingles for i in index.get(s, ()))
    return any(n >= _NEAR * min(len(shingles), sizes[i]) for i, n in shared.items())


def _part(module: str) -> str:
    place = _fraction(module + "?")  # another number than the one that orders the modules
    for name, share in SHARES.items():
        if place < share:
            return name
        place -= share
    return name


def _fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, and on nothing in the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
