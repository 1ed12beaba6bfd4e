"""The one base class of the zoo: a Keras model that is fully described by a dataclass."""

import dataclasses
from typing import Any, ClassVar

import keras


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What the graph of a model looked like while it was drawn, kept for `features` and `probe`.

    Attributes:
        features: Keras tensors below the head, by output name.
        blocks: For each block, in order: the layer, the tensor and the mask it was called on.
        policy: Keras' precision policy under which it was drawn.
    """

    features: dict[str, Any]
    blocks: tuple[tuple[keras.layers.Layer, Any, Any], ...]
    policy: str = dataclasses.field(default_factory=lambda: keras.config.dtype_policy().name)


class Model(keras.Model):
    """A functional Keras model built from a frozen config.

    A subclass names its dataclass in `config_class`, and its `__init__` takes the config, draws the
    graph from top to bottom, and hands it to `super().__init__`. Nothing else is inherited, and
    architectures are never subclassed.

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

    def features(self) -> keras.Model:
        """A Keras model on the same weights that stops below the head: `sequence`, `pooled`."""
        return keras.Model(self.input, dict(self.drawing.features), name=f"{self.name}_features")

    def probe(self) -> keras.Model:
        """A Keras model on the same weights whose output dict also shows what happens inside.

        Returns:
            A model with the outputs of this one, the features, `hidden_states_0` (the embeddings)
            to `hidden_states_n`, each `(b, t, d)`, and `attentions_0` to `attentions_{n-1}`, the
            attention weights of each block, `(b, h, q, k)`. The numbering is transformers'.
        """
        seen = {**self.drawing.features, **self.output}
        for i, (block, x_btd, mask_bqk) in enumerate(self.drawing.blocks):
            seen[f"hidden_states_{i}"] = x_btd
            output_btd, weights_bhqk = _Probed(block, name=f"probed_{i}")(x_btd, mask_bqk)
            seen[f"attentions_{i}"] = weights_bhqk
            seen[f"hidden_states_{i + 1}"] = output_btd
        return keras.Model(self.input, seen, name=f"{self.name}_probe")


class _Probed(keras.layers.Layer):
    """A block that also returns its attention weights.

    Keras (3.15, `Function.__init__`) takes the number of a layer's outputs from its first call, so
    the block itself cannot be called again for one more.
    """

    def __init__(self, block: keras.layers.Layer, name: str):
        super().__init__(name=name)
        self.block = block

    def call(self, x_btd: Any, mask_bqk: Any) -> Any:
        return self.block(x_btd, mask_bqk=mask_bqk, return_weights=True)
