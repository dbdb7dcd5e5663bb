"""Promotion: moves the registry's aliases where the gate has decided so; a flow of its own, so that a person or a
schedule can start it later for a candidate that was held back."""

import json
from pathlib import Path
from typing import Any

from prefect import flow

from flows.run_record import read_record
from shared.errors import UsageError


@flow(name="promote", flow_run_name="promote-{run_id}")
def promote(run_id: str, approve: bool = False) -> dict[str, Any]:
    """Makes a run's registered model the champion.

    Args:
        run_id: the run whose model is to be promoted.
        approve: a person overrules the gate's refusal; the registry says so (tag `valign.approved_by_person`).

    Raises:
        UsageError: the run registered no model, or the gate refused and nobody approved.
    """
    from shared.registry import promote as move_aliases

    record = read_record(run_id)
    registered = record.get("registered")
    if not registered:
        raise UsageError(f"run {record['run_id']} registered no model: run its pipeline to the end first.")
    decision = record.get("decision", {})
    if not decision.get("promoted") and not approve:
        raise UsageError(
            f"the gate refused run {record['run_id']} ({_first_reason(decision)}): give approve=true to overrule it."
        )
    version = move_aliases(registered["name"], int(registered["version"]))
    return {"name": version.name, "version": version.version, "aliases": list(version.aliases)}


def _first_reason(decision: dict[str, Any]) -> str:
    reasons = decision.get("reasons") or ["no decision was recorded"]
    return str(reasons[0]).rstrip(".")


def read_decision(folder: Path) -> dict[str, Any]:
    """decision.json of a gate artifact."""
    return json.loads((folder / "decision.json").read_text(encoding="utf-8"))
