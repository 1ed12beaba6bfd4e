"""Attention maps as pictures."""

import io
import math
import warnings
from collections.abc import Sequence

import numpy as np

_COLUMNS = 4  # heads beside each other
_INCHES = 0.13  # a token


def attention(weights_hqk: np.ndarray, queries: Sequence[str], keys: Sequence[str]) -> bytes:
    """Draws the attention weights of one text in one block, head by head, as a PNG file.

    Args:
        weights_hqk: What share of its attention each query gives to each key; h heads.
        queries: The tokens that look, q of them, from top to bottom.
        keys: The tokens that are looked at, k of them, from left to right.
    """
    # Without pyplot: it keeps global state, and asks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heads, q, k = weights_hqk.shape
    columns = min(_COLUMNS, heads)
    rows = math.ceil(heads / columns)
    # One image of all heads: a hundred axes take seconds to draw.
    mosaic = np.full((rows * (q + 1) - 1, columns * (k + 1) - 1), np.nan)
    for head, weights_qk in enumerate(weights_hqk):
        top, left = head // columns * (q + 1), head % columns * (k + 1)
        mosaic[top : top + q, left : left + k] = weights_qk
    height, width = (_INCHES * size for size in mosaic.shape)
    figure = Figure(figsize=(width + 1.6, height + 1.4), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(mosaic, cmap="viridis", vmin=0, vmax=1, aspect="equal")
    axes.set_axis_off()
    place = {"fontsize": 7, "parse_math": False, "clip_on": False}
    for i in range(rows * q):
        y = i // q * (q + 1) + i % q
        axes.text(-1, y, _short(queries[i % q]), ha="right", va="center", **place)
    for i in range(columns * k):
        x = i // k * (k + 1) + i % k
        axes.text(x, len(mosaic), _short(keys[i % k]), rotation=90, ha="center", va="top", **place)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # A token in a script that matplotlib's own font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(drawn, format="png")
    return drawn.getvalue()


def _short(token: str) -> str:
    return token if len(token) <= 12 else f"{token[:11]}…"
