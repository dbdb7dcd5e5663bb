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
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", help="One run for each value: align.beta=0.05,0.1,0.3. May be repeated (all pairs)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a domain's pipeline: data, reward, alignment, evaluation, gate, registry.

    What is finished is never done twice: a second start with the same request takes seconds, an interrupted one
    continues from its last checkpoint. A sweep shares all stages that its keys do not change, compares its runs at
    the end, and promotes none of them: promote the one you choose.
    """
    from flows.request import RunRequest

    request = RunRequest(
        data=data,
        recipe=recipe,
        overrides=overrides or [],
        fresh=fresh,
        accept_code_change=accept_code_change,
    )
    if sweep:
        _sweep(domain, request, sweep, dry_run=dry_run, as_json=as_json)
        return
    record = start(domain, request, dry_run=dry_run, as_json=as_json)
    if record is not None and require_promotion and not record.get("decision", {}).get("promoted"):
        raise typer.Exit(10)


def _sweep(domain: str, request: Any, sweep: list[str], *, dry_run: bool, as_json: bool) -> None:
    """Runs every combination and compares them."""
    from flows.comparison import compare_runs
    from flows.environment import prepare_environment
    from flows.preparation import prepare
    from flows.sweep import combinations

    prepare_environment()
    requests = [
        request.model_copy(update={"overrides": [*request.overrides, *one], "promote": False})
        for one in combinations(sweep)
    ]
    for one in requests:  # a mistake in the last combination is told before the first is run
        prepare(domain, one)
    runs = []
    for number, one in enumerate(requests, 1):
        if not as_json:
            told = " ".join(one.overrides[len(request.overrides) :])
            console.err.print(f"sweep {number} of {len(requests)}: {told}", soft_wrap=True, markup=False)
        record = start(domain, one, dry_run=dry_run, as_json=as_json, shown=not as_json)
        if record is not None:
            runs.append(str(record["run_id"]))
    if dry_run:
        return
    from flows.cli.compare_command import print_comparison

    result = compare_runs(domain, runs, len(runs), [])
    if as_json:
        console.print_json(result)
    else:
        print_comparison(result)


def start(domain: str, request: Any, *, dry_run: bool, as_json: bool, shown: bool = True) -> dict[str, Any] | None:
    """Runs (or plans) a request and prints its result where it is to be shown; None after a dry run."""
    try:
        return _start(domain, request, dry_run=dry_run, as_json=as_json, shown=shown)
    except KeyboardInterrupt:
        # Here and not in `main`: the display of the stages has ended, and nothing else may come between.
        console.interrupted("finished stages and checkpoints are kept; run the same command to continue.")
        raise typer.Exit(130) from None


def _start(domain: str, request: Any, *, dry_run: bool, as_json: bool, shown: bool) -> dict[str, Any] | None:
    from flows.environment import prepare_environment

    prepare_environment()
    if dry_run:
        _plan(domain, request, as_json)
        return None
    from flows.preparation import prepare, reach_models
    from flows.start import run_flow

    prepared = prepare(domain, request)
    reach_models(prepared.stages)

    with console.stage_display(quiet=as_json) as display:
        if not as_json:
            line = f"{domain}: run {prepared.run_id}, recipe {prepared.recipe_path.stem}, data {prepared.data_name}"
            console.err.print(line, soft_wrap=True, markup=False)
        record = run_flow(domain, request, display.announce, display.advance)
    if not shown:
        return record
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
