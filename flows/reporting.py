"""The HTML report of a run: what every domain has in common, and the domain's own sections."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.durable import write_text

if TYPE_CHECKING:
    from flows.pipeline_run import PipelineRun


def write_report(run: "PipelineRun", record: dict[str, Any], path: Path) -> None:
    """Writes the self-contained report page of a finished run."""
    from shared.report.blocks import Interval, ReportData, StageRow, Table
    from shared.report.page import render_report

    prepared = run.prepared
    rows: list[Any] = []
    for row in record.get("headline", []):
        value = row["value"]
        shown = Interval(value=value, low=row.get("low"), high=row.get("high")) if isinstance(value, float) else value
        name = row["name"].replace("  ", "\u2003", 1) if row["name"].startswith("  ") else row["name"]
        rows.append([name, shown, row.get("n"), row.get("note") or ""])
    seconds = sum(result.seconds for result in run.done.values())
    data = ReportData(
        title=prepared.domain.title,
        domain=prepared.domain.name,
        run_id=prepared.run_id,
        started=time.strftime("%Y-%m-%d %H:%M", time.localtime(record["started"])),
        seconds=seconds,
        facts=_facts(run, record),
        headline=Table(caption="Result", columns=["", "value", "n", "note"], rows=rows, note="95 % intervals."),
        decision=_decision(record.get("decision")),
        sections=prepared.domain.report_sections(run.folders),
        lineage=[
            StageRow(
                stage=name, key=result.artifact.key[:16], cache="hit" if result.hit else "miss", seconds=result.seconds
            )
            for name, result in run.done.items()
        ],
        reproduce=[command_of(record)],
        version=version("valign"),
    )
    write_text(path, render_report(data))


def command_of(record: dict[str, Any]) -> str:
    """The command that gives this run again."""
    import shlex

    request = record["request"]
    evaluating = request.get("evaluate")
    parts = ["valign", "evaluate" if evaluating else "run", record["domain"]]
    if evaluating:
        parts += ["--model", evaluating]
    if request["data"]:
        parts += ["--data", record["data"]["name"]]
    parts += ["--recipe", record["recipe"]["name"]]
    for override in request["overrides"]:
        parts += ["--set", override]
    return shlex.join(parts)


def _facts(run: "PipelineRun", record: dict[str, Any]) -> dict[str, Any]:
    prepared = run.prepared
    facts: dict[str, Any] = {
        "Recipe": prepared.recipe_path.stem,
        "Data": prepared.data_name,
        "Data digest": prepared.data_sha256[:16],
        "Model": getattr(prepared.recipe, "model", ""),
        "Stages reused": f"{sum(result.hit for result in run.done.values())} of {len(run.done)}",
    }
    registered = record.get("registered")
    if registered:
        facts["Registered"] = f"{registered['name']} version {registered['version']}"
    if any(result.accepted_code_change for result in run.done.values()):
        facts["Accepted code change"] = ", ".join(n for n, r in run.done.items() if r.accepted_code_change)
    return facts


def _decision(decision: dict[str, Any] | None) -> Any:
    from shared.report.blocks import Decision, Reason

    if decision is None:
        return None
    tests = decision.get("tests", [])
    # With tests the first reason is the verdict, then one reason a test, then remarks on the licence.
    texts = decision["reasons"][1:] if tests else decision["reasons"]
    passed = [test["passed"] for test in tests] + [None] * len(texts)
    reasons = [Reason(passed=outcome, text=text) for outcome, text in zip(passed, texts, strict=False)]
    verdict = "The model is the new champion." if decision["promoted"] else "The champion stays."
    return Decision(promoted=decision["promoted"], summary=verdict, reasons=reasons)
