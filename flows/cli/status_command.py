"""`valign status`: the latest runs."""

import time
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import JsonOption


def status(
    domain: Annotated[str | None, typer.Argument(help="Only this domain's runs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """List the latest runs: state, data, recipe, gate decision."""
    from flows.run_record import all_records

    records = all_records(domain)[:limit]
    if as_json:
        keys = ("run_id", "domain", "status", "started", "updated", "data", "decision", "registered", "mlflow_run_id")
        console.print_json([{key: record.get(key) for key in keys} for record in records])
        return
    if not records:
        console.out.print("No runs yet: start one with `valign run counseling`.")
        return
    rows = []
    for record in records:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record["updated"]))
        decision = record.get("decision")
        gate = "-" if not decision else "promoted" if decision["promoted"] else "not promoted"
        stages = f"{len(record['stages'])} stages"
        rows.append(
            (record["run_id"], record["status"], when, record["data"]["name"], record["recipe"]["name"], stages, gate)
        )
    console.table("Runs", ("run", "status", "when", "data", "recipe", "done", "gate"), rows)
