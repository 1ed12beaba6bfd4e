"""The one base class of the zoo: a Keras model that is fully described by a dataclass."""

import dataclasses
import numbers
from typing import Any, ClassVar

import keras
from keras import ops

from tfzoo.core.errors import UserError
from tfzoo.layers import caches


@dataclasses.dataclass(frozen=True)
class Stack:
    """One pile of blocks of a model's graph.

    Attributes:
        blocks: For each block, in order: the layer, the tensor it was called on, and the other
            tensors, by the names of its arguments.
        output: What leaves the last block, and the norm behind it where there is one.
    """

    blocks: tuple[tuple[keras.layers.Layer, Any, dict[str, Any]], ...]
    output: Any


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What the graph of a model looked like while it was drawn, kept for `features` and `probe`.

    Attributes:
        features: Keras tensors below the head, by output name.
        stacks: The blocks, by what their names in `probe` begin with: "", or `encoder_` and
            `decoder_`.
        policy: Keras' precision policy under which it was drawn.
    """

    features: dict[str, Any]
    stacks: dict[str, Stack]
    policy: str = dataclasses.field(default_factory=lambda: keras.config.dtype_policy().name)


class Model(keras.Model):
    """A functional Keras model built from a frozen config.

    A subclass names its dataclass in `config_class`, and its `__init__` takes the config, draws the
    graph from top to bottom, and hands it to `super().__init__`. No architecture is subclassed.

    One with a decoder has `decoder_blocks`, and draws its graph with two methods that `step` calls
    too, so that training and decoding with caches are the same code: `_decode(token_ids, caches=,
    start=, ...)`, which gives the `(b, t, d)` sequence and the caches first, and `logits`, which
    makes float32 scores of that. One with an encoder besides has `_encode(token_ids,
    padding_mask)`, which gives the `(b, k, d)` sequence first, and its `_decode` takes
    `encoder_padding_mask`.

    Attributes:
        config: The dataclass it was built from.
        drawing: The inner tensors of its graph.
    """

    config_class: ClassVar[type]

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "config": dataclasses.asdict(self.config),
            "policy": self.drawing.policy,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Model":
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(config["policy"])
        try:
            return cls(cls.config_class(**config["config"]), name=config["name"])
        finally:
            keras.config.set_dtype_policy(before)

    def logits(self, x_bkd: Any) -> Any:
        """The language model alone, on any vectors of the sequence, and on the model's own weights.

        On vectors gathered from `features()["sequence"]` it gives what the whole model gives there.
        So training scores only the tokens that count: of BERT's 128, the 20 that are masked.

        Args:
            x_bkd: `(b, k, d)` vectors of a decoder, or of an encoder with a masked language model.

        Returns:
            `(b, k, v)` float32 scores.

        Raises:
            UserError: when the model has no such head.
        """
        raise UserError(
            f"{self.name} has no head that scores the vocabulary. Load or build it with one, such "
            f"as head='masked_lm'. Received: head={self.config.head!r}."
        )

    def encode(self, encoder_token_ids: Any, encoder_padding_mask: Any = None) -> Any:
        """The encoder's output, `(b, k, d)`, for `(b, k)` int32 ids and mask (None: all real).

        Raises:
            UserError: when there is no decoder that it is for.
        """
        self._require_decoder(hasattr(self, "_encode"), "encoder and decoder")
        return self._encode(encoder_token_ids, encoder_padding_mask)[0]

    def empty_caches(self, rows: Any, length: Any) -> Any:
        """The caches of no tokens yet; see `tfzoo.layers.caches`.

        Args:
            rows: Number of rows, b; of an encoder-decoder what `encode` gave for them.
            length: How many tokens there is room for.

        Raises:
            UserError: when there is no decoder, or `rows` is not what it must be.
        """
        self._require_decoder()
        if hasattr(self, "_encode") != (len(getattr(rows, "shape", ())) == 3):
            wanted = "what `encode` gave" if hasattr(self, "_encode") else "the number of rows"
            raise UserError(f"empty_caches of {self.name} takes {wanted}. Received: {rows!r}.")
        if hasattr(self, "_encode"):
            return caches.empty(self.decoder_blocks, ops.shape(rows)[0], length, rows)
        return caches.empty(self.decoder_blocks, rows, length)

    def read(
        self, token_ids_bt: Any, caches: Any, start: Any = 0, encoder_padding_mask: Any = None
    ) -> tuple[Any, Any]:
        """Reads `t` more tokens of a decoder, and scores nothing.

        Args:
            token_ids_bt: `(b, t)` int32, the tokens at positions `start` to `start + t`.
            caches: What `empty_caches` or the last call gave.
            start: Number of tokens read before: an int, or int32 `()` or `(b,)`, one for each row.
                Where it is not known before running, the caller keeps it in bounds: keys beyond the
                end of the caches are lost.
            encoder_padding_mask: `(b, k)` with 1 on the encoder's real tokens; None: all are real.

        Returns:
            The `(b, t, d)` sequence, which `logits` scores the vocabulary by, and the caches.

        Raises:
            UserError: when there is no decoder, rows are not as many as in the caches, or tokens go
                beyond their end.
        """
        self._require_decoder()
        start = int(start) if isinstance(start, numbers.Integral) else start
        _check_step(token_ids_bt, caches, start)
        mask = encoder_padding_mask
        encoder = {} if mask is None else {"encoder_padding_mask": mask}
        x_btd, caches, _ = self._decode(token_ids_bt, caches=caches, start=start, **encoder)
        return x_btd, caches

    def step(
        self, token_ids_bt: Any, caches: Any, start: Any = 0, encoder_padding_mask: Any = None
    ) -> tuple[Any, Any]:
        """Reads `t` more tokens of a decoder; takes and raises what `read` does.

        Returns:
            `(b, t, v)` float32 logits of the token after each, and the caches.
        """
        x_btd, caches = self.read(token_ids_bt, caches, start, encoder_padding_mask)
        return self.logits(x_btd), caches

    def _require_decoder(self, there: bool = True, what: str = "decoder") -> None:
        if not there or getattr(self, "decoder_blocks", None) is None:
            raise UserError(
                f"{self.name} has no {what} to go step by step. Received: "
                f"head={self.config.head!r}."
            )

    def features(self) -> keras.Model:
        """A Keras model on the same weights that stops below the head: `sequence`, `pooled`.

        Of an encoder-decoder also `encoder_sequence`; `sequence` is the decoder's.
        """
        return keras.Model(self.input, dict(self.drawing.features), name=f"{self.name}_features")

    def probe(self) -> keras.Model:
        """A Keras model on the same weights whose output dict also shows what happens inside.

        Returns:
            A model with the outputs of this one, the features, `hidden_states_0` (the embeddings)
            to `hidden_states_n`, each `(b, t, d)`, and `attentions_0` to `attentions_{n-1}`, the
            attention weights of each block, `(b, h, q, k)`. Of an encoder-decoder with `encoder_`
            or `decoder_` in front, and with `cross_attentions_i`. The numbering is transformers';
            the last hidden state has gone through the final norm, where there is one.
        """
        seen = {**self.drawing.features, **self.output}
        for prefix, stack in self.drawing.stacks.items():
            for i, (block, x_btd, others) in enumerate(stack.blocks):
                seen[f"{prefix}hidden_states_{i}"] = x_btd
                name = f"probed_{prefix}{i}"
                _, *weights = _Probed(block, name=name)(x_btd, **others)
                seen[f"{prefix}attentions_{i}"] = weights[0]
                if len(weights) > 1:
                    seen[f"cross_attentions_{i}"] = weights[1]
            seen[f"{prefix}hidden_states_{len(stack.blocks)}"] = stack.output
        return keras.Model(self.input, seen, name=f"{self.name}_probe")


def _check_step(token_ids_bt: Any, caches: Any, start: Any) -> None:
    """Refuses what can be seen to be wrong; sizes that are not known yet pass."""
    if not caches:
        return
    rows, length = token_ids_bt.shape
    room = caches[0]["cache"][0].shape
    if isinstance(rows, int) and isinstance(room[0], int) and rows != room[0]:
        raise UserError(f"The caches are of {room[0]} rows. Received: token ids of {rows} rows.")
    known = all(isinstance(size, int) for size in (start, length, room[2]))
    if known and not 0 <= start <= room[2] - length:
        raise UserError(
            f"The caches have room for {room[2]} tokens. Received: {length} tokens, start={start}."
        )


class _Probed(keras.layers.Layer):
    """A block that also returns its attention weights.

    Keras (3.15, `Function.__init__`) takes the number of a layer's outputs from its first call, so
    the block itself cannot be called again for one more.
    """

    def __init__(self, block: keras.layers.Layer, name: str):
        super().__init__(name=name, autocast=False)  # the block casts what it is given
        self.block = block

    def call(
        self,
        x_btd: Any,
        mask_bqk: Any = None,
        bias_bhqk: Any = None,
        encoder_bkd: Any = None,
        encoder_mask_bqk: Any = None,
    ) -> Any:
        return self.block(
            x_btd,
            mask_bqk=mask_bqk,
            bias_bhqk=bias_bhqk,
            encoder_bkd=encoder_bkd,
            encoder_mask_bqk=encoder_mask_bqk,
            return_weights=True,
        )
