"""Texts in two languages, or any texts that belong together in pairs, and how to learn from them.

Source: Sutskever et al. 2014, section 3, https://arxiv.org/abs/1409.3215; teacher forcing, Williams
and Zipser 1989.

    decoder ids   <start> Ein Mann schläft
    labels        Ein Mann schläft </s>       each token from those before it
"""

import pathlib

import tensorflow as tf
from absl import logging

from tfzoo.core.errors import UserError
from tfzoo.data import tables, text_files
from tfzoo.data.batches import Batch, Source
from tfzoo.data.span_corruption import shifted
from tfzoo.data.tables import Column, Columns, Table


def read(paths: str | tuple[str, str], text: Column = "text", pair: Column = "pair") -> Table:
    """Reads pairs of texts.

    Args:
        paths: A table, as `tfzoo.data.tables.read` takes it, or two plain files, or .gz, whose
            lines belong together, the sources first.
        text: Column of the source in a table.
        pair: Column of the target in a table.

    Raises:
        UserError: as `tables.read`; for files of different numbers of lines, or without any pair.
    """
    if isinstance(paths, str):
        return tables.read(paths, Columns(text, None, pair))
    columns = [_lines(path) for path in paths]
    if len(columns[0]) != len(columns[1]):
        raise UserError(
            f"Lines that belong together must be as many in both files. Received: "
            f"{len(columns[0])} in {paths[0]}, {len(columns[1])} in {paths[1]}."
        )
    numbered = enumerate(zip(*columns, strict=True), 1)
    rows = [(line, source, target) for line, (source, target) in numbered if source and target]
    if not rows:
        raise UserError(f"{paths[0]} and {paths[1]} hold no pair of lines that are not blank.")
    if len(rows) < len(columns[0]):
        blank = len(columns[0]) - len(rows)
        logging.info("%d pairs of %s left out, with a blank side.", blank, paths[0])
    lines, sources, targets = zip(*rows, strict=True)
    return Table(" and ".join(paths), lines, sources, targets, None)


def teacher_forcing(
    sources: tf.RaggedTensor,
    targets: tf.RaggedTensor,
    pad_id: int,
    decoder_start_id: int,
    width: int | None = None,
) -> Source:
    """Pairs as examples of an encoder-decoder.

    Args:
        sources: `(n, (k))` int32, what the encoder reads.
        targets: `(n, (t))` int32, what the decoder is to write, their ends included.
        pad_id: What fills up the rows.
        decoder_start_id: What the decoder begins with.
        width: Width of all rows. None: that of the longest of a batch.

    Returns:
        A source of inputs `encoder_token_ids`, `encoder_padding_mask` `(b, k)`,
        `decoder_token_ids`, `decoder_padding_mask` and targets `labels`, `label_weights` `(b, t)`,
        and `weight` `(b,)`. Its `lengths`, without `width`, are the tokens of both texts.
    """

    def examples(rows: tf.Tensor, epoch: tf.Tensor, is_real: tf.Tensor) -> Batch:
        encoder_bk, encoder_mask_bk = _dense(sources, rows, pad_id, width)
        labels_bt, mask_bt = _dense(targets, rows, pad_id, width)
        weight = tf.cast(is_real, tf.float32)
        inputs = {
            "encoder_token_ids": encoder_bk,
            "encoder_padding_mask": encoder_mask_bk,
            "decoder_token_ids": shifted(labels_bt, decoder_start_id),
            "decoder_padding_mask": mask_bt,
        }
        weights_bt = tf.cast(mask_bt, tf.float32) * weight[:, None]
        return inputs, {"labels": labels_bt, "label_weights": weights_bt, "weight": weight}

    lengths = None if width else targets.row_lengths() + sources.row_lengths()
    return Source(int(sources.nrows()), examples, lengths)


def _dense(
    texts: tf.RaggedTensor, rows: tf.Tensor, pad_id: int, width: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Some texts and their masks, as wide as the longest of them, or as `width`."""
    chosen = tf.gather(texts, rows)
    ids_bt = chosen.to_tensor(pad_id, shape=[None, width])
    mask_bt = tf.sequence_mask(chosen.row_lengths(), tf.shape(ids_bt)[1], tf.int32)
    return tuple(tf.ensure_shape(x_bt, [rows.shape[0], width]) for x_bt in (ids_bt, mask_bt))


def _lines(path: str) -> list[str]:
    return [line.strip() for _, line in text_files.lines(pathlib.Path(path).expanduser())]
