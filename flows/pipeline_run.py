"""Runs a prepared pipeline inside a Prefect flow: a task a stage, a tracked run a stage, report, registry, gate."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run as current_flow_run

from flows.preparation import PreparedRun
from flows.run_record import write_record
from flows.stopping import stop_if_asked
from flows.watch import Listener
from shared.errors import StageError, ValignError
from shared.executor import Executor, StageResult
from shared.home import store_folder
from shared.recipes import to_values
from shared.stages import Stage
from shared.store import Store
from shared.tracking import TrackedRun, Tracker

log = logging.getLogger(__name__)


@dataclass
class PipelineRun:
    """A pipeline run under way: the executor, the tracked parent run, and what is done so far."""

    prepared: PreparedRun
    listener: Listener = field(default_factory=Listener)
    done: dict[str, StageResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        request = self.prepared.request
        self.store = Store(store_folder())
        self.executor = Executor(
            self.store,
            fresh=request.fresh,
            accept_code_change=request.accept_code_change,
            announce=self._announce,
            progress=self._progress,
        )
        self.tracker = Tracker(self.prepared.domain.name)
        self.parent: TrackedRun | None = None
        self.started = time.time()

    def _announce(self, stage: str, state: str, why: str) -> None:
        stop_if_asked()
        self.listener.announce(stage, state, why)

    def _progress(self, stage: str, done: int, total: int, text: str) -> None:
        stop_if_asked()
        self.listener.progress(stage, done, total, text)

    def open(self) -> None:
        """Opens (or takes up again) the parent run."""
        prepared = self.prepared
        tags = {
            "config_sha256": prepared.config_sha256,
            "data_sha256": prepared.data_sha256,
            "recipe": prepared.recipe_path.stem,
            "prefect.flow_run_id": str(current_flow_run.id or ""),
            **prepared.domain.tags,
        }
        self.parent = self.tracker.parent(prepared.run_id, to_values(prepared.recipe), tags)

    @contextmanager
    def tracked(self) -> Iterator[None]:
        """Opens the parent run and closes it with the state the block ended in."""
        self.open()
        assert self.parent is not None
        try:
            write_record(self, "running")
            yield
        except BaseException as error:
            # Ctrl-C, or SIGTERM as Prefect raises it (TerminationSignal).
            interrupted = not isinstance(error, Exception)
            with _nothing_worse():
                write_record(self, "interrupted" if interrupted else "failed")
            with _nothing_worse():
                self.tracker.finish(self.parent, "KILLED" if interrupted else "FAILED")
            raise
        self.tracker.finish(self.parent)

    def log_run_files(self, paths: list[Path]) -> None:
        """Keeps report, record and card with the tracked run."""
        assert self.parent is not None
        for path in paths:
            if path.is_file():
                self.tracker.log_artifacts(self.parent, path, "run")

    def run_stage(self, stage: Stage) -> StageResult:
        """Runs or reuses one stage and tracks it. A stage that is tracked already is not tracked twice."""
        assert self.parent is not None
        parent = self.parent
        opened: list[TrackedRun] = []

        def start_tracking(key: str) -> dict[str, str]:
            tags = {"valign.stage_key": key, "valign.cache": "miss"}
            opened.append(self.tracker.stage(parent, stage.name, tags, dict(stage.config)))
            return opened[0].address

        try:
            result = self.executor.run(stage, self.done, start_tracking)
        except BaseException:
            if opened:
                with _nothing_worse():
                    self.tracker.finish(opened[0], "FAILED")
            raise
        if result.hit and not parent.finished:
            tags = {"valign.stage_key": result.artifact.key, "valign.cache": "hit"}
            opened.append(self.tracker.stage(parent, stage.name, tags, dict(stage.config)))
        if opened and not opened[0].finished:
            self.tracker.log_metrics(opened[0], {**result.metrics, "stage/seconds": result.seconds})
            self.tracker.finish(opened[0])
        if not (result.hit and parent.finished):
            self.tracker.log_metrics(parent, result.metrics)
        self.done[stage.name] = result
        return result

    @property
    def folders(self) -> dict[str, Path]:
        """Artifact folder by stage name."""
        return {name: result.artifact.path for name, result in self.done.items()}

    @property
    def anything_new(self) -> bool:
        """Whether any stage ran, or an earlier start did not get as far as finishing the tracked run."""
        assert self.parent is not None
        return not self.parent.finished or any(not result.hit for result in self.done.values())


@contextmanager
def _nothing_worse() -> Iterator[None]:
    """While an error is on its way to the user: what goes wrong beside it (the same full disk) does not hide it."""
    try:
        yield
    except ValignError as error:
        log.info("%s", error)


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Retries a stage whose child was killed from outside (memory, pre-emption); it resumes from its checkpoint."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageError) and error.transient


def _for_prefect(run: PipelineRun, stage: str, error: ValignError) -> ValignError:
    """The error as Prefect may store it: no path, no column's name, no row of the data."""
    run.listener.error = error
    told = type(error)(f"stage {stage} failed ({type(error).__name__}); the command that started it said why.")
    if isinstance(told, StageError) and isinstance(error, StageError):
        told.transient = error.transient
    return told


def run_stages(run: PipelineRun) -> None:
    """One Prefect task a stage, in order; each returns a small JSON summary."""
    for stage in run.prepared.stages:

        @task(
            name=stage.name.partition("/")[0],
            task_run_name=stage.name.replace("/", "-"),
            retries=1,
            retry_delay_seconds=1,
            retry_jitter_factor=0.5,
            retry_condition_fn=_is_transient,
            cache_policy=NO_CACHE,
            persist_result=True,
            result_serializer="json",
        )
        def run_stage(key_of: str, stage: Any = stage.name) -> dict[str, Any]:
            try:
                result = run.run_stage(next(one for one in run.prepared.stages if one.name == stage))
            except ValignError as error:
                raise _for_prefect(run, stage, error) from None
            return {
                "stage": stage,
                "run": key_of,
                "key": result.artifact.key,
                "digest": result.artifact.digest,
                "hit": result.hit,
                "seconds": round(result.seconds, 2),
                "metrics": dict(result.metrics),
            }

        run_stage(run.prepared.run_id)
        write_record(run, status="running")
