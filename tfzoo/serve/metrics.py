"""Counts and times of requests, as the text that Prometheus collects.

The names and labels are those of TensorFlow Serving, so its dashboards work here too.

Source: tensorflow/serving, servables/tensorflow/util.cc; prometheus.io/docs/instrumenting.
"""

import bisect
import collections
import threading

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
# Upper ends of the buckets in microseconds: 10, 18, 32.4, ... as TensorFlow Serving's.
_BUCKETS = tuple(10 * 1.8**power for power in range(33))


class Metrics:
    """Counts by model and outcome, and times by model and API; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._sums: collections.Counter[tuple[str, str]] = collections.Counter()

    def record(self, model: str, api: str, code: str, seconds: float) -> None:
        """Adds one request; `api` is "Predict", "Classify" or "Regress"."""
        microseconds = seconds * 1e6
        with self._lock:
            self._counts[model, code] += 1
            buckets = self._buckets.setdefault((model, api), [0] * (len(_BUCKETS) + 1))
            buckets[bisect.bisect_left(_BUCKETS, microseconds)] += 1
            self._sums[model, api] += round(microseconds)

    def text(self) -> str:
        """Returns the page that Prometheus reads."""
        lines = [f"# TYPE {_COUNT} counter"]
        with self._lock:
            for (model, code), count in sorted(self._counts.items()):
                labels = f'model_name="{_escape(model)}",status="{code}"'
                lines.append(f"{_COUNT}{{{labels}}} {count}")
            lines.append(f"# TYPE {_LATENCY} histogram")
            for (model, api), buckets in sorted(self._buckets.items()):
                labels = f'model_name="{_escape(model)}",API="{api}",entrypoint="REST"'
                total = 0
                for end, count in zip([*_BUCKETS, "+Inf"], buckets, strict=True):
                    total += count
                    text = end if isinstance(end, str) else f"{end:g}"
                    lines.append(f'{_LATENCY}_bucket{{{labels},le="{text}"}} {total}')
                lines.append(f"{_LATENCY}_sum{{{labels}}} {self._sums[model, api]}")
                lines.append(f"{_LATENCY}_count{{{labels}}} {total}")
        return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
