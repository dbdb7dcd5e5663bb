"""Run by torchrun's processes: trains the jobs in the folders it is given, one after another, as the training child.

Importing what trains takes longer than training a tiny model, so that many jobs are trained by the same processes.
"""

import sys
from pathlib import Path

from shared.training.config import DpoJob
from shared.training.worker import train


def main(works: list[str]) -> int:
    """The first exit code that is not 0, or 0. Each folder of `works` holds a job.json."""
    for work in map(Path, works):
        if code := train(DpoJob.model_validate_json((work / "job.json").read_text(encoding="utf-8")), work):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
