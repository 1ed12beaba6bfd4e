"""Pretraining encoder-decoders on damaged text: T5's span corruption, BART's infilling.

Source: Raffel et al. 2019, section 3.1.4, https://arxiv.org/abs/1910.10683; Lewis et al. 2019,
section 2.2, https://arxiv.org/abs/1910.13461; `tfzoo.data.span_corruption`,
`tfzoo.data.infilling`. What is trained is a `sequence_to_sequence` task.
"""

import dataclasses
import re
from typing import Any, Literal

from tfzoo.core import checks
from tfzoo.core.errors import UserError
from tfzoo.data import batches
from tfzoo.data.documents import Documents
from tfzoo.data.infilling import infilling
from tfzoo.data.span_corruption import span_corruption
from tfzoo.tasks import samples
from tfzoo.tasks.sequence_to_sequence import SequenceToSequence, check_end
from tfzoo.tasks.task import Tensors
from tfzoo.tasks.texts import TextChoice, TextCorpus, special_id

_SENTINEL = re.compile(r"<extra_id_(\d+)>")
_SHARES = {"span_corruption": 0.15, "infilling": 0.3}


@dataclasses.dataclass(frozen=True)
class Data:
    """The `data` part of an experiment.

    Attributes:
        texts: Where the texts are.
        objective: `span_corruption` (T5) asks for the spans that sentinels stand for, `infilling`
            (BART) for the whole text, of which spans became masks.
        length: Tokens of the encoder's input, special ones included. None means all positions of
            the model, or 512.
        noise_share: Which share of the tokens is damaged. None means the paper's, 0.15 and 0.3.
        mean_span: Mean length of the damaged spans.
        permute_sentences: Whether infilling puts the sentences of a row in another order, too.
    """

    texts: TextChoice
    objective: Literal["span_corruption", "infilling"] = "span_corruption"
    length: int | None = None
    noise_share: float | None = None
    mean_span: float = 3.0
    permute_sentences: bool = True

    def __post_init__(self) -> None:
        checks.at_least(self, 8, "length")
        checks.above(self, 0, "mean_span")
        if self.noise_share is not None and not 0 < self.noise_share < 1:
            raise UserError(
                f"noise_share must be between 0 and 1. Received: noise_share={self.noise_share}."
            )


class Corpus(TextCorpus):
    """Everything that is read from disk to pretrain an encoder-decoder."""

    def model_fields(self) -> dict[str, Any]:
        return {"head": "conditional_generation"}

    def new_task(self, model: Any, tokenizer: Any) -> SequenceToSequence:
        check_end(model, special_id(tokenizer, "eos", "</s>"))
        return SequenceToSequence(model, tokenizer)

    def source(
        self, documents: Documents, task: SequenceToSequence, seed: int, fixed: bool
    ) -> batches.Source:  # of one shape, fixed or not
        data, tokenizer, config = self.data, task.tokenizer, task.model.config
        length = data.length or task.max_length
        share = data.noise_share or _SHARES[data.objective]
        damage = {"seed": seed, "mean_span": data.mean_span}
        if data.objective == "infilling":
            return infilling(
                documents,
                length,
                special_id(tokenizer, "mask", "<mask>"),
                special_id(tokenizer, "bos", "<s>"),
                config.eos_id,
                int(tokenizer.pad_id),
                config.decoder_start_id,
                share=share,
                permute=data.permute_sentences,
                **damage,
            )
        return span_corruption(
            documents,
            length,
            sentinel_ids(tokenizer),
            config.eos_id,
            config.decoder_start_id,
            density=share,
            **damage,
        )

    def show(self, task: SequenceToSequence, inputs: Tensors, targets: Tensors) -> str:
        return samples.translations(task, inputs, targets)


def read(data: Data) -> Corpus:
    """Reads and checks the texts.

    Raises:
        UserError: as `tfzoo.tasks.texts.TextCorpus`.
    """
    return Corpus(data)


def sentinel_ids(tokenizer: Any) -> tuple[int, ...]:
    """The ids of <extra_id_0>, <extra_id_1>, ...

    Raises:
        UserError: when the tokenizer has none.
    """
    found = {}
    for number, token in enumerate(tokenizer.vocabulary):
        match = _SENTINEL.fullmatch(token)
        if match:
            found[int(match[1])] = number
    if not found:
        raise UserError(
            "Span corruption needs a tokenizer with <extra_id_0> and so on, as T5 has it. "
            "Received: none of them. Use data.objective=infilling, or T5's tokenizer."
        )
    return tuple(found[key] for key in sorted(found))
