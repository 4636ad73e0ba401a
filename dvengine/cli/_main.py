"""``dvengine``: the entry point, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dvengine.cli import _catalog, _commands, _demo
from dvengine.cli._output import Exit, Output, exit_code

__all__ = ["app", "main"]

app = typer.Typer(
    name="dvengine",
    help="From a registry to a published, provably safe datapackage.",
    epilog="Exit codes: 0 done, 1 refused or bad input, 2 bug, 3 try again later, 4 verification failed, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, and those hold data
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(asked: bool) -> None:
    if asked:
        from dvengine import __version__

        Output(as_json=False).result({}, text=f"dvengine {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


_commands.register(app)
_catalog.register(app)
_demo.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; never raises.

    Example:
        >>> main(["no-such-command"])
        1
    """
    for name in ("stdout", "stderr"):
        # Closed by who called us: what is said goes nowhere, and the exit code stands.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
    words = list(sys.argv[1:] if arguments is None else arguments)
    output = Output(as_json="--json" in words)
    command = typer.main.get_command(app)
    try:
        code = int(command.main(words, prog_name="dvengine", standalone_mode=False) or 0)
        if code == Exit.INTERRUPTED:  # the parser turns Ctrl-C into a silent exit
            output.error(KeyboardInterrupt())
        return code
    except KeyboardInterrupt as error:
        output.error(error)
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        _to_nowhere()
        return 0
    except BaseException as error:  # the one boundary: every error becomes a code and one message
        if isinstance(error, SystemExit):  # the parser's answer to a closed pipe
            _to_nowhere()
            return 0
        if type(error).__name__ == "Exit":
            return int(getattr(error, "exit_code", 0))
        if type(error).__name__ == "Abort":
            output.error(KeyboardInterrupt())
            return int(Exit.INTERRUPTED)
        if type(error).__name__ == "NoArgsIsHelpError":  # no command: its message is the help
            output.result({}, text=error.format_message())  # type: ignore[attr-defined]
            return int(Exit.REFUSED)
        if hasattr(error, "format_message"):  # the parser's own: a wrong option, a missing argument
            from dvengine._errors import InputError

            output.error(InputError(error.format_message(), hint="see: dvengine --help"))
            return int(Exit.REFUSED)
        if os.environ.get("DVENGINE_TRACEBACK"):
            raise
        output.error(error)
        return int(exit_code(error))


def _to_nowhere() -> None:
    # The reader (head, less) has what it wanted; Python would complain once more when it flushes at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> None:
    """Console-script entry: SIGTERM stops as cleanly as Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(main())
