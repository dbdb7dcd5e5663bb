"""After the last stage: register the model, act on the gate's decision, write report and record."""

import math
import shutil
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.pipeline_run import PipelineRun
from flows.promote import promote, read_decision
from flows.reporting import write_report
from flows.run_record import read_record, write_record


def finish(run: PipelineRun) -> dict[str, Any]:
    """Registers, promotes, reports; does nothing that an earlier start of the same run has done already."""
    domain = run.prepared.domain
    decision = None
    if domain.gate_stage in run.done:
        decision = read_decision(run.done[domain.gate_stage].artifact.path)
    facts: dict[str, Any] = {"headline": [_finite(row) for row in domain.headline(run.folders)]}
    if decision is not None:
        facts["decision"] = decision
    if domain.card_stage in run.done:
        facts["registered"] = _register(run, decision)
    record = write_record(run, "finished", **facts)
    refused = decision is None or not decision["promoted"]
    promoting = run.anything_new and run.prepared.request.promote
    if promoting and not refused and "champion" not in facts["registered"]["aliases"]:
        facts["registered"].update(promote(run.prepared.run_id))
        record = write_record(run, "finished", **facts)
    report = run.prepared.folder / "report.html"
    if run.anything_new or not report.is_file():
        write_report(run, record, report)
        if domain.card_stage in run.done:
            shutil.copyfile(run.done[domain.card_stage].artifact.path / "README.md", run.prepared.folder / "card.md")
        run.log_run_files([report, run.prepared.folder / "run.json", run.prepared.folder / "card.md"])
    return read_record(run.prepared.run_id)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row without numbers that are none: too few items give an estimate or interval of NaN, which JSON has not."""
    return {k: None if isinstance(value, float) and not math.isfinite(value) else value for k, value in row.items()}


def _register(run: PipelineRun, decision: dict[str, Any] | None) -> dict[str, Any]:
    @task(name="register", task_run_name="register", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=2)
    def register_model(folder: str) -> dict[str, Any]:
        from shared.registry import register
        from shared.tracking import experiment_name

        prepared = run.prepared
        assert run.parent is not None
        version = register(
            Path(folder),
            experiment_name(prepared.domain.name),
            model_sha256=run.done[_candidate(run)].artifact.digest,
            run_id=run.parent.run_id,
            tags={
                "valign.run_id": prepared.run_id,
                "valign.gate": "none" if decision is None else "promoted" if decision["promoted"] else "refused",
                "data_sha256": prepared.data_sha256,
                "config_sha256": prepared.config_sha256,
            },
            description=f"{prepared.domain.title}; run {prepared.run_id}, recipe {prepared.recipe_path.stem}.",
        )
        return {"name": version.name, "version": version.version, "aliases": list(version.aliases), "folder": folder}

    return register_model(str(run.done[run.prepared.domain.card_stage].artifact.path))


def _candidate(run: PipelineRun) -> str:
    """The stage that trained what is registered: the card stage's model, where it names one."""
    domain = run.prepared.domain
    [card] = [stage for stage in run.prepared.stages if stage.name == domain.card_stage]
    return card.inputs.get("model", domain.candidate_stage)
