"""Exports a model folder as a verified SavedModel, for TensorFlow Serving and `tfzoo serve`.

    python export/savedmodel.py runs/sst2/model served sst2
    tfzoo serve served

The model folder is one that `tfzoo train` or `tfzoo convert` wrote, or a Hugging Face folder. The
SavedModel goes to served/sst2/1, the next one to served/sst2/2; a server that watches served/sst2
takes it up when it is complete and verified.
"""

import sys

import tfzoo
from tfzoo import export


def main() -> None:
    """Exports the folder named on the command line and prints what was checked."""
    if len(sys.argv) != 4:
        sys.exit("usage: savedmodel.py MODEL_FOLDER OUT NAME")
    folder, out, name = sys.argv[1:]
    summary = export.run(tfzoo.load(folder).task, out, name, kinds=["savedmodel"])
    for check in summary.reports[0].checks:
        print(f"{check.name:44} {check.measured}")
    print(f"\nVersion {summary.version}: {summary.folders['savedmodel']}")


if __name__ == "__main__":
    main()
