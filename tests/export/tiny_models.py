"""Writes the small SavedModels that the tests of export and serve run; run as a script.

    python tiny_models.py OUT    ->    OUT/{words,numbers,text,compiled}/1, OUT/words/2

A script, so that TensorFlow stays out of the process that tests that it is not needed.
"""

import pathlib
import sys

import tensorflow as tf
import tensorflow_text

from tfzoo.export import wire


class Words(tf.Module):
    """Strings in, several outputs; classify and regress as TensorFlow Serving has them."""

    def __init__(self, version):
        super().__init__()
        self.version = tf.Variable(version, dtype=tf.int32)
        self.weight = tf.Variable(0.5)
        self.names = tf.constant(["short", "long"])

    def _scores(self, text):
        length = tf.cast(tf.strings.length(text), tf.float32)[:, None]
        return tf.concat([10.0 - length, length], axis=1) * self.weight

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def predict(self, text):
        scores = self._scores(text)
        return {
            "scores": scores,
            "label": tf.gather(self.names, tf.argmax(scores, axis=1)),
            "raw_bytes": text,
            "version": tf.fill(tf.shape(text), self.version),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def length(self, text):
        return {"length": tf.cast(tf.strings.length(text), tf.float32)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.string, name="pair"),
        ]
    )
    def joined(self, text, pair):
        return {"joined": tf.strings.join([text, pair], "|")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        text = tf.io.parse_example(inputs, {"text": tf.io.FixedLenFeature([], tf.string)})["text"]
        scores = self._scores(text)
        return {"scores": scores, "classes": tf.tile(self.names[None], [tf.size(text), 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        features = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return {"outputs": tf.io.parse_example(inputs, features)["x"] * self.weight + 3.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def slow(self, text):
        # A tenth of a second of work or more, that only the graph sees.
        steps = tf.constant(60)
        grid = tf.fill([512, 512], 1e-3)
        out = tf.while_loop(
            lambda i, g: i < steps, lambda i, g: (i + 1, g @ grid), [tf.constant(0), grid]
        )[1]
        return {"length": tf.cast(tf.strings.length(text), tf.float32) + 0 * out[0, 0]}


class Numbers(tf.Module):
    """Every plain number type, a fixed axis, a scalar, and non-finite answers."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="f"),
            tf.TensorSpec([None], tf.int32, name="i"),
            tf.TensorSpec([None], tf.int64, name="l"),
            tf.TensorSpec([None], tf.bool, name="b"),
            tf.TensorSpec([None], tf.float64, name="d"),
        ]
    )
    def echo(self, f, i, l, b, d):  # noqa: E741
        return {"f": f, "i": i, "l": l, "b": b, "d": d}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_plus_three(self, x):
        return {"y": x * 0.5 + 3.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def log(self, x):
        return {"y": tf.math.log(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def scalar(self, x):
        return {"y": x * 2.0}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
    def any_rank(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="x")])
    def choose(self, x):
        return {"y": tf.gather([1.0, 2.0], x)}


class Text(tf.Module):
    """Needs an op of tensorflow-text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def predict(self, text):
        return {"folded": tensorflow_text.case_fold_utf8(text)}


class Compiled(tf.Module):
    """Needs XLA, which TensorFlow Serving does not allow unless told to."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")], jit_compile=True)
    def predict(self, x):
        return {"y": x * 2.0}


def save(module, path, **signatures):
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(path), signatures=signatures, options=options)
    return path


def set_methods(path, methods):
    """Names the methods of signatures, which tf.saved_model.save always calls predict."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for name, value in methods.items():
        message.meta_graphs[0].signature_def[name].method_name = f"tensorflow/serving/{value}"
    file.write_bytes(message.SerializeToString())


def warm_up(path):
    """Brings along one request, as a TFRecord of PredictionLog."""
    text = b"\x08\x07" + wire.delimited(2, wire.delimited(2, b"\x08\x01")) + wire.delimited(8, "a")
    entry = wire.delimited(1, "text") + wire.delimited(2, text)
    request = wire.delimited(1, wire.delimited(3, "length")) + wire.delimited(2, entry)
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(wire.delimited(6, wire.delimited(1, request)))


def main(out):
    for version in (1, 2):
        words = Words(version)
        path = save(
            words,
            out / "words" / str(version),
            serving_default=words.predict,
            length=words.length,
            pairs=words.joined,
            classify=words.classify,
            regress=words.regress,
            slow=words.slow,
        )
        set_methods(path, {"classify": "classify", "regress": "regress"})
    warm_up(path)
    numbers = Numbers()
    save(
        numbers,
        out / "numbers" / "1",
        serving_default=numbers.half_plus_three,
        echo=numbers.echo,
        log=numbers.log,
        scalar=numbers.scalar,
        any_rank=numbers.any_rank,
        choose=numbers.choose,
    )
    text = Text()
    save(text, out / "text" / "1", serving_default=text.predict)
    compiled = Compiled()
    save(compiled, out / "compiled" / "1", serving_default=compiled.predict)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
