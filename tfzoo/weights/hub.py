"""Model folders of the Hugging Face hub, fetched into its cache: `hf://org/name[@revision]`.

The package huggingface_hub does the work and has the settings: `HF_TOKEN` for private and gated
models, `HF_HUB_OFFLINE=1` for the cache alone, `HF_HOME` for where it lies. A download that breaks
off goes on where it stopped, and files that are whole are never fetched again.
"""

import pathlib
import re
import sys
from typing import Any

from tfzoo.core.errors import UserError

PREFIX = "hf://"

# What a model folder needs beside its weights.
_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "source.spm",
    "target.spm",
    # sentence-transformers
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*_Pooling/config.json",
    "*_Normalize/config.json",
    # KerasHub
    "task.json",
    "assets/tokenizer/*",
)
# The weights, best first: no second form is fetched where the first one is there.
_WEIGHTS = (
    ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json"),
    ("tf_model.h5", "tf_model-*.h5", "tf_model.h5.index.json"),
    ("flax_model.msgpack", "flax_model-*.msgpack", "flax_model.msgpack.index.json"),
    ("model.weights.h5", "task.weights.h5"),
)


def fetch(address: str) -> pathlib.Path:
    """The folder of a model in the hub's cache, downloaded as far as it is not there yet.

    Args:
        address: `hf://org/name`, or `hf://org/name@revision` with a branch, tag or commit.

    Raises:
        UserError: in one line, when there is no such model or revision, when it may not be read,
            when it cannot be reached and is not in the cache, or holds no weights that we read.
    """
    name, _, revision = address.removeprefix(PREFIX).partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or (revision == "") == ("@" in address):
        raise UserError(
            f"Expected hf://ORGANIZATION/NAME or hf://.../NAME@REVISION. {_got(address)}"
        )
    for weights in _WEIGHTS:
        folder = _snapshot(name, revision or None, weights, address)
        if any(next(folder.glob(pattern), None) for pattern in weights):
            return folder
        revision = folder.name  # the commit, so that all files are of one state
    listed = ", ".join(weights[0] for weights in _WEIGHTS)
    raise UserError(
        f"{name} has no weights that tfzoo fetches. Expected {listed}; PyTorch pickles "
        f"(pytorch_model.bin) are never fetched. {_got(address)}"
    )


def _snapshot(
    name: str, revision: str | None, weights: tuple[str, ...], address: str
) -> pathlib.Path:
    import huggingface_hub  # 0.4 s, which only those who use it should wait
    from huggingface_hub import constants, errors, utils

    quiet = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    if quiet:
        utils.disable_progress_bars()
    try:
        patterns: Any = [*_FILES, *weights]
        found = huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns)
        return pathlib.Path(found)
    except errors.GatedRepoError:
        why = (
            f"{name} is gated. Accept its terms at {constants.ENDPOINT}/{name}, then set HF_TOKEN "
            f"to a token of yours."
        )
    except errors.RepositoryNotFoundError:
        why = (
            f"The hub has no model {name}, or it is private. Check the name, or set HF_TOKEN to a "
            f"token that may read it."
        )
    except errors.RevisionNotFoundError:
        why = f"{name} has no revision {revision}. Expected a branch, a tag or a commit of it."
    except errors.LocalEntryNotFoundError as error:
        state = "HF_HUB_OFFLINE is set"
        if not constants.HF_HUB_OFFLINE:
            state = f"The hub cannot be reached ({_first_line(error.__cause__ or error)})"
        whole_name = f"{name}@{revision}" if revision else name
        why = (
            f"{state}, and {whole_name} is not whole in the cache {constants.HF_HUB_CACHE}. "
            f"Fetch it once with a network."
        )
    except Exception as error:  # which library of HTTP it uses has changed twice
        why = f"{name} cannot be fetched: {_first_line(error)}."
    finally:
        if quiet:
            utils.enable_progress_bars()
    raise UserError(f"{why} {_got(address)}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _got(address: str) -> str:
    return f"Received: {address}."
