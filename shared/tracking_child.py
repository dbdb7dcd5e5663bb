"""Metrics of a training child: batched, from a thread, never in the way of who waits for the training."""

import logging
import threading
import time
from collections.abc import Mapping

from shared.errors import ValignError
from shared.tracking_client import client

log = logging.getLogger(__name__)

METRICS_PER_BATCH = 500


def _milliseconds() -> int:
    return int(time.time() * 1000)


class TrainerTracking:
    """Logs a training's metrics in batches from a thread, and never raises into what calls it.

    What an earlier attempt at the same run logged for (metric, step) is not logged again, so that all rows of a
    training may be given once more after a kill, which takes those that still wait.

    Args:
        tracking_uri: address of the database or server.
        run_id: MLflow's id of the stage's run.
        seconds: longest time a point waits.
        rows: number of points at which they are sent at once.
    """

    def __init__(self, tracking_uri: str, run_id: str, seconds: float = 3.0, rows: int = 50) -> None:
        self._uri, self._run_id, self._rows = tracking_uri, run_id, rows
        self._waiting: list[tuple[str, float, int, int]] = []
        self._held: dict[str, set[int]] = {}
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._wake, self._closed, self._warned = threading.Event(), False, False
        self._thread = threading.Thread(target=self._loop, args=(seconds,), name="mlflow-metrics", daemon=True)
        self._thread.start()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Queues the values of one step (returns at once)."""
        now = _milliseconds()
        with self._lock:
            self._waiting += [(key, float(value), step, now) for key, value in metrics.items()]
            full = len(self._waiting) >= self._rows
        if full:
            self._wake.set()

    def _loop(self, seconds: float) -> None:
        while not self._closed:
            self._wake.wait(seconds)
            self._wake.clear()
            self.flush(attempts=1)

    def flush(self, attempts: int = 3) -> bool:
        """Sends what waits; keeps it for the next time where that fails.

        Returns:
            Whether nothing is left waiting.
        """
        with self._sending:
            for attempt in range(attempts):
                with self._lock:
                    batch = self._waiting[:METRICS_PER_BATCH]
                while batch:
                    if not self._send(batch):
                        break
                    with self._lock:
                        del self._waiting[: len(batch)]
                        batch = self._waiting[:METRICS_PER_BATCH]
                else:
                    return True
                if attempt + 1 < attempts:
                    time.sleep(0.5 * 2**attempt)
            return False

    def _send(self, batch: list[tuple[str, float, int, int]]) -> bool:
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            opened = client(self._uri)
            for key in {key for key, *_ in batch} - self._held.keys():
                self._held[key] = {m.step for m in opened.get_metric_history(self._run_id, key)}
            points = [Metric(k, v, now, step) for k, v, step, now in batch if step not in self._held[k]]
            if points:
                opened.log_batch(self._run_id, metrics=points)
            for key, _, step, _ in batch:
                self._held[key].add(step)
        except (MlflowException, SQLAlchemyError, OSError, ValignError) as error:
            if not self._warned:
                self._warned = True
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                log.warning("Training goes on, but its metrics cannot be logged to MLflow for now: %s", reason)
            return False
        return True

    def close(self) -> None:
        """Sends the rest and ends the thread; what cannot be sent is given up after a few tries."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=60)
        if not self.flush():
            log.warning("%d metric values of run %s were not logged to MLflow.", len(self._waiting), self._run_id)
