"""`valign lint`: what is wrong with the data, before anything is trained."""

import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import console
from flows.cli.options import FreshOption, JsonOption, SetOption
from shared.errors import UsageError

if TYPE_CHECKING:
    from shared.lint.findings import LintError

PLAIN = "preferences"
TITLES = {"given": "The data as given", "source": "The data as given", "splits": "The splits, as stored"}


def lint(
    domain: Annotated[
        str, typer.Argument(help="A domain, e.g. counseling, or `preferences` for any preference file.")
    ] = PLAIN,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="File or folder with the data, or hub:ID. With `preferences` also a split, as train=FILE, and several "
            "of them. A domain's packaged sample if left out.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Recipe: of a domain cpu (the default), gpu, or path to a YAML file; with `preferences` how the file "
            "is read: preferences (the default), the name of a published data set, or path to a YAML file.",
        ),
    ] = None,
    overrides: SetOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a self-contained page with the findings and plots.")
    ] = None,
    list_checks: Annotated[
        bool, typer.Option("--checks", help="List all checks with their thresholds, and end.")
    ] = False,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check preference data: ties, duplicates, contradictions, confounds, leaks, truncation, personal data.

    Of a domain: the data as given and the splits that would be trained on, with the same findings as in a run. Of any
    other preference file, with `preferences`: the data as given, and leaks between its splits where it has several.
    Exit code 3 where a finding is an error.
    """
    if list_checks:
        _print_checks(as_json)
        return
    from flows.environment import prepare_environment
    from shared.lint.findings import LintError

    prepare_environment()
    left_out: Mapping[str, int] = {}
    error: LintError | None = None
    if domain == PLAIN:
        reports, left_out, error = _lint_given(data or [], recipe, overrides or [])
        name = _shown_name(data or [])
    else:
        if data and len(data) > 1:
            raise UsageError(
                "a domain splits its data itself: give one --data, or lint several splits with "
                "`valign lint preferences`."
            )
        try:
            reports, name = _lint_domain(domain, data[0] if data else None, recipe, overrides or [], fresh, as_json)
        except LintError as stopped:
            error = stopped
            reports = {part: report.to_json() for part, report in stopped.reports.items()}
            name = _shown_name(data or [])
    if html is not None:
        _write_page(html, reports, name, domain, left_out)
    if as_json:
        console.print_json(reports)
    else:
        for part, report in reports.items():
            _print(TITLES.get(part, part), report)
        if left_out:
            console.table("Rows that are no pair", ("reason", "rows"), list(left_out.items()), (1,))
            console.out.print("")
        if html is not None:
            console.out.print(f"Page: {html}", soft_wrap=True, markup=False)
    if error is not None:
        raise error


def _lint_given(
    data: list[str], recipe: str | None, overrides: list[str]
) -> "tuple[dict[str, Any], Mapping[str, int], LintError | None]":
    from shared.lint.findings import LintError, stop_on_errors
    from shared.lint.given import RECIPES, LintRecipe, lint_given
    from shared.recipes import find_recipe, load_recipe

    settings = load_recipe(LintRecipe, find_recipe(recipe or PLAIN, RECIPES), overrides)
    found = lint_given(data, settings)
    error = None
    try:
        stop_on_errors({"given": found.report})
    except LintError as stopped:
        error = stopped
    return {"given": found.report.to_json()}, found.left_out, error


def _lint_domain(
    domain: str, data: str | None, recipe: str | None, overrides: list[str], fresh: bool, as_json: bool
) -> tuple[dict[str, Any], str]:
    """The reports of the domain's lint stage, and the name of the data."""
    from flows.preparation import prepare
    from flows.request import RunRequest
    from shared.executor import Executor, StageResult
    from shared.home import store_folder
    from shared.store import Store

    request = RunRequest(data=data, recipe=recipe or "cpu", overrides=overrides, fresh=fresh)
    prepared = prepare(domain, request)
    stages = {stage.name: stage for stage in prepared.stages}
    if "lint" not in stages:
        raise UsageError(
            f"the domain {domain} has no lint stage: lint its data with `valign lint preferences --data FILE`."
        )
    with console.stage_display(quiet=as_json) as display:
        executor = Executor(Store(store_folder()), fresh=fresh, announce=display.announce, progress=display.advance)
        done: dict[str, StageResult] = {}
        for name in (*stages["lint"].inputs.values(), "lint"):
            done[name] = executor.run(stages[name], done)
    folder = done["lint"].artifact.path
    reports = {part: json.loads((folder / f"{part}.json").read_text(encoding="utf-8")) for part in ("source", "splits")}
    return reports, prepared.data_name


def _shown_name(data: list[str]) -> str:
    """File names of the data, as they may be shown."""
    from shared.deidentify.deidentifier import Deidentifier
    from shared.deidentify.file_names import masked_file_name

    masker = Deidentifier()
    names = [one.rpartition("=")[2] for one in data]
    return ", ".join(
        name if name.startswith("hub:") else masked_file_name(Path(name).absolute().name, masker) for name in names
    )


def _write_page(path: Path, reports: Mapping[str, Any], name: str, domain: str, left_out: Mapping[str, int]) -> None:
    from shared.durable import write_text
    from shared.report.lint_section import lint_page

    page = lint_page(
        reports,
        name=name or "the packaged sample",
        started=time.strftime("%Y-%m-%d %H:%M"),
        domain="lint" if domain == PLAIN else domain,
        left_out=left_out,
        command=_command(),
    )
    if path.parent.is_file() or path.is_dir():
        raise UsageError(f"--html {path} is no place for a page: give a file name such as lint.html.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def _command() -> str:
    """The command as it was given, with the names of files only: folders tell of a machine and its user."""
    shown = []
    for argument in sys.argv[1:]:
        option, sign, value = argument.rpartition("=")
        shown.append(f"{option}{sign}{Path(value).name}" if "/" in value and Path(value).exists() else argument)
    return shlex.join(["valign", *shown])


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


def _print_checks(as_json: bool) -> None:
    from shared.lint.catalogue import catalogue

    rows = catalogue()
    if as_json:
        console.print_json([row.to_json() for row in rows])
        return
    console.table(
        "Checks (thresholds are keys of the recipe's section `lint`)",
        ("check", "severity", "needs", "thresholds", "what it looks for"),
        [(row.name, row.severity, row.needs, ", ".join(row.thresholds), row.about) for row in rows],
    )
