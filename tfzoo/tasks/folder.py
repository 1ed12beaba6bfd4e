"""Model folders: what `tfzoo.load` reads, and what training and `tfzoo convert` write.

A tfzoo folder is config.json, model.weights.h5 and the tokenizer's files. Folders of Hugging Face's
transformers and of sentence-transformers are read too, and written by `convert`.
"""

import dataclasses
import inspect
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tfzoo
from tfzoo import models, tasks
from tfzoo.core import json_file
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import UserError
from tfzoo.core.files import folder_aside
from tfzoo.decoding.config import to_generation_config
from tfzoo.tasks import generation
from tfzoo.tasks.recipe import (
    CONFIG,
    FORMAT,
    GENERATION,
    TOKENIZER_FILES,
    Recipe,
    is_tfzoo,
    read_decoding,
    read_hugging_face,
    read_tfzoo,
)
from tfzoo.tasks.task import Task
from tfzoo.text import kinds
from tfzoo.weights import (
    hub,
    hugging_face,
    keras_file,
    keras_hub,
    layouts,
    sentence_transformers,
)

# What a model folder may hold. A folder with anything else in it is never written over.
_REPLACEABLE = {
    CONFIG,
    keras_file.NAME,
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling",
    "2_Normalize",
    *TOKENIZER_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    GENERATION,
}


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a model folder held.

    Attributes:
        model: The Keras model.
        tokenizer: Its tokenizer, or None where the folder has none.
        config: The model's config, the dataclass of its architecture.
        task: Model and tokenizer joined; `task.predict(texts)` answers.
    """

    model: Any
    tokenizer: Any
    config: Any
    task: Task

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the logits, or None."""
        return self.task.labels

    def generate(self, texts: Sequence[str], **options: Any) -> list[Any]:
        """What `task.generate` writes: see `tfzoo.tasks.language_model` for the options.

        Raises:
            UserError: as there, and when the model writes no text.
        """
        found: list[Any] = self._writing().generate(texts, **options)
        return found

    def stream(self, text: str, **options: Any) -> Iterator[str]:
        """What `task.stream` writes, piece by piece.

        Raises:
            UserError: as there, and when the model writes no text.
        """
        pieces: Iterator[str] = self._writing().stream(text, **options)
        return pieces

    def _writing(self) -> Any:
        if not hasattr(self.task, "decoding"):
            raise UserError(
                "Only language models and encoder-decoders write text. "
                f"Received: task={self.task.name}."
            )
        return self.task


def load(
    source: str | os.PathLike[str],
    *,
    head: str | None = None,
    labels: Sequence[str] | None = None,
    new_head: bool = False,
    max_length: int | None = None,
    **overrides: Any,
) -> Loaded:
    """Loads a model folder with every weight accounted for.

    Args:
        source: A tfzoo folder; a folder of Hugging Face's transformers (`hf:` may stand in front),
            with safetensors, tf_model.h5 or flax_model.msgpack; one of sentence-transformers, of
            KerasHub (`keras_hub:`), of T5X; a checkpoint of Google's BERT, of OpenAI's GPT or
            GPT-2. Or a model of the hub, `hf://org/name` or `hf://org/name@revision`, and
            `keras_hub:preset`.
        head: The head to have; None means the one that is stored. `none` leaves the encoder.
        labels: Names of the classes of a new, untrained `head`.
        new_head: Whether `head` is a new, untrained one. `labels` implies it.
        max_length: Tokens beyond which the task truncates a text. None means as stored.
        **overrides: Fields of the architecture's config, such as `dropout`, and options of the
            task, such as `pairs` or `pooling`, that differ from what is stored.

    Returns:
        Model, tokenizer, config and task.

    Raises:
        UserError: in one line, for a folder that is missing, broken, not supported, or whose
            weights do not fit; for a head that is not stored and was not asked for as a new one;
            for an unknown override.
    """
    folder = _existing(source)
    new_head = new_head or labels is not None
    if new_head and head in (None, "none"):
        raise UserError(f"A new head needs its name. Received: head={head!r}, labels={labels!r}.")
    read = read_tfzoo if is_tfzoo(folder) else read_hugging_face
    recipe = read(folder, head, new_head, _checked(labels) if labels is not None else None)
    return _build(recipe, max_length, overrides)


def save(task: Task, folder: str | os.PathLike[str]) -> None:
    """Writes a tfzoo model folder, whole or not at all.

    Args:
        task: The task whose model and tokenizer are written.
        folder: Where to. An existing model folder there is replaced.

    Raises:
        UserError: when `folder` holds something else, or cannot be written.
    """
    fields = models.describe(task.model.config)
    # Only training packs documents into rows; whoever reads the folder would pay for the masks.
    fields.pop("packed", None)
    values = {
        "tfzoo": tfzoo.__version__,
        "format": FORMAT,
        "model": {"name": _architecture(task.model), **fields},
        "task": {"name": task.name, **task.options()},
        "tokenizer": None if task.tokenizer is None else _tokenizer_name(task.tokenizer),
    }

    def write(aside: pathlib.Path) -> None:
        json_file.write(aside / CONFIG, values)
        keras_file.save(task.model, aside / keras_file.NAME)
        if task.tokenizer is not None:
            task.tokenizer.save(aside)
        _save_decoding(task, aside)

    _replace(folder, write)


def save_hugging_face(task: Task, folder: str | os.PathLike[str]) -> None:
    """Writes a folder that transformers loads, whole or not at all.

    An embedding task becomes a sentence-transformers folder, which transformers reads too.

    Args:
        task: The task whose model and tokenizer are written.
        folder: Where to. An existing model folder there is replaced.

    Raises:
        UserError: when `folder` holds something else or cannot be written, or when transformers
            has no word for what the model does.
    """
    layout = models.module(_architecture(task.model)).HUGGING_FACE

    def write(aside: pathlib.Path) -> None:
        pad_id = 0 if task.tokenizer is None else int(task.tokenizer.pad_id)
        hugging_face.write(aside, task.model, layout, task.labels, pad_id)
        if task.tokenizer is not None:
            task.tokenizer.save(aside)
        _save_decoding(task, aside)
        if task.name == "embedding":
            options = task.options()
            sentence_transformers.write(
                aside,
                task.model.config.width,
                options["pooling"],
                options["normalize"],
                task.max_length,
            )

    _replace(folder, write)


def convert(source: str, destination: str) -> None:
    """Reads a model folder and writes it as a tfzoo folder, or, as `hf:FOLDER`, for transformers.

    Raises:
        UserError: as `load` and `save`.
    """
    to_hugging_face = destination.startswith("hf:")
    target = destination.removeprefix("hf:")
    if not target or target.startswith("//"):
        raise UserError(f"Expected a folder to write to. Received: {destination!r}.")
    _check_replaceable(pathlib.Path(target))
    task = load(source).task
    (save_hugging_face if to_hugging_face else save)(task, target)


# Reading.


def _existing(source: str | os.PathLike[str]) -> pathlib.Path:
    text = os.fspath(source)
    if text.startswith(hub.PREFIX):
        return hub.fetch(text)
    is_preset = text.startswith(keras_hub.PREFIX)
    prefix = keras_hub.PREFIX if is_preset else "hf:"
    folder = pathlib.Path(text.removeprefix(prefix)).expanduser()
    if is_preset and not folder.exists() and folder.name == str(folder):
        return hub.fetch(f"{keras_hub.ON_THE_HUB}{folder}")
    if not folder.is_dir():
        what = "is a file, not a model folder" if folder.exists() else "is not a folder"
        raise UserError(
            f"{folder} {what}. Expected a tfzoo or Hugging Face model folder. Received: {text}."
        )
    if not (folder / CONFIG).exists() and not (
        (folder / sentence_transformers.MODULES).exists() or layouts.matches(folder)
    ):
        raise UserError(f"{folder} is not a model folder: it has no {CONFIG}. Received: {text}.")
    return folder


def _checked(labels: Sequence[str]) -> tuple[str, ...]:
    names = tuple(labels)
    wrong = isinstance(labels, str) or any(not isinstance(n, str) or not n for n in names)
    if wrong or len(names) < 2 or len(set(names)) < len(names):
        raise UserError(f"labels must be two or more different names. Received: {labels!r}.")
    return names


# Building.


def _build(recipe: Recipe, max_length: int | None, overrides: dict[str, Any]) -> Loaded:
    task_class = tasks.task_class(recipe.task)
    fields, options = _overridden(recipe, task_class, overrides)
    positions = models.config(recipe.name, **fields).max_length
    tokenizer = _tokenizer(recipe, max_length)
    if max_length is None:
        limits = [positions, options.get("max_length"), getattr(tokenizer, "max_length", None)]
        max_length = min((limit for limit in limits if limit is not None), default=None)
    options["max_length"] = max_length

    model = recipe.build(**fields)
    task = task_class(model, tokenizer, **options)
    if hasattr(task, "decoding"):
        task.decoding = generation.completed(task, read_decoding(recipe.folder))
    return Loaded(model, tokenizer, model.config, task)


def _overridden(
    recipe: Recipe, task_class: Any, overrides: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the config and the options of the task, with what the caller wants changed."""
    ours = {f.name for f in dataclasses.fields(models.model_class(recipe.name).config_class)}
    known = _option_names(task_class)
    for name in overrides:
        if name not in ours | known:
            raise UserError(unknown_name(f"field of {recipe.name}", name, ours | known))
    wrong = sorted(set(recipe.options) - known)
    if wrong:
        raise UserError(
            f"{recipe.folder / CONFIG}: the task {recipe.task} has no option {', '.join(wrong)}."
        )
    _check_options(recipe, task_class)
    fields = {**recipe.fields, **{k: v for k, v in overrides.items() if k in ours}}
    options = {**recipe.options, **{k: v for k, v in overrides.items() if k in known - ours}}
    try:
        models.config(recipe.name, **fields)
    except UserError as error:
        raise UserError(f"{recipe.folder / CONFIG}: {error}") from None
    return fields, options


def _check_options(recipe: Recipe, task_class: Any) -> None:
    """Refuses options of a type that no task writes; their values are checked by the task."""
    types = {"max_length": int, "pairs": bool, "pooling": str, "normalize": bool}
    parameters = inspect.signature(task_class).parameters
    needed = {name for name in parameters if parameters[name].default is inspect.Parameter.empty}
    for name in needed & _option_names(task_class):
        if recipe.options.get(name) is None:
            raise UserError(f"{recipe.folder / CONFIG}: the task does not say its `{name}`.")
    for name, value in recipe.options.items():
        right = type(value) is types.get(name, type(value))
        if name == "labels" and value is not None:
            right = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        if not right:
            raise UserError(
                f"{recipe.folder / CONFIG}: the task's `{name}` is of a wrong type. "
                f"Received: {name}={value!r}."
            )


def _option_names(task_class: Any) -> set[str]:
    names = {*inspect.signature(task_class).parameters, *inspect.signature(Task).parameters}
    return names - {"model", "tokenizer", "options"}


def _tokenizer(recipe: Recipe, max_length: int | None) -> Any:
    if recipe.tokenizer is None:
        return None
    try:
        kinds.class_of(str(recipe.tokenizer))
    except UserError as error:
        raise UserError(f"{recipe.folder / CONFIG}: {error}") from None
    with layouts.tokenizer_folder(recipe.folder) as place:
        tokenizer: Any = kinds.read(recipe.tokenizer, place)
        if max_length is not None and max_length > tokenizer.max_length:
            # What the folder says is a habit of its tokenizer, not a limit of the model.
            return kinds.read(recipe.tokenizer, place, max_length=max_length)
    return tokenizer


# Writing.


def _replace(folder: str | os.PathLike[str], write: Callable[[pathlib.Path], None]) -> None:
    target = pathlib.Path(os.path.abspath(pathlib.Path(folder).expanduser()))
    _check_replaceable(target)
    try:
        with folder_aside(target) as aside:
            write(aside)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"{target} cannot be written: {reason}.") from None


def _check_replaceable(target: pathlib.Path) -> None:
    """Refuses to write over anything that is not an earlier model folder or empty."""
    target = target.expanduser()
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file. Give the path of a folder that does not exist yet.")
    other = sorted(p.name for p in target.iterdir()) if target.exists() else []
    other = [name for name in other if name not in _REPLACEABLE]
    if other:
        raise UserError(
            f"{target} holds files that are no model's; it is not written over. Give another "
            f"folder. Received: {', '.join(other[:5])}{', ...' if len(other) > 5 else ''}."
        )


def _save_decoding(task: Task, folder: pathlib.Path) -> None:
    """Writes how text is written, of a task that writes any."""
    if hasattr(task, "decoding"):
        json_file.write(folder / GENERATION, to_generation_config(task.decoding))


def _architecture(model: Any) -> str:
    return str(type(model).__module__).rpartition(".")[2]


def _tokenizer_name(tokenizer: Any) -> str:
    for name, (module, class_name) in kinds.KINDS.items():
        if (type(tokenizer).__module__, type(tokenizer).__name__) == (module, class_name):
            return name
    raise UserError(f"No folder can hold this tokenizer. Received: {type(tokenizer).__name__}.")
