"""run.json: what a run was asked, what it did, and where everything lies; the contract of a run's folder."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.processes import has_ended, this_process
from shared.durable import write_json
from shared.errors import UsageError
from shared.home import runs_folder
from shared.recipes import to_values

if TYPE_CHECKING:
    from flows.pipeline_run import PipelineRun

KEYS = {
    "run_id": str,
    "domain": str,
    "status": str,
    "started": float,
    "updated": float,
    "data": dict,
    "recipe": dict,
    "request": dict,
    "stages": list,
}


def write_record(run: PipelineRun, status: str, **more: Any) -> dict[str, Any]:
    """Writes run.json, whole or not at all; keys given earlier stay unless `more` names them."""
    prepared = run.prepared
    path = prepared.folder / "run.json"
    earlier = _read(path) or {}
    champion = prepared.champion
    record = {
        **{
            key: earlier[key]
            for key in ("started", "registered", "decision", "headline", "mlflow_run_id")
            if key in earlier
        },
        "run_id": prepared.run_id,
        "domain": prepared.domain.name,
        "status": status,
        "started": earlier.get("started", run.started),
        "updated": time.time(),
        "data": {"name": prepared.data_name, "sha256": prepared.data_sha256},
        "recipe": {
            "name": prepared.recipe_path.stem,
            "sha256": prepared.config_sha256,
            "values": to_values(prepared.recipe),
        },
        "request": {**prepared.request.model_dump(mode="json"), "data": prepared.request.data and prepared.data_name},
        "process": this_process() if status == "running" else None,
        "champion": {
            "folder": str(champion.folder) if champion and champion.folder else None,
            "version": prepared.champion_version,
        },
        "stages": _stages(run, earlier.get("stages", [])),
    }
    if run.parent is not None:
        record["mlflow_run_id"] = run.parent.run_id
    record.update(more)
    write_json(path, record)
    return record


def _stages(run: PipelineRun, earlier: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for every stage that is done; those that an earlier start did, and this one has not reached yet, stay."""
    rows = {row["stage"]: row for row in earlier}
    for name, result in run.done.items():
        rows[name] = {
            "stage": name,
            "key": result.artifact.key,
            "digest": result.artifact.digest,
            "hit": result.hit,
            "seconds": round(result.seconds, 2),
            "path": str(result.artifact.path),
            "metrics": dict(result.metrics),
            "accepted_code_change": result.accepted_code_change,
        }
    return [rows[stage.name] for stage in run.prepared.stages if stage.name in rows]


def _as_it_is(record: dict[str, Any]) -> dict[str, Any]:
    """The record; one that says `running` though its process was killed outright is `interrupted`."""
    if record.get("status") == "running" and has_ended(record.get("process")):
        return {**record, "status": "interrupted"}
    return record


def _read(path: Path) -> dict[str, Any] | None:
    """The record, or None where the file is not there or was not written by valign."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in KEYS.items())
    return value if whole else None


def all_records(domain: str | None = None) -> list[dict[str, Any]]:
    """run.json of every run, newest first."""
    found = [_read(path) for path in runs_folder().glob("*/run.json")]
    records = [_as_it_is(one) for one in found if one and (domain is None or one["domain"] == domain)]
    return sorted(records, key=lambda record: -record["updated"])


def read_record(run_id: str) -> dict[str, Any]:
    """One run's record; the id may be shortened where it stays unique.

    Raises:
        UsageError: no such run, or several.
    """
    matches = sorted(
        path.parent.name for path in runs_folder().glob("*/run.json") if path.parent.name.startswith(run_id)
    )
    if run_id in matches:
        matches = [run_id]
    if len(matches) != 1:
        known = ", ".join(record["run_id"] for record in all_records()[:5]) or "none yet"
        what = f"several runs begin with {run_id!r}: {', '.join(matches)}" if matches else f"no run {run_id!r}"
        raise UsageError(f"{what}; the latest are: {known}.")
    record = _read(runs_folder() / matches[0] / "run.json")
    if record is None:
        raise UsageError(f"the record of run {matches[0]} cannot be read: run its pipeline again.")
    return _as_it_is(record)
