"""The translation flow: parallel text to a gated, registered simultaneous translator."""

from typing import Any

from prefect import flow

from flows.finish import finish
from flows.pipeline_run import PipelineRun, run_stages
from flows.preparation import prepare
from flows.request import RunRequest
from flows.watch import watcher


@flow(name="translation", flow_run_name="translation", validate_parameters=True)
def translation(request: RunRequest) -> dict[str, Any]:
    """Runs the translation pipeline; returns the run's record.

    The stages and their order stand in `domains/translation/pipeline.py`.
    """
    run = PipelineRun(prepare("translation", watcher().request or request), watcher())
    with run.tracked():
        run_stages(run)
        return finish(run)
