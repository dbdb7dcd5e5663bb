"""`valign ui`: the MLflow pages of all runs, on loopback."""

import os
import sys
from typing import Annotated

import typer

from flows.cli import console


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the command that would be run.")] = False,
) -> None:
    """Open MLflow's pages on 127.0.0.1: curves, metrics and the comparison of runs. Ends with Ctrl-C."""
    from flows.environment import prepare_environment
    from flows.pages import server_command

    prepare_environment()
    command = server_command(port)
    if print_only:
        typer.echo(" ".join(command))
        return
    console.err.print(f"MLflow: http://127.0.0.1:{port}  (end with Ctrl-C)")
    sys.stderr.flush()
    os.execv(command[0], command)
