"""The texts that every export must answer as the live model does, and what the live model answers.

    texts ─► live answers, one text at a time, no padding        (the truth)
          └► requests to each signature, alone and in batches     (what the export is asked)

Easy to get wrong: an answer computed in the same batch as the export's would share its padding, and
so a wrong mask; hence the truth never sees padding, and the batches mix short texts and long ones.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.export import warm_up
from tfzoo.tasks.task import Task, Tensors

Row = dict[str, np.ndarray]

TEXTS: tuple[str | bytes, ...] = (
    "The film was a delight from start to finish.",
    "I want my two hours back.",
    "not bad at all, but the second half drags; 7/10",
    "El servicio fue excelente, ¡volveré pronto!",
    "Das Gemüse auf der Straße kostet 3,50 €.",
    "Ça ne vaut pas le détour, hélas…",
    "Film był lepszy, niż się spodziewałem. Źdźbło, łąka.",
    "Фильм оказался лучше, чем я ожидал.",
    "Η ταινία ήταν ΥΠΕΡΟΧΗ, ως το τέλος της.",
    "İstanbul'da hava GÜZEL; ıslak değil. ẞ ǅ ﬁ ﬄ",
    "这部电影真的很好看。",
    "日本語とEnglishが混ざった文章です。ｶﾞｷﾞｸﾞ",
    "이 영화는 정말 지루했다.",
    "هذا الفيلم رائع جدًا",
    "הסרט הזה היה נִפְלָא",
    "यह फ़िल्म बहुत अच्छी है",
    "ภาพยนตร์เรื่องนี้ดีมาก",
    "Phim này rất hay, đừng bỏ lỡ.",
    "",
    " ",
    "\t\r\n",
    "a",
    "?! .,;:-- ... (()) \"'`",
    "🎬🍿 12/10 👩‍👩‍👧‍👦🏳️‍🌈 would watch again 🤷🏽‍♀️",
    "[CLS] these [SEP] are [MASK] no [PAD] tokens [UNK] ##ing [sep]",
    "control\x00\x01\x07 characters\x7f\x9b\u200b\u202e\u2066\ufeff\u00ad here",
    "combining e\u0301 n\u0303 o\u0302\u0323 and composed é ñ ộ",
    "Ｆｕｌｌ ｗｉｄｔｈ ½ ² ① Ⅷ ㎏ ™",
    "Z̸̡̧a̵͈͝l̶͓̽g̷̱̈o̸ \ufffd \ue000 \U0010ffff",
    "http://example.com/a?b=c&d=%20e#f user@example.com C:\\temp",
    "if (x[0] <= 10 && y != NULL) { return *p++ ^ ~q; }",
    "1234567890 3.14159 -1e-5 1,000,000 +49 (0)30 12345",
    '<b>bold</b>&nbsp;{"json": [null, true]}',
    b"broken \xff\xfe\xc3( utf-8 \xed\xa0\x80",
    "x" * 300,
    "long text " * 1000,
    "中" * 700,
)


@dataclasses.dataclass(frozen=True)
class Golden:
    """One input and what the live model answers to it when it comes alone, without padding.

    Attributes:
        columns: The texts: `text` and, for pairs, `pair`; empty without a tokenizer.
        token_ids: `(t,)` int32, special tokens included.
        first_length: How many of them belong to the first text.
        answers: For each signature the answer's arrays by name, without their batch axis.
    """

    columns: dict[str, bytes]
    token_ids: np.ndarray
    first_length: int
    answers: dict[str, Row]


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and which golden stands in each of its rows."""

    request: warm_up.Request
    goldens: tuple[Golden, ...]


class Goldens:
    """All goldens of a task; the live model is asked when they are first wanted.

    Args:
        task: The live model.
        texts: Further texts, besides `TEXTS`.
    """

    def __init__(self, task: Task, texts: Sequence[str | bytes] = ()):
        self._task = task
        self._texts = (*TEXTS, *texts)
        self._found: list[Golden] | None = None

    def __call__(self) -> list[Golden]:
        if self._found is None:
            self._found = ask_live(self._task, self._texts)
        return self._found


def writes(task: Task) -> bool:
    """Whether a task writes texts, which `tfzoo.export.verify_generation` compares."""
    return hasattr(task, "decoding")


def ask_live(task: Task, texts: Sequence[str | bytes]) -> list[Golden]:
    """Asks the live model. Pairs are every text with one some way behind it in the list."""
    if task.tokenizer is None:
        return _goldens_of_ids(task)
    live, embed, score, encode = _alone(task)
    found = []
    for i, text in enumerate(texts):
        columns = {"text": _as_bytes(text), "pair": _as_bytes(texts[(i * 5 + 3) % len(texts)])}
        both = [tf.constant([column]) for column in columns.values()]
        inputs, answer = live(*both[: 1 + task.pairs])
        answers = {"token_ids": _row(answer), "embed": _row(embed(both[0]))}
        if writes(task):
            answers["score"] = _row(score(*both))
            answers["encode"] = _row(encode(both[0]))
        else:
            answers["serving_default"] = _row(answer)
            columns = dict([*columns.items()][: 1 + task.pairs])
        if {"labels", "scores"} <= set(answer):
            row = answers["serving_default"]
            answers["classify"] = {"classes": row["labels"], "scores": row["scores"]}
        ids, segments = inputs["token_ids"][0].numpy(), inputs["segment_ids"][0].numpy()
        found.append(Golden(columns, ids, int((segments == 0).sum()), answers))
    return found


def cases(
    task: Task, goldens: Sequence[Golden], signatures: Sequence[str], batch_size: int
) -> Iterator[Case]:
    """The requests: every golden alone, then all of them in batches that mix lengths.

    A batch size of 1 gives no batches.
    """
    num_batches = -(-len(goldens) // batch_size)
    batches = [tuple(goldens[i::num_batches]) for i in range(num_batches)] if batch_size > 1 else []
    for name in signatures:
        for rows in [*((golden,) for golden in goldens), *batches]:
            inputs = _inputs(name, rows, task)
            yield Case(warm_up.Request(name, inputs, classify=name == "classify"), rows)


def padded_ids(goldens: Sequence[Golden], max_length: int) -> np.ndarray:
    """`(n, t)` ids, a few more than there need be, filled up with what TF Serving fills up with.

    That is the tensor's first element (batching_util.cc), which no mask but one made from lengths
    can tell from a token.
    """
    longest = max(len(golden.token_ids) for golden in goldens)
    width = min(longest + 3, max(longest, max_length))
    ids = np.full([len(goldens), width], goldens[0].token_ids[0], np.int32)
    for row, golden in zip(ids, goldens, strict=True):
        row[: len(golden.token_ids)] = golden.token_ids
    return ids


def first(array: np.ndarray) -> np.ndarray:
    """The first row as an array, also where it is one string (`array[0]` would be bytes)."""
    return array[:1].reshape(array.shape[1:])


def _alone(task: Task) -> tuple[Any, ...]:
    """The live model as functions of one text: (inputs, answer), embedding; of those that write
    also the likelihood of a pair, and what the encoder gives.
    """
    text = tf.TensorSpec([1], tf.string)

    @tf.function(input_signature=[text] * (1 + task.pairs), autograph=False)
    def live(*columns: tf.Tensor) -> tuple[Tensors, Tensors]:
        inputs = task.inputs(*columns)
        return inputs, task.answer(inputs)

    @tf.function(input_signature=[text], autograph=False)
    def embed(column: tf.Tensor) -> Tensors:
        return {"embedding": task.embed(task.inputs(column))}

    @tf.function(input_signature=[text, text], autograph=False)
    def score(column: tf.Tensor, pair: tf.Tensor) -> Tensors:
        found = task.score_tensors(column, pair)
        return {name: found[name] for name in ("log_likelihood", "num_tokens")}

    @tf.function(input_signature=[text], autograph=False)
    def encode(column: tf.Tensor) -> Tensors:
        inputs = task.inputs(column)
        return {"sequence": task.sequence(inputs), "padding_mask": inputs["padding_mask"]}

    return live, embed, score, encode


def _goldens_of_ids(task: Task) -> list[Golden]:
    row = tf.TensorSpec([1, None], tf.int32)

    @tf.function(input_signature=[row, row], autograph=False)
    def live(ids: tf.Tensor, segments: tf.Tensor) -> Tensors:
        mask = tf.ones_like(ids)
        return task.answer({"token_ids": ids, "segment_ids": segments, "padding_mask": mask})

    random = np.random.default_rng(0)
    found = []
    for length in (1 + task.pairs, 2, 3, 5, 8, 13, 21, task.max_length):
        length = min(length, task.max_length)
        ids = random.integers(0, task.model.config.vocab_size, [1, length], np.int32)
        first = length - length // 2 if task.pairs else length
        segments = (np.arange(length) >= first).astype(np.int32)[None]
        answers = {"token_ids": _row(live(tf.constant(ids), tf.constant(segments)))}
        found.append(Golden({}, ids[0], first, answers))
    return found


def _inputs(signature: str, rows: Sequence[Golden], task: Task) -> dict[str, np.ndarray]:
    if signature == "token_ids":
        inputs = {
            "token_ids": padded_ids(rows, task.max_length),
            "lengths": np.array([len(row.token_ids) for row in rows], np.int32),
        }
        first = np.array([row.first_length for row in rows], np.int32)
        return {**inputs, "first_lengths": first} if task.pairs else inputs
    if signature == "classify":
        return {"inputs": _strings([warm_up.example(**row.columns) for row in rows])}
    names = [spec.name for spec in task.signatures[signature].input_signature]
    return {name: _strings([row.columns[name] for row in rows]) for name in names}


def _strings(items: Sequence[bytes]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = list(items)
    return array


def _row(answer: Tensors) -> Row:
    return {name: first(tensor.numpy()) for name, tensor in answer.items()}


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
