"""The README.md of an exported version: what it is, how to ask it, what was verified."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.decoding import config as decoding_config
from tfzoo.export import golden, saved_model, tflite
from tfzoo.export.golden import Golden, Row
from tfzoo.export.inspect_saved_model import megabytes
from tfzoo.export.report import Report
from tfzoo.tasks import generation
from tfzoo.tasks.task import Task

FILE = "README.md"
_PORT = 8501  # TensorFlow Serving's own for REST
# Of the request with parameters.
_PARAMETERS = {
    **decoding_config.NEUTRAL,
    **{"max_new_tokens": 20, "do_sample": True, "temperature": 0.8, "top_p": 0.9, "seed": 1},
}
_PARAMETERS_ARE = """\
With parameters for each row. TensorFlow Serving wants all of them; `tfzoo serve` and its client
take the model's own for what is left out, and for `max_new_tokens` 0:
"""
_SHOWN = 4  # numbers of a long vector

_LITE = """## Use it

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("token_ids.float32.tflite").get_signature_runner("token_ids")
print(model({arguments}))
```

These ids are {text}, and the answer is

```json
{answer}
```

Rows may be of any number and length; ids beyond a row's length are ignored. For a delegate that
needs fixed shapes call `resizeInput` once. Files that start with `text` hold the tokenizer and take
one text; their interpreter needs tensorflow-text's operations: `InterpreterWithCustomOps` with
`tensorflow_text.tflite_registrar.SELECT_TFTEXT_OPS`, on phones tensorflow-text's C++ kernels.
"""
_LITE_WRITES = """## Write with it

Files that start with `decode` write one token after another, and the caller keeps the caches
between the steps. This needs LiteRT and no TensorFlow:

```python
from tfzoo.export.lite_writer import LiteWriter

writer = LiteWriter("decode.{precision}.tflite")
print(writer.generate({ids}, max_new_tokens=20))
for token in writer.stream({ids}, do_sample=True, top_p=0.9, seed=1):
    print(token)
```

Files that start with `generate` have the loop inside. Their signature `generate` takes `token_ids`
[1, {prompt}], `lengths` [1], how many of them are real, and `max_new_tokens` [1]. It gives the new
`token_ids`, always the most likely ones, and their `lengths`. A prompt has at most {prompt} tokens,
and there is room for {cache}{together}. Where texts begin and end says generation_config.json.
"""


def write_saved_model(
    folder: pathlib.Path,
    name: str,
    task: Task,
    report: Report,
    example: Golden,
    licence: str | None,
) -> None:
    """Writes the card of a SavedModel into its folder.

    Args:
        folder: The version folder.
        name: Name of the model on the server.
        task: The live model.
        report: What the verification found.
        example: A request to show, with the live model's answer.
        licence: Of the weights; None when nobody said.
    """
    parts = [
        _head(name, "a SavedModel", task, report.facts, licence),
        _signatures(task),
        _request(name, example, task),
        _verification([report]),
    ]
    (folder / FILE).write_text("\n".join(parts), encoding="utf-8")


def write_tflite(
    folder: pathlib.Path,
    name: str,
    task: Task,
    reports: Sequence[Report],
    example: Golden,
    licence: str | None,
) -> None:
    """Writes the card of TFLite files into their folder; arguments as for a SavedModel."""
    numbers = {k: v for k, v in example.answers["token_ids"].items() if v.dtype != object}
    ids = example.token_ids.tolist()
    arguments = f"token_ids=np.array([{ids}], np.int32), lengths=np.array([{len(ids)}], np.int32)"
    if task.pairs:
        arguments += f", first_lengths=np.array([{example.first_length}], np.int32)"
    texts = [_quoted(text) for text in [*example.columns.values()][: 1 + task.pairs]]
    use = _LITE.format(
        arguments=arguments,
        text=f"those of {' and '.join(texts)}" if texts else "arbitrary",
        answer=_json(numbers),
    )
    facts = {"bytes": sum(r.facts["bytes"] for r in reports), **_shared(reports[0].facts)}
    kind = f"{len(reports)} TFLite files"
    writes = _lite_writes(task, reports, ids)
    only_writes = all(report.artefact.startswith(tflite.WRITING) for report in reports)
    uses = writes if only_writes else [use, *writes]
    parts = [_head(name, kind, task, facts, licence), *uses, _verification(reports)]
    (folder / FILE).write_text("\n".join(parts), encoding="utf-8")


def _lite_writes(task: Task, reports: Sequence[Report], ids: list[int]) -> list[str]:
    """How to write with the files that do, if there are any."""
    for report in reports:
        if "cache_length" in report.facts:
            prompt = report.facts["prompt_length"]
            text = _LITE_WRITES.format(
                precision=report.facts["precision"],
                ids=ids[:prompt],
                prompt=prompt,
                cache=report.facts["cache_length"],
                together=", with what is written" if generation.is_decoder(task) else " new ones",
            )
            return [text]
    return []


def _head(name: str, kind: str, task: Task, facts: dict[str, Any], licence: str | None) -> str:
    config = task.model.config
    rows = {
        "Task": task.name + (" of pairs of texts" if task.pairs else ""),
        "Architecture": f"{type(task.model).__name__}, {task.model.count_params():,} parameters",
        "Size": f"{megabytes(facts['bytes'])} ({megabytes(facts['weight_bytes'])} of weights)",
        "Longest input": f"{task.max_length} tokens; {_longer(task)}",
        "Tokenizer": _tokenizer(task.tokenizer),
        "Licence of the weights": licence or "unknown; it was not stated at the export",
    }
    if task.labels:
        rows["Labels"] = ", ".join(f"`{label}`" for label in task.labels)
    sizes = {k: v for k, v in vars(config).items() if isinstance(v, int | str | bool)}
    table = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows.items())
    return (
        f"# {name}\n\n{kind[0].upper()}{kind[1:]} written by `tfzoo export`.\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        f"Config: `{json.dumps(sizes)}`\n"
    )


def _longer(task: Task) -> str:
    """What happens to a text that is too long."""
    if golden.writes(task) and generation.is_decoder(task):
        return "where prompt and new ones are more, the prompt loses its beginning"
    return "what is longer is cut off at its end"


def _tokenizer(tokenizer: Any) -> str:
    if tokenizer is None:
        return "none: it takes token ids"
    case = "lowers letters" if getattr(tokenizer, "lowercase", False) else "keeps case"
    return f"{type(tokenizer).__name__}, {tokenizer.vocab_size:,} entries, {case}; in the graph"


def _signatures(task: Task) -> str:
    lines = ["## Signatures\n", "| signature | inputs |", "|---|---|"]
    for name, function in saved_model.signatures(task).items():
        inputs = ", ".join(
            f"`{spec.name}` {spec.dtype.name} [{', '.join('any' for _ in spec.shape)}]"
            for spec in function.input_signature
        )
        lines.append(f"| `{name}` | {inputs} |")
    return "\n".join(lines) + "\n"


def _request(name: str, example: Golden, task: Task) -> str:
    if not example.columns:
        ids = example.token_ids.tolist()
        instance: dict[str, Any] = {"token_ids": ids, "lengths": len(ids)}
        if task.pairs:
            instance["first_lengths"] = example.first_length
        parts = [_asked(name, "token_ids", instance, example.answers["token_ids"])]
    elif not golden.writes(task):
        instance = {k: v.decode() for k, v in example.columns.items()}
        answer = example.answers["serving_default"]
        parts = [_asked(name, "serving_default", instance, answer)]
    else:
        instance = {"text": example.columns["text"].decode()}
        found = _live(task, "serving_default", instance)
        parts = [_asked(name, "serving_default", instance, found), _PARAMETERS_ARE]
        instance |= _PARAMETERS
        found = _live(task, "generate", instance)
        parts.append(_asked(name, "generate", instance, found))
    shown = "\n".join(parts)
    return f"## Ask it\n\nWith `tfzoo serve` or TensorFlow Serving on this machine:\n\n{shown}"


def _asked(name: str, signature: str, instance: dict[str, Any], answer: Row) -> str:
    """A request as a shell command, and its answer."""
    body: dict[str, Any] = {"instances": [instance]}
    if signature != "serving_default":
        body = {"signature_name": signature, **body}
    data = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        f"```sh\ncurl -d '{data}' http://localhost:{_PORT}/v1/models/{name}:predict\n```\n\n"
        f"The live model's answer, which the served one gives to about six digits:\n\n"
        f"```json\n{_json(answer)}\n```\n"
    )


def _live(task: Task, signature: str, instance: dict[str, Any]) -> Row:
    function = task.signatures[signature]
    columns = [tf.constant([instance[spec.name]], spec.dtype) for spec in function.input_signature]
    return {name: golden.first(tensor.numpy()) for name, tensor in function(*columns).items()}


def _verification(reports: Sequence[Report]) -> str:
    lines = ["## Verification\n"]
    for report in reports:
        lines += [f"{report.artefact}:\n", "| check | measured | must be |", "|---|---|---|"]
        for check in report.checks:
            cells = (check.name, check.measured, check.limit)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def _shared(facts: dict[str, Any]) -> dict[str, Any]:
    return {"weight_bytes": facts["weight_bytes"]}


def _json(row: Row) -> str:
    parts = []
    for name, array in row.items():
        if array.ndim and len(array) > 2 * _SHOWN:
            shown = [_json_value(v) for v in array.reshape(-1)[:_SHOWN]]
            dims = " x ".join(map(str, array.shape))
            parts.append(f'  "{name}": [{", ".join(shown)}, ...]  // {dims} in all')
        elif array.ndim:
            parts.append(f'  "{name}": [{", ".join(_json_value(v) for v in array.reshape(-1))}]')
        else:
            parts.append(f'  "{name}": {_json_value(array.item())}')
    return "{\n" + ",\n".join(parts) + "\n}"


def _json_value(value: Any) -> str:
    if isinstance(value, bytes):
        return _quoted(value)
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    return str(value)


def _quoted(text: bytes) -> str:
    return json.dumps(text.decode("utf-8", "replace"), ensure_ascii=False)


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
