"""The command `valign`: assembles the command groups, turns errors into one sentence and an exit code."""

import logging
import os
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer

from flows.cli import (
    aspects_command,
    compare_command,
    console,
    doctor_command,
    evaluate_command,
    judge_command,
    lint_command,
    models_command,
    run_command,
    show_command,
    status_command,
    store_commands,
    ui_command,
)
from flows.stopping import ask_to_stop
from shared.durable import is_full
from shared.errors import SystemStateError, ValignError

app = typer.Typer(
    name="valign",
    help="From a domain team's preference data to an aligned, evaluated, gated and registered model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_command.run)
app.command("evaluate", cls=evaluate_command.EvaluateCommand)(evaluate_command.evaluate)
app.command("lint")(lint_command.lint)
app.command("aspects")(aspects_command.aspects)
app.command("status")(status_command.status)
app.command("show")(show_command.show)
app.command("compare")(compare_command.compare)
app.add_typer(store_commands.app, name="store")
app.command("models")(models_command.models)
app.command("ui")(ui_command.ui)
app.add_typer(judge_command.app, name="judge")
app.command("doctor")(doctor_command.doctor)


CHATTY = (
    "alembic",
    "datasets",
    "docket",
    "fakeredis",
    "httpcore",
    "httpx",
    "huggingface_hub",
    "mlflow",
    "prefect",
    "urllib3",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"valign {version('valign')}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to standard error.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options before the command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    if not verbose:
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    # SIGTERM as Ctrl-C: the training child gets its SIGTERM and time to write a checkpoint.
    ask_to_stop()


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _interrupted)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as it is for a job in the background
        signal.signal(signal.SIGINT, _interrupted)
    try:
        app(standalone_mode=True)
    except SystemExit as ended:
        # Typer turns Ctrl-C and a closed pipe into exit codes and says nothing.
        if isinstance(ended.__context__, BrokenPipeError):
            _output_closed()
        if ended.code == 130 and isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt):
            console.interrupted("what was finished is kept; the same command continues.")
        raise
    except ValignError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _output_closed()
    except Exception as error:  # noqa: BLE001 - the last line of defence; everything a user can mend was caught above
        if is_full(error):
            typer.echo(
                "Error: no space is left where the output goes, or where VALIGN_HOME lies: free some, then run again.",
                err=True,
            )
            sys.exit(SystemStateError.exit_code)
        traceback.print_exc()
        typer.echo("Error: this is a fault of valign itself; please report it with the traceback above.", err=True)
        sys.exit(1)


def _output_closed() -> NoReturn:
    """The reader of our output went away (`valign status | head`): not an error of ours."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)
