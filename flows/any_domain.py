"""The flow of a domain that comes from another package (entry point `valign.domains`)."""

from typing import Any

from prefect import flow

from flows.finish import finish
from flows.pipeline_run import PipelineRun, run_stages
from flows.preparation import prepare
from flows.request import RunRequest
from flows.watch import watcher


@flow(name="valign-domain", flow_run_name="{domain}")
def any_domain(domain: str, request: RunRequest) -> dict[str, Any]:
    """Runs the pipeline of any installed domain; returns the run's record."""
    run = PipelineRun(prepare(domain, watcher().request or request), watcher())
    with run.tracked():
        run_stages(run)
        return finish(run)
