"""Settings that must stand in the environment before Prefect, MLflow or transformers are imported."""

import os

from shared.home import prefect_folder


def prepare_environment() -> None:
    """Telemetry off, everything below VALIGN_HOME, an embedded Prefect server unless PREFECT_API_URL names one.

    A value that the user has set wins. Called once, before the first import of Prefect.
    """
    home = prefect_folder()
    defaults = {
        "DO_NOT_TRACK": "true",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_MODEL_CATALOG_URI": "",
        "TOKENIZERS_PARALLELISM": "false",
        # Threads that spin while they wait starve each other as soon as anything else runs on the machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_PROMPT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
