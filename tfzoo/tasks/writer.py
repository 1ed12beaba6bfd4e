"""Writes texts from Python: many of them in batches, or one piece by piece.

texts ─► prompts, the longest together ─► a function of the config, traced once ─► texts
"""

import dataclasses
import functools
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfzoo.core import config as core_config
from tfzoo.core.errors import UserError
from tfzoo.decoding import config as decoding_config
from tfzoo.decoding import generate as decoding
from tfzoo.decoding.config import DecodingConfig
from tfzoo.tasks import generation
from tfzoo.text.tokenizer import as_texts

_TOKENIZED_AT_ONCE = 1024
_FUNCTIONS = 32  # that are kept, of as many configs
_OUTPUTS = ("output_scores", "output_logits")


@dataclasses.dataclass(frozen=True)
class Wish:
    """How the texts of a call are written.

    Attributes:
        config: What shapes the graph; what requests may set has its default there.
        rows: A vector for each of the rest, one number a text.
    """

    config: DecodingConfig
    rows: dict[str, np.ndarray]


class Writer:
    """Writes texts with the model of a task.

    Args:
        task: A task that has `decoding`.
    """

    def __init__(self, task: Any):
        self._task = task
        self.function = functools.lru_cache(_FUNCTIONS)(self._make)
        self._listeners: dict[int, queue.SimpleQueue[int]] = {}

    def generate(
        self, texts: Sequence[str], batch_size: int, progress: bool, options: Mapping[str, Any]
    ) -> list[Any]:
        """The texts that are written after `texts`; see `tfzoo.tasks.language_model`."""
        wish = self._wish(options, len(texts))
        prompts = self._prompts(texts)
        self._check_room(wish, prompts)
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        found: list[Any] = [None] * len(prompts)
        with tqdm(total=len(order), desc="generate", unit="text", disable=not progress) as bar:
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = [prompts[i] for i in rows]
                written = self._run(wish, batch, rows)["text"].numpy().tolist()
                for i, text in zip(rows, written, strict=True):
                    found[i] = _decoded(text)
                bar.update(len(rows))
        return found

    def stream(self, text: str, options: Mapping[str, Any]) -> Iterator[str]:
        """The text that is written after `text`, in pieces, as soon as they are certain.

        Raises:
            UserError: as `generate`, and where several texts are followed at once.
        """
        wish = self._wish(options, 1)
        config = wish.config
        if config.num_beams > 1 or config.penalty_alpha or config.num_return_sequences > 1:
            raise UserError(
                "A stream follows one text: it takes no beams, no contrastive search, and returns "
                f"one sequence. Received: num_beams={config.num_beams}, "
                f"penalty_alpha={config.penalty_alpha}, "
                f"num_return_sequences={config.num_return_sequences}."
            )
        prompts = self._prompts([text])
        self._check_room(wish, prompts)
        return self._pieces(wish, prompts[0])

    def _wish(self, options: Mapping[str, Any], count: int) -> Wish:
        """What a caller wants.

        Raises:
            UserError: for a model without a head, an option that there is not, or a value that it
                does not take.
        """
        if not hasattr(self._task, "decoding"):
            raise UserError("This model has no head to write with. Load it with one: head=...")
        own = {n: v for n, v in options.items() if n in decoding_config.NEUTRAL and _is_many(v)}
        for name, values in own.items():
            if len(values) != count:
                raise UserError(
                    f"{name} must be one value, or one for each of the {count} texts. "
                    f"Received: {len(values)} values."
                )
        for name in _OUTPUTS:
            if options.get(name):
                raise UserError(
                    f"generate gives texts; tfzoo.decoding.generate gives scores too. "
                    f"Received: {name}={options[name]}."
                )
        single = {name: value for name, value in options.items() if name not in own}
        values = core_config.to_dict(self._task.decoding) | single
        if "max_length" in single and "max_new_tokens" not in options:
            values["max_new_tokens"] = None
        if "max_new_tokens" in own:
            values["max_new_tokens"] = None
        config = core_config.from_dict(DecodingConfig, values)
        rows = {
            name: np.full(count, value, decoding_config.DTYPES[name].as_numpy_dtype)
            for name, value in _rows_of(config, own).items()
        }
        for name, given in own.items():
            rows[name] = np.asarray(given, decoding_config.DTYPES[name].as_numpy_dtype)
        defaults = {f.name: f.default for f in dataclasses.fields(DecodingConfig)}
        return Wish(dataclasses.replace(config, **{n: defaults[n] for n in rows}), rows)

    def _prompts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The token ids of each text.

        Raises:
            UserError: without a tokenizer, for what is no list of texts, and for a text without a
                token.
        """
        task = self._task
        if task.tokenizer is None:
            raise UserError("This model came without a tokenizer; there is nothing to read with.")
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UserError(
                f"Texts must be a list of strings: put one text into a list. "
                f"Received: {texts!r:.60}."
            )
        found: list[np.ndarray] = []
        with tf.device("CPU"):
            for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
                some = as_texts(list(texts[start : start + _TOKENIZED_AT_ONCE]))
                ids = generation.prompts(task, some)
                found += np.split(ids.flat_values.numpy(), ids.row_splits.numpy()[1:-1])
        for text, row in zip(texts, found, strict=True):
            if not len(row):
                raise UserError(
                    f"A text has no tokens, so there is nothing to go on from. Give it at least a "
                    f"word. Received: {text!r:.60}."
                )
        return found

    def _check_room(self, wish: Wish, prompts: Sequence[np.ndarray]) -> None:
        """Refuses what would exceed the positions of the model."""
        room = decoding.positions(self._task.model)
        if room is None or not prompts:
            return
        before = np.array([len(row) for row in prompts])
        if not generation.is_decoder(self._task):
            before = np.ones_like(before)
        new = wish.rows.get("max_new_tokens")
        if new is None:
            new = np.maximum((wish.config.max_length or 0) - before, 1)
        worst = int(np.argmax(before + new))
        if before[worst] + new[worst] > room:
            raise UserError(
                f"The model has {room} positions, and prompt and new tokens are more. Shorten the "
                f"text or lower max_new_tokens. Received: {before[worst]} tokens and "
                f"max_new_tokens={new[worst]}."
            )

    def _run(self, wish: Wish, prompts: list[np.ndarray], rows: list[int], sink: int = -1) -> Any:
        lengths = np.array([len(row) for row in prompts], np.int32)
        ids = np.zeros([len(prompts), lengths.max()], np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        aligned = bool((lengths == lengths[0]).all())
        names = tuple(sorted(wish.rows))
        function = self.function(wish.config, names, aligned, sink >= 0)
        vectors = [wish.rows[name][rows] for name in names]
        return function(ids, lengths, np.int32(sink), *vectors)

    def _make(
        self, config: DecodingConfig, names: tuple[str, ...], aligned: bool, tells: bool
    ) -> Any:
        """The function of a config: ids, lengths and vectors to what was written."""
        task = self._task
        specs = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)]
        specs += [tf.TensorSpec([], tf.int32)]
        specs += [tf.TensorSpec([None], decoding_config.DTYPES[name]) for name in names]

        def write(ids: tf.Tensor, lengths: tf.Tensor, sink: tf.Tensor, *values: tf.Tensor) -> Any:
            requests = dict(zip(names, values, strict=True))
            model = _Telling(task.model, self._tell, sink) if tells else None
            real = None if aligned else lengths
            found = generation.written(task, config, ids, real, requests, model)
            prompt = tf.RaggedTensor.from_tensor(ids, lengths)
            return {**found, "text": generation.texts(task, config, prompt, found)}

        return tf.function(write, input_signature=specs, autograph=False)

    def _pieces(self, wish: Wish, prompt: np.ndarray) -> Iterator[str]:
        tokens: queue.SimpleQueue[Any] = queue.SimpleQueue()
        number = id(tokens) % 2**31
        self._listeners[number] = tokens

        def run() -> None:
            try:
                tokens.put(_decoded(self._run(wish, [prompt], [0], number)["text"].numpy()[0]))
            except Exception as error:
                tokens.put(error)

        threading.Thread(target=run, name="stream", daemon=True).start()
        try:
            yield from self._until_end(wish.config, prompt, tokens)
        finally:
            self._listeners.pop(number, None)

    def _until_end(
        self, config: DecodingConfig, prompt: np.ndarray, tokens: queue.SimpleQueue[Any]
    ) -> Iterator[str]:
        given, ids = "", list[int]()
        while isinstance(item := tokens.get(), int):
            ids.append(item)
            certain = _certain(self._text(config, prompt, ids), config.stop_strings)
            if certain.startswith(given) and len(certain) > len(given):
                yield certain[len(given) :]
                given = certain
        if isinstance(item, Exception):
            raise item
        if len(item) > len(given):
            yield item[len(given) :]

    def _text(self, config: DecodingConfig, prompt: np.ndarray, ids: list[int]) -> str:
        found = {"token_ids": tf.constant([[ids]]), "lengths": tf.constant([[len(ids)]])}
        before = tf.RaggedTensor.from_tensor(prompt[None])
        text = generation.texts(self._task, config, before, found)
        return str(_decoded(text.numpy()[0]))

    def _tell(self, sink: tf.Tensor, token_b1: tf.Tensor) -> tf.Tensor:
        """Passes a token on. Who has stopped listening stops the writing."""
        self._listeners[int(sink)].put(int(token_b1[0, 0]))
        return token_b1


class _Telling:
    """A model that tells of each token that it reads after the prompt."""

    def __init__(self, model: Any, tell: Any, sink: tf.Tensor):
        self.__dict__.update(vars(model))
        self._model, self._tell, self._sink = model, tell, sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def step(self, token_ids: tf.Tensor, *arguments: Any) -> Any:
        told = tf.py_function(self._tell, [self._sink, token_ids], tf.int32)
        return self._model.step(tf.ensure_shape(told, token_ids.shape), *arguments)


def _rows_of(config: DecodingConfig, own: Mapping[str, Any]) -> dict[str, Any]:
    """Of what rows may have for themselves, what does something and is one value for all."""
    draws = config.do_sample or "do_sample" in own
    found = {}
    for name, neutral in decoding_config.NEUTRAL.items():
        value = decoding_config.default(config, name)
        needless = name in generation.DRAWS and not draws
        # Which search it is shapes the graph, and its lengths may depend on the prompts.
        if name == "do_sample" or name in own or needless or value in (None, neutral):
            continue
        if name == "max_new_tokens" and config.max_new_tokens is None and config.max_length:
            continue
        found[name] = value
    return found


def _certain(text: str, stop_strings: Sequence[str]) -> str:
    """What of a text stays as it is whatever is written behind it."""
    text = text.rstrip("\ufffd")  # half of a character
    held = max(map(len, stop_strings), default=1) - 1
    return text[: len(text) - held]


def _decoded(text: Any) -> Any:
    """Bytes as text, also within a list."""
    if isinstance(text, list):
        return [_decoded(each) for each in text]
    return text.decode("utf-8", "replace")


def _is_many(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)
