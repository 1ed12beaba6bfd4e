"""The README.md of an exported version: what it is, how to ask it, what was verified."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfzoo.export import saved_model
from tfzoo.export.golden import Golden, Row
from tfzoo.export.inspect_saved_model import megabytes
from tfzoo.export.report import Report
from tfzoo.tasks.task import Task

FILE = "README.md"
_PORT = 8501  # TensorFlow Serving's own for REST
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
        _request(name, example, task.pairs),
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
    texts = [_quoted(text) for text in example.columns.values()]
    use = _LITE.format(
        arguments=arguments,
        text=f"those of {' and '.join(texts)}" if texts else "arbitrary",
        answer=_json(numbers),
    )
    facts = {"bytes": sum(r.facts["bytes"] for r in reports), **_shared(reports[0].facts)}
    kind = f"{len(reports)} TFLite files"
    parts = [_head(name, kind, task, facts, licence), use, _verification(reports)]
    (folder / FILE).write_text("\n".join(parts), encoding="utf-8")


def _head(name: str, kind: str, task: Task, facts: dict[str, Any], licence: str | None) -> str:
    config = task.model.config
    rows = {
        "Task": task.name + (" of pairs of texts" if task.pairs else ""),
        "Architecture": f"{type(task.model).__name__}, {task.model.count_params():,} parameters",
        "Size": f"{megabytes(facts['bytes'])} ({megabytes(facts['weight_bytes'])} of weights)",
        "Longest input": f"{task.max_length} tokens; what is longer is cut off at its end",
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


def _request(name: str, example: Golden, pairs: bool) -> str:
    signature = "serving_default" if example.columns else "token_ids"
    if example.columns:
        instance: dict[str, Any] = {k: v.decode() for k, v in example.columns.items()}
    else:
        ids = example.token_ids.tolist()
        instance = {"token_ids": ids, "lengths": len(ids)}
        if pairs:
            instance["first_lengths"] = example.first_length
    body: dict[str, Any] = {"instances": [instance]}
    if signature != "serving_default":
        body = {"signature_name": signature, **body}
    data = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        "## Ask it\n\n"
        "With `tfzoo serve` or TensorFlow Serving on this machine:\n\n"
        f"```sh\ncurl -d '{data}' http://localhost:{_PORT}/v1/models/{name}:predict\n```\n\n"
        f"The live model's answer, which the served one gives to about six digits:\n\n"
        f"```json\n{_json(example.answers[signature])}\n```\n"
    )


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
