"""How good a classifier is: scikit-learn's figures, and the confusion matrix as a picture."""

import dataclasses
import io
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from tfzoo.core import json_file
from tfzoo.core.files import write_aside

_MOST_NAMES = 40  # classes whose names and numbers are drawn


@dataclasses.dataclass(frozen=True)
class Report:
    """The figures of one evaluation.

    Attributes:
        accuracy: Share of rows whose class was found.
        macro_f1: Mean of the classes' F1, over the classes that occur in truth or prediction.
        classes: For each class its `precision`, `recall`, `f1` and `rows`.
        confusion: How many rows of a class (outer) were given each class (inner).
    """

    accuracy: float
    macro_f1: float
    classes: dict[str, dict[str, float]]
    confusion: list[list[int]]

    def write(self, folder: pathlib.Path) -> None:
        """Writes evaluation.json and the picture confusion_matrix.png.

        Raises:
            OSError: when the folder cannot be written.
        """
        with write_aside(folder / "evaluation.json") as aside:
            json_file.write(aside, dataclasses.asdict(self))
        draw_confusion(self, folder / "confusion_matrix.png")

    def table(self) -> str:
        """The classes' figures, a line each, in columns."""
        width = max(len(name) for name in [*self.classes, "macro mean"])
        lines = [f"{'':{width}}  precision  recall      F1    rows"]
        for name, c in self.classes.items():
            lines.append(
                f"{name:{width}}  {c['precision']:9.3f}  {c['recall']:6.3f}  {c['f1']:6.3f}  "
                f"{c['rows']:6d}"
            )
        rows = sum(map(sum, self.confusion))
        lines.append(f"{'macro mean':{width}}  {'':9}  {'':6}  {self.macro_f1:6.3f}  {rows:6d}")
        return "\n".join(lines)


def report(true: np.ndarray, found: np.ndarray, names: Sequence[str]) -> Report:
    """Scores predictions.

    Args:
        true: `(n,)` integers, the numbers of the true classes.
        found: `(n,)` integers, the numbers of the predicted ones.
        names: Names of the classes.

    Raises:
        ValueError: when there are no rows.
    """
    numbers = range(len(names))
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(
        true, found, labels=numbers, zero_division=0
    )
    figures = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "rows": int(rows[i]),
        }
        for i, name in enumerate(names)
    }
    return Report(
        accuracy=float(metrics.accuracy_score(true, found)),
        macro_f1=float(metrics.f1_score(true, found, average="macro", zero_division=0)),
        classes=figures,
        confusion=metrics.confusion_matrix(true, found, labels=numbers).tolist(),
    )


def draw_confusion(found: Report, path: str | pathlib.Path) -> None:
    """Draws the confusion matrix into a PNG file.

    Raises:
        OSError: when the file cannot be written.
    """
    with write_aside(path) as aside:
        aside.write_bytes(confusion_picture(found))


def confusion_picture(found: Report) -> bytes:
    """The confusion matrix as a PNG file.

    Colours are shares of the true class, so that rare classes show; the numbers are rows. Up to
    about 20 classes every name and number can be read; above 40 only the colours are drawn.
    """
    # Without pyplot: it keeps global state, and asks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(found.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    is_small = len(counts) <= _MOST_NAMES
    side = 2.4 + 0.55 * len(counts) if is_small else 14.0
    figure = Figure(figsize=(side + 1.0, side), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046).set_label("share of the true class")
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(f"accuracy {found.accuracy:.3f}, macro F1 {found.macro_f1:.3f}")
    if is_small:
        _write_names_and_counts(axes, list(found.classes), counts, shares)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that matplotlib's own font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(drawn, format="png")
    return drawn.getvalue()


def _write_names_and_counts(
    axes: Any, names: list[str], counts: np.ndarray, shares: np.ndarray
) -> None:
    short = [name if len(name) <= 24 else f"{name[:21]}..." for name in names]
    escaped = [name.replace("$", r"\$") for name in short]  # `$` would begin a formula
    axes.set_xticks(range(len(names)), escaped, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), escaped)
    size = 10 if len(names) <= 12 else 7
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        cell = axes.text(
            column, row, str(count), ha="center", va="center", color=colour, fontsize=size
        )
        cell.set_in_layout(False)  # it is inside the axes, and measuring 400 of them takes seconds
