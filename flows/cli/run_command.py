"""`valign run`: a domain's pipeline from data to the registry."""

from typing import Annotated, Any

import typer

from flows.cli import console
from flows.cli.options import (
    AcceptOption,
    DataOption,
    DomainArgument,
    DryRunOption,
    FreshOption,
    JsonOption,
    RecipeOption,
    SetOption,
)


def run(
    domain: DomainArgument,
    data: DataOption = None,
    recipe: RecipeOption = "cpu",
    overrides: SetOption = None,
    fresh: FreshOption = False,
    dry_run: DryRunOption = False,
    accept_code_change: AcceptOption = False,
    require_promotion: Annotated[
        bool, typer.Option("--require-promotion", help="End with exit code 10 where the gate does not promote.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a domain's pipeline: data, reward, alignment, evaluation, gate, registry.

    What is finished is never done twice: a second start with the same request takes seconds, an interrupted one
    continues from its last checkpoint.
    """
    from flows.request import RunRequest

    request = RunRequest(
        data=data,
        recipe=recipe,
        overrides=overrides or [],
        fresh=fresh,
        accept_code_change=accept_code_change,
    )
    record = start(domain, request, dry_run=dry_run, as_json=as_json)
    if record is not None and require_promotion and not record.get("decision", {}).get("promoted"):
        raise typer.Exit(10)


def start(domain: str, request: Any, *, dry_run: bool, as_json: bool) -> dict[str, Any] | None:
    """Runs (or plans) a request and prints its result; None after a dry run."""
    try:
        return _start(domain, request, dry_run=dry_run, as_json=as_json)
    except KeyboardInterrupt:
        # Here and not in `main`: the command's framework turns it into an exit code and says nothing.
        console.err.print(
            "Interrupted: finished stages and checkpoints are kept; run the same command to continue.", soft_wrap=True
        )
        raise typer.Exit(130) from None


def _start(domain: str, request: Any, *, dry_run: bool, as_json: bool) -> dict[str, Any] | None:
    from flows.environment import prepare_environment

    prepare_environment()
    if dry_run:
        _plan(domain, request, as_json)
        return None
    from flows.preparation import prepare

    prepared = prepare(domain, request)
    from flows.start import run_flow

    with console.stage_display(quiet=as_json) as display:
        if not as_json:
            console.err.print(
                f"{domain}: run {prepared.run_id}, recipe {prepared.recipe_path.stem}, data {prepared.data_name}"
            )
        record = run_flow(domain, request, display.announce, display.advance)
    if as_json:
        console.print_json(record)
    else:
        from flows.cli.result_table import print_result

        print_result(record)
    return record


def _plan(domain: str, request: Any, as_json: bool) -> None:
    from flows.preparation import prepare
    from shared.executor import Executor
    from shared.home import store_folder
    from shared.store import Store

    prepared = prepare(domain, request)
    executor = Executor(Store(store_folder()), fresh=request.fresh, accept_code_change=request.accept_code_change)
    planned = executor.plan(prepared.stages)
    if as_json:
        stages = [{"stage": one.name, "status": one.status, "why": one.why, "key": one.key} for one in planned]
        console.print_json({"run_id": prepared.run_id, "domain": domain, "stages": stages})
        return
    rows = [(one.name, one.status, one.why) for one in planned]
    console.table(f"{prepared.run_id}: nothing is run", ("stage", "status", "why"), rows)
