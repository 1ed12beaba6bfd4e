"""Which weight learns how fast, from when on, and which are pulled towards 0.

                            depth    layer_decay d    unfreeze_every e
    heads, final norms        0          1            from the beginning
    top block                 1          d            after e
    ...
    bottom block              n          d ** n       after n * e
    embeddings              n + 1        d ** (n + 1) after (n + 1) * e

Each stack of an encoder-decoder is counted from its own top; embeddings that both share are below
the higher one of them. Sources: ULMFiT (Howard and Ruder 2018, sections 3.2 and 3.3: discriminative
rates, gradual unfreezing), ELECTRA (Clark et al. 2020, appendix B: layer-wise decay, whose released
code has two factors between head and top block where this has one, as BEiT has).

Easy to get wrong: a bias of the output scores is stored with the table of embeddings that makes
them, but is a head's.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence

from tfzoo.core.duration import Duration
from tfzoo.core.errors import UserError
from tfzoo.core.experiment import OptimizerChoice

# Gains, shifts and biases are not pulled towards 0 (google-research/bert, optimization.py, commit
# eedf571: "LayerNorm", "layer_norm", "bias").
_NO_DECAY = re.compile(r"(^|[/_])(bias|gamma|beta)$")
_BLOCK = re.compile(r"^(\w+_)?block_(\d+)/")
# Tables of tokens, segments, positions and distances, and the norm and projection behind them.
_EMBEDDING = re.compile(r"^(\w+_)?(\w*embedding\w*|positions)/(?!output_bias)")


@dataclasses.dataclass(frozen=True)
class Rate:
    """How one weight learns.

    Attributes:
        factor: What its learning rate, and with it its whole update, is multiplied by. At 0 it
            stays as it is.
        start: Number of steps after which it begins to learn.
        decays: Whether it is pulled towards 0.
    """

    factor: float = 1.0
    start: int = 0
    decays: bool = True


def rates(
    choice: OptimizerChoice, paths: Sequence[str], steps_per_epoch: int, total_steps: int
) -> list[Rate]:
    """How each of a model's weights learns.

    Args:
        choice: What the experiment asks for.
        paths: The paths of all the model's weights.
        steps_per_epoch: Number of steps in which the training data is seen once.
        total_steps: Number of steps of the whole training.

    Returns:
        One for each path, in order.

    Raises:
        UserError: when a pattern finds no weight, nothing is left to learn, or blocks are asked for
            of a model that has none.
    """
    found = {
        pattern: _found(key, pattern, paths)
        for key, patterns in (
            ("no_decay", choice.no_decay or ()),
            ("rates", choice.rates),
            ("frozen", choice.frozen),
        )
        for pattern in patterns
    }
    every = 0
    if choice.unfreeze_every is not None:
        every = Duration.parse(choice.unfreeze_every).steps(steps_per_epoch, total_steps)
    depth = dict.fromkeys(paths, 0)
    if every or choice.layer_decay != 1:
        depth = depths(paths)
    made = []
    for path in paths:
        factor = choice.layer_decay ** depth[path]
        for pattern, rate in choice.rates.items():
            factor *= rate if path in found[pattern] else 1.0
        if any(path in found[pattern] for pattern in choice.frozen):
            factor = 0.0
        if choice.no_decay is None:
            pulled = decays(path)
        else:
            pulled = not any(path in found[pattern] for pattern in choice.no_decay)
        made.append(Rate(factor, depth[path] * every, pulled))
    if not any(rate.factor for rate in made):
        raise UserError(
            "No weight is left to learn: train.optimizer.frozen and train.optimizer.rates hold all "
            f"{len(made)} of them. Received: frozen={list(choice.frozen)}, rates={choice.rates}."
        )
    return made


def decays(path: str) -> bool:
    """Whether the weight at this path is pulled towards 0 by default: kernels and tables are."""
    return not _NO_DECAY.search(path)


def depths(paths: Iterable[str]) -> dict[str, int]:
    """How far each weight is from the output, in blocks: see the table above.

    Raises:
        UserError: when the model has no blocks.
    """
    paths = list(paths)
    heights: dict[str, int] = {}
    for path in paths:
        if block := _BLOCK.match(path):
            stack = block[1] or ""
            heights[stack] = max(heights.get(stack, 0), int(block[2]) + 1)
    if not heights:
        raise UserError(
            "train.optimizer.layer_decay and unfreeze_every are for models with blocks, and this "
            f"one has none; name its weights in train.optimizer.rates. Received: {paths[:5]}."
        )
    found = {}
    for path in paths:
        if block := _BLOCK.match(path):
            found[path] = heights[block[1] or ""] - int(block[2])
        elif _EMBEDDING.match(path):
            own = [height for stack, height in heights.items() if stack and path.startswith(stack)]
            found[path] = max(own or heights.values()) + 1
        else:
            found[path] = 0
    return found


def _found(key: str, pattern: str, paths: Sequence[str]) -> set[str]:
    """The paths in which a pattern is found, which must be one at least."""
    found = {path for path in paths if re.search(pattern, path)}
    if not found:
        near = difflib.get_close_matches(pattern, paths, n=3, cutoff=0.0)
        raise UserError(
            f"train.optimizer.{key}: no weight's path holds {pattern!r}. The nearest paths are "
            f"{', '.join(near)}. Correct the pattern, or leave it out."
        )
    return found
