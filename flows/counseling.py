"""The counseling flow: preference pairs to a gated, registered model."""

from typing import Any

from prefect import flow

from flows.finish import finish
from flows.pipeline_run import PipelineRun, run_stages
from flows.preparation import prepare
from flows.request import RunRequest
from flows.watch import watcher


@flow(name="counseling", flow_run_name="counseling", validate_parameters=True)
def counseling(request: RunRequest) -> dict[str, Any]:
    """Runs the counseling pipeline; returns the run's record.

    The stages and their order stand in `domains/counseling/pipeline.py`.
    """
    run = PipelineRun(prepare("counseling", watcher().request or request), watcher())
    with run.tracked():
        run_stages(run)
        return finish(run)
