"""`valign lint`: what is wrong with the data, before anything is trained."""

import json
from typing import Any

import typer

from flows.cli import console
from flows.cli.options import DataOption, DomainArgument, FreshOption, JsonOption, RecipeOption, SetOption


def lint(
    domain: DomainArgument,
    data: DataOption = None,
    recipe: RecipeOption = "cpu",
    overrides: SetOption = None,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check preference data: ties, duplicates, contradictions, confounds, leaks, truncation, personal data.

    The data as given and the splits that would be trained on; what is found is the same as in a run. Exit code 3 where
    a finding is an error.
    """
    from flows.environment import prepare_environment
    from flows.preparation import prepare
    from flows.request import RunRequest
    from shared.executor import Executor, StageResult
    from shared.home import store_folder
    from shared.store import Store

    prepare_environment()
    request = RunRequest(data=data, recipe=recipe, overrides=overrides or [], fresh=fresh)
    prepared = prepare(domain, request)
    stages = {stage.name: stage for stage in prepared.stages}
    if "lint" not in stages:
        raise typer.BadParameter(f"the domain {domain} has no lint stage")
    with console.stage_display(quiet=as_json) as display:
        executor = Executor(Store(store_folder()), fresh=fresh, announce=display.announce, progress=display.advance)
        done: dict[str, StageResult] = {}
        for name in (*stages["lint"].inputs.values(), "lint"):
            done[name] = executor.run(stages[name], done)
    folder = done["lint"].artifact.path
    reports = {part: json.loads((folder / f"{part}.json").read_text(encoding="utf-8")) for part in ("source", "splits")}
    if as_json:
        console.print_json(reports)
        return
    titles = {"source": "The data as given", "splits": "The splits, as stored"}
    for part, report in reports.items():
        _print(titles[part], report)


def _print(title: str, report: dict[str, Any]) -> None:
    pairs = ", ".join(f"{name} {count}" for name, count in report["splits"].items())
    clean = sum(state == "clean" for state in report["checks"].values())
    rows = [
        (one["severity"], one["check"], one["subject"], one["count"], f"{one['share']:.1%}", one["message"])
        for one in report["findings"]
    ]
    console.table(
        f"{title} ({pairs}): {clean} checks clean", ("", "check", "of", "count", "share", "finding"), rows, (3, 4)
    )
    console.out.print("")
