"""Runs in MLflow: one experiment a domain, a parent run a pipeline run, a child run a stage.

Everything is found again by tags, so that a run that was killed is taken up where it stopped and a stage that
is repeated logs nothing twice. Params hold short settings only, never texts.
"""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.errors import UsageError
from shared.tracking_child import METRICS_PER_BATCH, TrainerTracking
from shared.tracking_client import artifact_root, client, locked, mlflow_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
LONGEST_PARAM = 120

__all__ = [
    "RunSummary",
    "Status",
    "TrackedRun",
    "Tracker",
    "TrainerTracking",
    "code_tags",
    "experiment_name",
    "flat_params",
    "runs",
    "show_run",
    "tracking_uri",
]


def experiment_name(domain: str) -> str:
    """The experiment, and the registered model, of a domain."""
    return f"valign-{domain}"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One MLflow run. `finished` was true when it was looked up: its metrics are complete."""

    tracking_uri: str
    experiment_id: str
    run_id: str
    finished: bool = False

    @property
    def address(self) -> dict[str, str]:
        """What a child process needs to log to this run."""
        return {"tracking_uri": self.tracking_uri, "run_id": self.run_id}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as listed: `run_id` is valign's, `mlflow_run_id` MLflow's; times in seconds since 1970."""

    run_id: str
    mlflow_run_id: str
    domain: str
    stage: str
    status: str
    start: float
    end: float | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


def flat_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `a.b: value`. A long or multi-line string is given by its digest, never by its text."""
    flat: dict[str, str] = {}
    for key, value in params.items():
        name = prefix + re.sub(r"[^\w\-. :/]", "_", str(key))
        if isinstance(value, Mapping):
            flat.update(flat_params(value, f"{name}."))
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if len(text) > LONGEST_PARAM or "\n" in text:
            text = f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        flat[name] = text
    return flat


def code_tags() -> dict[str, str]:
    """Commit of valign's own checkout and whether it has uncommitted changes; empty where it is no checkout."""
    root = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        # A package installed inside somebody's repository must not claim that repository's commit.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return {}
        commit = git("rev-parse", "HEAD")
        dirty = bool(git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_commit": commit, "git_dirty": str(dirty).lower(), "mlflow.source.git.commit": commit}


def _quoted(value: str) -> str:
    if not re.fullmatch(r"[\w./:@+\- ]+", value):
        raise UsageError(f"{value!r} cannot be the name of a run or stage: use letters, digits and . / : @ + - _ only.")
    return f"'{value}'"


def _metrics(row: Mapping[str, float], step: int, now: int) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(key, float(value), now, step) for key, value in row.items()]


def _milliseconds() -> int:
    return int(time.time() * 1000)


class Tracker:
    """Logs the pipeline runs of one domain.

    Args:
        domain: name of the domain, e.g. ``counseling``.
        uri: tracking address; `tracking_uri()` when left out.

    Raises:
        SystemStateError: (every method, too) the database is locked or read-only, or the server unreachable.
    """

    def __init__(self, domain: str, uri: str | None = None) -> None:
        self.domain = domain
        self.uri = uri or tracking_uri()
        self._client = client(self.uri)
        name = experiment_name(domain)
        with locked(self.uri), mlflow_errors(self.uri):
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                location = artifact_root(self.uri, domain)
                self.experiment_id = self._client.create_experiment(name, artifact_location=location)
            else:
                self.experiment_id = experiment.experiment_id
                if experiment.lifecycle_stage == "deleted":
                    self._client.restore_experiment(self.experiment_id)

    def parent(
        self, run_id: str, params: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> TrackedRun:
        """The run of one pipeline run, created at the first call and taken up again at every later one.

        Args:
            run_id: valign's id of the pipeline run (tag `valign.run_id`).
            params: settings, possibly nested; those logged before stay as they are.
            tags: e.g. `config_sha256`, `data_sha256`, `prefect.flow_run_id`; they replace earlier ones.
        """
        found = f"tags.`valign.run_id` = {_quoted(run_id)} and tags.`valign.kind` = 'pipeline'"
        fixed = {"valign.run_id": run_id, "valign.kind": "pipeline", "domain": self.domain}
        return self._find_or_create(found, run_id, {**code_tags(), **(tags or {}), **fixed}, params or {})

    def stage(
        self,
        parent: TrackedRun,
        stage_name: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> TrackedRun:
        """The child run of one stage, found again by (parent, stage).

        Args:
            parent: the pipeline run.
            stage_name: e.g. ``align/seed-0``.
            tags: e.g. `valign.cache` (hit or miss), `valign.stage_key`, `data_sha256`.
            params: the stage's settings.
        """
        found = f"tags.`mlflow.parentRunId` = {_quoted(parent.run_id)} and tags.stage = {_quoted(stage_name)}"
        fixed = {
            "mlflow.parentRunId": parent.run_id,
            "valign.kind": "stage",
            "stage": stage_name,
            "domain": self.domain,
        }
        return self._find_or_create(found, stage_name, {**(tags or {}), **fixed}, params or {})

    def _find_or_create(self, found: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> TrackedRun:
        from mlflow.entities import Param, RunTag

        with locked(self.uri), mlflow_errors(self.uri):
            runs = self._client.search_runs([self.experiment_id], found, max_results=1, order_by=["start_time ASC"])
            run = runs[0] if runs else self._client.create_run(self.experiment_id, tags=dict(tags), run_name=name)
            status = run.info.status
            if status in ("FAILED", "KILLED"):
                self._client.update_run(run.info.run_id, status="RUNNING")
            new_params = [Param(k, v) for k, v in flat_params(params).items() if k not in run.data.params]
            new_tags = [RunTag(k, str(v)) for k, v in tags.items() if run.data.tags.get(k) != str(v)]
            for start in range(0, max(len(new_params), len(new_tags)), 100):
                self._client.log_batch(
                    run.info.run_id, params=new_params[start : start + 100], tags=new_tags[start : start + 100]
                )
        return TrackedRun(self.uri, self.experiment_id, run.info.run_id, finished=status == "FINISHED")

    def log_metrics(self, run: TrackedRun, metrics: Mapping[str, float], step: int | None = None) -> int:
        """Logs scalars in one batch; a value that the run already holds is left out.

        Returns:
            How many were new.
        """
        with mlflow_errors(self.uri):
            if step is None:
                held = self._client.get_run(run.run_id).data.metrics
                new = {k: v for k, v in metrics.items() if k not in held or not _same(held[k], float(v))}
                self._log_batches(run.run_id, _metrics(new, 0, _milliseconds()))
                return len(new)
        return self.log_series(run, [{"step": step, **metrics}])

    def log_series(self, run: TrackedRun, rows: Iterable[Mapping[str, float]]) -> int:
        """Logs curves: rows of ``{"step": 10, "align/loss": 0.69, ...}``; (metric, step) pairs held are left out.

        Returns:
            How many points were new.
        """
        held: dict[str, set[int]] = {}
        points: list[Metric] = []
        now = _milliseconds()
        with mlflow_errors(self.uri):
            for row in rows:
                step = int(row["step"])
                fresh: dict[str, float] = {}
                for key, value in row.items():
                    if key == "step":
                        continue
                    if key not in held:
                        held[key] = {m.step for m in self._client.get_metric_history(run.run_id, key)}
                    if step not in held[key]:
                        held[key].add(step)
                        fresh[key] = value
                points += _metrics(fresh, step, now)
            self._log_batches(run.run_id, points)
        return len(points)

    def _log_batches(self, run_id: str, points: "Sequence[Metric]") -> None:
        for start in range(0, len(points), METRICS_PER_BATCH):
            self._client.log_batch(run_id, metrics=points[start : start + METRICS_PER_BATCH])

    def log_artifacts(self, run: TrackedRun, path: Path, artifact_path: str | None = None) -> None:
        """Copies a file or a folder's content to the run; a file of the same name is replaced."""
        with mlflow_errors(self.uri):
            if path.is_dir():
                self._client.log_artifacts(run.run_id, str(path), artifact_path)
            else:
                self._client.log_artifact(run.run_id, str(path), artifact_path)

    def log_table(self, run: TrackedRun, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Writes a table that MLflow's pages show, as `tables/<name>.json`.

        MLflow's own `log_table` appends when a stage is repeated; this one replaces.
        """
        file = f"tables/{name}.json"
        with mlflow_errors(self.uri):
            self._client.log_dict(run.run_id, {"columns": list(columns), "data": [list(r) for r in rows]}, file)
            listed = json.loads(self._client.get_run(run.run_id).data.tags.get("mlflow.loggedArtifacts", "[]"))
            entry = {"path": file, "type": "table"}
            if entry not in listed:
                self._client.set_tag(run.run_id, "mlflow.loggedArtifacts", json.dumps([*listed, entry]))

    def log_dataset(
        self, run: TrackedRun, name: str, sha256: str, source: str, context: str, rows: Mapping[str, int]
    ) -> None:
        """Names the data a run read, under our own digest (MLflow's built-in one ignores list columns).

        Args:
            run: the run.
            name: e.g. ``counsel_chat``.
            sha256: hex digest of the data; MLflow keeps the first 36 characters, the tag `data_sha256` all.
            source: where the data is, e.g. the artifact's folder; no personal data.
            context: e.g. ``training``.
            rows: counts by split.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=sha256[:36],
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps(dict(rows)),
        )
        with mlflow_errors(self.uri):
            self._client.log_inputs(run.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])
            self._client.set_tag(run.run_id, "data_sha256", sha256)

    def set_tags(self, run: TrackedRun, tags: Mapping[str, str]) -> None:
        """Sets tags in one batch."""
        from mlflow.entities import RunTag

        with mlflow_errors(self.uri):
            self._client.log_batch(run.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def finish(self, run: TrackedRun, status: Status = "FINISHED") -> None:
        """Ends a run. A run that already has this status keeps its end time."""
        with mlflow_errors(self.uri):
            if self._client.get_run(run.run_id).info.status != status:
                self._client.set_terminated(run.run_id, status)


def _same(held: float, value: float) -> bool:
    return held == value or (held != held and value != value)


def _summary(run: "Run") -> RunSummary:
    tags = run.data.tags
    return RunSummary(
        run_id=tags.get("valign.run_id", run.info.run_id),
        mlflow_run_id=run.info.run_id,
        domain=tags.get("domain", ""),
        stage=tags.get("stage", ""),
        status=run.info.status,
        start=run.info.start_time / 1000,
        end=run.info.end_time / 1000 if run.info.end_time else None,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags={k: v for k, v in tags.items() if not k.startswith("mlflow.")},
    )


def _search(uri: str, experiments: list[str], found: str, order: str) -> list[RunSummary]:
    summaries: list[RunSummary] = []
    token = None
    while True:
        page = client(uri).search_runs(experiments, found, max_results=500, order_by=[order], page_token=token)
        summaries += [_summary(run) for run in page]
        token = page.token
        if not token:
            return summaries


def runs(domain: str | None = None, uri: str | None = None) -> list[RunSummary]:
    """The pipeline runs of a domain (of all domains when None), newest first.

    Raises:
        SystemStateError: the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    with mlflow_errors(uri):
        wanted = [e for e in client(uri).search_experiments() if e.name.startswith("valign-")]
        ids = [e.experiment_id for e in wanted if domain is None or e.name == experiment_name(domain)]
        return _search(uri, ids, "tags.`valign.kind` = 'pipeline'", "start_time DESC") if ids else []


def show_run(run_id: str, uri: str | None = None) -> tuple[RunSummary, list[RunSummary]]:
    """One pipeline run and its stages, in the order they began.

    Args:
        run_id: valign's run id, MLflow's run id, or an unambiguous beginning of either.
        uri: tracking address; `tracking_uri()` when left out.

    Raises:
        UsageError: no run, or several, begin with `run_id`.
        SystemStateError: the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    listed = runs(uri=uri)
    matching = [r for r in listed if run_id in (r.run_id, r.mlflow_run_id)] or [
        r for r in listed if r.run_id.startswith(run_id) or r.mlflow_run_id.startswith(run_id)
    ]
    if len(matching) != 1:
        known = ", ".join(r.run_id for r in (matching or listed)[:5]) or "there are none yet"
        problem = f"{len(matching)} runs begin with" if matching else "No run is called"
        raise UsageError(f"{problem} {run_id!r}; give one of: {known}.")
    with mlflow_errors(uri):
        experiment = client(uri).get_run(matching[0].mlflow_run_id).info.experiment_id
        found = f"tags.`mlflow.parentRunId` = '{matching[0].mlflow_run_id}'"
        return matching[0], _search(uri, [experiment], found, "start_time ASC")
