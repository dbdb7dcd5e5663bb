"""The e-commerce flow: reviews and preferences between summaries to a gated, registered model."""

from typing import Any

from prefect import flow

from flows.finish import finish
from flows.pipeline_run import PipelineRun, run_stages
from flows.preparation import prepare
from flows.request import RunRequest
from flows.watch import watcher


@flow(name="ecommerce", flow_run_name="ecommerce", validate_parameters=True)
def ecommerce(request: RunRequest) -> dict[str, Any]:
    """Runs the e-commerce pipeline; returns the run's record.

    The stages and their order stand in `domains/ecommerce/pipeline.py`.
    """
    run = PipelineRun(prepare("ecommerce", watcher().request or request), watcher())
    with run.tracked():
        run_stages(run)
        return finish(run)
