"""The pages a person opens: command and addresses of MLflow's server."""

import sys

from shared.tracking import tracking_uri
from shared.tracking_client import artifact_root


def server_command(port: int) -> list[str]:
    """The command that serves MLflow's pages on loopback for the tracking database in use."""
    uri = tracking_uri()
    root = artifact_root(uri, "server")
    return [
        sys.executable,
        "-P",
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        uri,
        *(["--default-artifact-root", root] if root else []),
    ]


def comparison_path(experiment_id: str, run_ids: list[str]) -> str:
    """Path of MLflow's comparison page of several runs, below the server's address."""
    import json
    from urllib.parse import quote

    runs = quote(json.dumps(run_ids, separators=(",", ":")))
    experiments = quote(json.dumps([experiment_id], separators=(",", ":")))
    return f"/#/compare-runs?runs={runs}&experiments={experiments}"
