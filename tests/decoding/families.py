"""Tiny random models of transformers, and the same ones of ours, to write text with."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

import tfzoo
from tfzoo.decoding.config import DecodingConfig
from tfzoo.decoding.generate import generate

VOCABULARY, PAD, START = 61, 0, 5
ENDS = (5, 11, 23, 37, 48)  # as many that some texts end early
_DECODER = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
_SIDES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    "decoder_start_token_id": START,
}
# Family -> transformers' class, its sizes, and how much larger its weights are drawn.
FAMILIES: dict[str, tuple[str, dict[str, Any], float]] = {
    "gpt": ("OpenAIGPTLMHeadModel", _DECODER, 12),
    "gpt2": ("GPT2LMHeadModel", _DECODER, 12),
    "bloom": ("BloomForCausalLM", {"hidden_size": 16, "n_layer": 2, "n_head": 2}, 12),
    "t5": (
        "T5ForConditionalGeneration",
        {
            **{"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2},
            "decoder_start_token_id": START,
        },
        4,
    ),
    "bart": ("BartForConditionalGeneration", _SIDES, 12),
    "marian": ("MarianMTModel", {**_SIDES, "scale_embedding": True}, 20),
}
DECODERS = ("gpt", "gpt2", "bloom")
LENGTHS = (7, 3, 5, 1, 6)
PROMPTS = np.random.default_rng(7).integers(6, VOCABULARY, (len(LENGTHS), max(LENGTHS)), "int32")
MASK = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype("int32")


@dataclasses.dataclass(frozen=True)
class Pair:
    """One model twice.

    Attributes:
        family: Of `FAMILIES`.
        theirs: transformers'.
        ours: tfzoo's.
    """

    family: str
    theirs: Any
    ours: Any

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What ours writes after: prompts of mixed lengths, anything behind each."""
        side = "" if self.family in DECODERS else "encoder_"
        return {f"{side}token_ids": PROMPTS, f"{side}padding_mask": MASK}

    def write(self, **options: Any) -> dict[str, Any]:
        """What ours writes, drawn in a graph."""
        ids = {"eos_token_id": ENDS, "pad_token_id": PAD, "decoder_start_token_id": START}
        config = DecodingConfig(**ids, **options)
        inputs = {name: tf.constant(value) for name, value in self.inputs.items()}
        run = tf.function(lambda inputs: generate(self.ours, inputs, config), autograph=False)
        return run(inputs)

    def generate(self, **options: Any) -> list[Any]:
        """What transformers writes: outputs of batches, and the rows of each.

        GPT-1 there knows nothing of padding, and gets each prompt alone.
        """
        import torch

        fixed = {"eos_token_id": [*ENDS], "pad_token_id": PAD, "return_dict_in_generate": True}
        outputs = []
        for ids, mask in self._batches():
            given = {"attention_mask": torch.tensor(mask), **fixed, **options}
            with torch.no_grad():
                outputs.append(self.theirs.generate(torch.tensor(ids), **given))
        return outputs

    def new_tokens(self, output: Any, prompt: int) -> np.ndarray:
        """What was written of an output's sequences, behind prompts so long."""
        return output.sequences.numpy()[:, prompt if self.family in DECODERS else 1 :]

    def _batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        ids, mask = PROMPTS.astype("int64"), MASK.astype("int64")
        if self.family not in DECODERS:
            return [(np.where(mask, ids, PAD), mask)]
        if self.family == "gpt":
            rows = [ids[row : row + 1, :length] for row, length in enumerate(LENGTHS)]
            return [(row, np.ones_like(row)) for row in rows]
        left = np.full_like(ids, PAD)
        for row, length in enumerate(LENGTHS):
            left[row, left.shape[1] - length :] = ids[row, :length]
        return [(left, mask[:, ::-1].copy())]


def pair(family: str, folder: Any) -> Pair:
    """Draws a model, and loads it from a folder as anyone would."""
    import torch
    import transformers

    torch.manual_seed(3)
    name, sizes, factor = FAMILIES[family]
    model_class = getattr(transformers, name)
    ids = {"pad_token_id": PAD, "eos_token_id": ENDS[0], "bos_token_id": 1}
    ids |= {"forced_eos_token_id": None} if "decoder_ffn_dim" in sizes else {}
    theirs = model_class(model_class.config_class(vocab_size=VOCABULARY, **ids, **sizes)).eval()
    with torch.no_grad():
        for path, weight in theirs.named_parameters():
            # Not norms, or every text is one token again and again.
            if weight.ndim > 1 and weight.requires_grad:
                tokens = any(word in path for word in ("wte", "shared", "word_emb", "tokens_emb"))
                weight.mul_(0.3 * factor if tokens else factor)
    theirs.generation_config = transformers.GenerationConfig(decoder_start_token_id=START)
    theirs.save_pretrained(folder)
    return Pair(family, theirs, tfzoo.load(f"hf:{folder}").model)


def rows(pair: Pair, outputs: list[Any]) -> list[list[int]]:
    """What transformers wrote, text by text, the end included and nothing behind it."""
    lengths = LENGTHS if pair.family == "gpt" else (max(LENGTHS),)
    return [
        until_end(row)
        for output, length in zip(outputs, lengths, strict=True)
        for row in pair.new_tokens(output, length).tolist()
    ]


def until_end(row: list[int]) -> list[int]:
    """A row's tokens, its end included, without what stands behind it."""
    places = [place for place, token in enumerate(row) if token in ENDS]
    return row[: places[0] + 1] if places else row


def ours(found: dict[str, Any]) -> list[list[int]]:
    """The same of what we gave."""
    ids, lengths = found["token_ids"].numpy(), found["lengths"].numpy()
    ids, lengths = ids.reshape(-1, ids.shape[-1]), lengths.reshape(-1)
    return [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
