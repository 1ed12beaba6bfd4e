"""The command `tfzoo`: chooses a command, runs it, and turns what goes wrong into an exit code.

0 is success, 1 a failed verification or a bug of tfzoo, 2 a mistake in what the user gave, 130 an
interruption. Nothing heavy is imported here: `tfzoo --help` takes a tenth of a second.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

import tfzoo
from tfzoo.cli.parser import Parser
from tfzoo.core.config import unknown_name
from tfzoo.core.errors import Interrupted, UserError

COMMANDS = {
    "quickstart": "train, export, verify, serve and ask a small BERT in a few minutes",
    "list": "architectures and their sizes, tasks, published checkpoints",
    "show": "an experiment, an architecture's fields, or what is in a folder",
    "vocabulary": "train the vocabulary of a tokenizer from text files",
    "prepare": "turn raw texts into shards of tokenized documents, for pretraining",
    "train": "train a model as a YAML file says",
    "evaluate": "score a model on a file of labelled texts",
    "predict": "answer texts from the command line, a file or standard input",
    "convert": "turn a Hugging Face folder into a tfzoo model folder, or back",
    "export": "write a SavedModel or TFLite files, and verify them",
    "verify": "prove that an export computes what its model computes",
    "serve": "serve exported models with TensorFlow Serving's REST API",
    "bench": "measure tfzoo beside its peers",
}
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def console() -> None:
    """The entry point of the installed command `tfzoo`."""
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
    except OSError as error:
        _forget_output()
        code = _complain(f"The output cannot be written: {error.strerror}.", 2)
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; every failure is said on stderr."""
    try:
        return _run(list(arguments))
    except SystemExit as done:  # argparse, after printing help or the version
        return done.code if isinstance(done.code, int) else 0
    except UserError as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except Interrupted as done:
        return _complain(done, done.code)
    except BrokenPipeError:  # the reader of our output has seen enough: `tfzoo list | head -1`
        _forget_output()
        return 0
    except OSError as error:  # a full disk, a folder where a file is expected, no permission
        what = error.filename or "The output"
        return _complain(f"{what} cannot be used: {error.strerror or error}.", 2)
    except Exception as error:
        from tfzoo.export.report import VerificationError

        if isinstance(error, VerificationError):
            print(f"tfzoo: {error}", file=sys.stderr)
            return 1
        traceback.print_exc()
        return _complain("this is a bug of tfzoo. Please report it with the lines above.", 1)


def top_parser() -> Parser:
    """The parser of `tfzoo` itself: the names of the commands, `--help` and `--version`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()]
    top = Parser(
        prog="tfzoo",
        usage="tfzoo COMMAND [options]     (tfzoo COMMAND --help for its options)",
        description="\n".join([tfzoo.__doc__.splitlines()[0], "", "commands:", *lines]),
        example="tfzoo quickstart",
    )
    top.add_argument("--version", action="version", version=f"tfzoo {tfzoo.__version__}")
    return top


def command_parser(command: str) -> Parser:
    """The parser of one command.

    Raises:
        UserError: when there is no such command, naming the nearest one.
    """
    if command not in COMMANDS:
        raise UserError(unknown_name("command of tfzoo", command, COMMANDS))
    module = load(command)
    parser = Parser(prog=f"tfzoo {command}", description=module.__doc__, example=module.EXAMPLE)
    module.add_arguments(parser)
    return parser


def load(command: str) -> ModuleType:
    """The module of a command: its docstring, `EXAMPLE`, `add_arguments` and `run`."""
    return importlib.import_module(f"tfzoo.cli.{command}")


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        top_parser().parse_strictly(arguments)  # --help and --version leave here
        top_parser().print_help()
        return 0
    command, *rest = arguments
    options = command_parser(command).parse_strictly(rest)
    return load(command).run(options) or 0


def _complain(message: object, code: int) -> int:
    print("tfzoo:", " ".join(str(message).split()), file=sys.stderr)
    return code


def _forget_output() -> None:
    # Python flushes stdout once more at exit, which would complain about the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    console()
