"""The command `valign`: assembles the command groups, turns errors into one sentence and an exit code."""

import logging
import os
import signal
import sys
import traceback
import warnings
from types import FrameType
from typing import Annotated

import typer

from flows.cli import (
    compare_command,
    doctor_command,
    evaluate_command,
    lint_command,
    models_command,
    run_command,
    show_command,
    status_command,
    store_commands,
    ui_command,
)
from shared.errors import ValignError

app = typer.Typer(
    name="valign",
    help="From a domain team's preference data to an aligned, evaluated, gated and registered model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run_command.run)
app.command("evaluate")(evaluate_command.evaluate)
app.command("lint")(lint_command.lint)
app.command("status")(status_command.status)
app.command("show")(show_command.show)
app.command("compare")(compare_command.compare)
app.add_typer(store_commands.app, name="store")
app.command("models")(models_command.models)
app.command("ui")(ui_command.ui)
app.command("doctor")(doctor_command.doctor)


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
    for name in ("alembic", "mlflow", "httpx", "httpcore", "prefect", "fakeredis", "docket", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    # As Ctrl-C: the training child gets its SIGTERM and time to write a checkpoint.
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app(standalone_mode=True)
    except ValignError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`valign status | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception:  # noqa: BLE001 - the last line of defence; everything a user can mend was caught above
        traceback.print_exc()
        typer.echo("Error: this is a fault of valign itself; please report it with the traceback above.", err=True)
        sys.exit(1)
