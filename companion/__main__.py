"""The command ``python -m companion``: ``explain`` prints what :func:`companion.anatomy.explain` finds."""

import argparse
import inspect
import json
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from companion.anatomy import KINDS, blueprint, explain

__all__ = ["main"]

EXAMPLE = "example: python -m companion explain LSTM 20 40 --num-layers 4 --bidirectional --input 5,10,20"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after ``python -m companion``; by default those of this process.

    Returns:
        0. Wrong arguments end the process with exit code 2 and one sentence that says what is wrong.
    """
    parser, explain_parser = _parsers()
    options = vars(parser.parse_args(arguments))
    del options["command"]
    kind, input_shape, as_json = options.pop("kind"), options.pop("input"), options.pop("json")
    for name in sorted(options.keys() - inspect.signature(KINDS[kind]).parameters.keys()):
        explain_parser.error(f"{kind} has no {_flag(name)}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            explanation = explain(blueprint(kind, **options), input_shape)
    except (TypeError, ValueError, RuntimeError) as error:
        explain_parser.error(str(error).partition("\n")[0])
    for warning in caught:
        print(f"{explain_parser.prog}: note: {warning.message}", file=sys.stderr)
    print(json.dumps(explanation.to_dict(), indent=2) if as_json else explanation)
    return 0


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The command's parser and that of ``explain``. An option not given is absent: a layer has its own defaults."""
    parser = _Parser(prog="python -m companion", description="Tools for recurrent layers.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "explain", help="every weight of a layer, its shape, its rows, the counts", epilog=EXAMPLE
    )
    command.add_argument("kind", choices=KINDS, help="the layer or cell: %(choices)s", metavar="kind")
    command.add_argument("input_size", type=int, help="features D of the input")
    command.add_argument("hidden_size", type=int, help="hidden units H")
    command.add_argument("--input", type=_shape, metavar="T,B,D", help="the shape of the input, as 5,10,20")
    command.add_argument("--json", action="store_true", help="print JSON for a program, not a table")
    for name, convert in dict(num_layers=int, nonlinearity=str, dropout=float, proj_size=int).items():
        _add(command, name, type=convert)
    for name, convert in dict(projection_size=int, highway_bias=float).items():
        _add(command, name, type=convert, help="SRU only")
    for name in ("batch_first", "bidirectional"):
        _add(command, name, action="store_true")
    for name in ("rescale", "layer_norm", "normalize_after", "use_tanh"):
        _add(command, name, action="store_true", help="SRU only")
    command.add_argument("--no-bias", dest="bias", action="store_false", default=argparse.SUPPRESS)
    return parser, command


def _flag(name: str) -> str:
    return "--no-bias" if name == "bias" else "--" + name.replace("_", "-")


def _add(command: argparse.ArgumentParser, name: str, **options: Any) -> None:
    command.add_argument(_flag(name), default=argparse.SUPPRESS, **options)


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        message = f"should be sizes with commas between, such as 5,10,20, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


if __name__ == "__main__":
    sys.exit(main())
