"""`valign show`: one run in full."""

from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import JsonOption


def show(
    run: Annotated[str, typer.Argument(help="Run id, or the beginning of one.")],
    as_json: JsonOption = False,
) -> None:
    """Show a run: result, gate decision with reasons, stages, keys and folders."""
    from flows.cli.result_table import print_result
    from flows.run_record import read_record

    record = read_record(run)
    if as_json:
        console.print_json(record)
        return
    print_result(record)
    rows = [(one["stage"], one["key"][:12], console.seconds(one["seconds"]), one["path"]) for one in record["stages"]]
    console.table("Stages", ("stage", "key", "time", "folder"), rows, right=(2,))
