"""Exports a model folder as verified TFLite files, for phones and small devices.

    python export/tflite.py runs/sst2/model served sst2

Six files go to served/sst2/tflite/1: from token ids and from text, each in float32, float16 and
int8. Most apps want `token_ids.int8.tflite`, a quarter of the size and the fastest on CPUs, with
labels.txt and vocab.txt from beside it. The README.md there shows the call in Python. A model that
writes text gets `decode` and `generate` files besides; export/write.py runs the first.
"""

import sys

import tfzoo
from tfzoo import export


def main() -> None:
    """Exports the folder named on the command line and prints size, latency and agreement."""
    if len(sys.argv) != 4:
        sys.exit("usage: tflite.py MODEL_FOLDER OUT NAME")
    folder, out, name = sys.argv[1:]
    summary = export.run(tfzoo.load(folder).task, out, name, kinds=["tflite"])
    for report in summary.reports:
        facts = report.facts
        found = facts.get("agreement", {})
        kept, what = found.get("explained", 1.0), "of the variation kept"
        if "cache_length" in facts:
            kept, what = found.get("token", 1.0), "of the tokens the same"
        print(
            f"{report.artefact:28} {facts['bytes'] / 1e6:8.1f} MB {facts['milliseconds']:8.2f} ms "
            f"{kept:8.1%} {what}"
        )
    print(f"\nVersion {summary.version}: {summary.folders['tflite']}")


if __name__ == "__main__":
    main()
