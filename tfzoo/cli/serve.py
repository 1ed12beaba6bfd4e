"""Serves exported models with TensorFlow Serving's REST API, until Ctrl-C or SIGTERM.

FOLDER is a model's folder of versions (FOLDER/1/saved_model.pb), a folder of such folders, or a
models.config file. The newest version of each is served; newer ones are taken up as they appear.
"""

import argparse
import dataclasses
import functools

from tfzoo.cli import screen
from tfzoo.cli.parser import Parser, port, whole_number

EXAMPLE = (
    "tfzoo serve exports/mine --port=8501\n"
    """  curl -d '{"instances": ["a film"]}' http://127.0.0.1:8501/v1/models/mine:predict"""
)
_HELP = {
    "workers": "requests that run at once",
    "queue_size": "requests that wait; one more is answered 503",
    "threads": "TensorFlow's threads for one request; one a core otherwise",
    "poll_seconds": "how often to look for new versions; 0 for never",
    "max_body_bytes": "a longer request is answered 413",
    "drain_seconds": "how long running requests may take at the end",
    "library_folder": "site-packages of another TensorFlow to run with",
}
_TYPES = {"poll_seconds": float, "drain_seconds": float, "library_folder": str}


def add_arguments(parser: Parser) -> None:
    """Adds the options of `tfzoo serve`."""
    parser.add_argument("folder", metavar="FOLDER", help="what is served")
    parser.add_argument("--name", help="serve this one model, under this name")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=port, default=8501, help="0 takes any free one")
    for name, text in _HELP.items():
        kind = _TYPES.get(name, whole_number)
        parser.add_argument(f"--{name}", type=kind, metavar=name[0].upper(), help=text)


def run(options: argparse.Namespace) -> None:
    """Serves until told to stop."""
    screen.plain_logging()
    from tfzoo.serve import server

    names = [field.name for field in dataclasses.fields(server.Options)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    server.serve(
        options.folder,
        options.name,
        options.host,
        options.port,
        server.Options(**given),
        functools.partial(print, flush=True),
    )
