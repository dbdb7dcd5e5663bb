"""`valign doctor`: is this machine ready, and how to mend what is not."""

import typer

from flows.cli import console
from flows.cli.options import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Examine environment, versions, device, models, store and servers. Exit code 4 where something is a problem."""
    from flows.doctor import examine
    from flows.environment import prepare_environment

    prepare_environment()
    checks = examine()
    if as_json:
        console.print_json(checks)
    else:
        rows = [(one["state"], one["name"], one["found"], one["mend"]) for one in checks]
        console.table("valign doctor", ("", "what", "found", "to mend"), rows)
    if any(one["state"] == "problem" for one in checks):
        raise typer.Exit(4)
