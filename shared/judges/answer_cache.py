"""Answers of judge models on disk: paid for once, found again after a kill or with a larger budget.

An SQLite database (write-ahead log, every answer committed and synced by itself) keyed by the sha256 of the whole
request without the API key. It holds answers and token counts, never the request.
"""

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from shared.durable import disk_errors
from shared.errors import SystemStateError
from shared.home import valign_home

log = logging.getLogger(__name__)

_WAIT_S = 60.0  # for another process that writes


def default_cache_file() -> Path:
    """The cache that all judgings of this home share."""
    return valign_home() / "judges" / "answers.sqlite"


class AnswerCache:
    """Answers by key. One connection a process; several processes may use one file.

    Args:
        path: the database, made if it is not there; readable by its owner only. A damaged one is set aside.
        read: whether answers found there are used; False asks everything anew and writes over.

    Raises:
        SystemStateError: the file cannot be made, or another process holds it for a minute.
    """

    def __init__(self, path: Path, *, read: bool = True) -> None:
        self.path, self._read = path, read
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            raise _unusable(path, error) from error
        except sqlite3.DatabaseError as error:
            aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:8]}")
            log.warning("%s is damaged (%s); it is set aside as %s and begun anew", path, error, aside.name)
            self.close()
            path.replace(aside)
            for ending in ("-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            path.touch(mode=0o600)
            self._open()

    def _open(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, made REAL NOT NULL)"
        )

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer kept under a key, or None. Raises SystemStateError as the class."""
        if not self._read:
            return None
        try:
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error
        return None if row is None else json.loads(row[0])

    def put(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keeps an answer; durable when this returns. Raises SystemStateError as the class."""
        text = json.dumps(answer, ensure_ascii=False)
        try:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (key, text, time.time()))
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _unusable(path: Path, error: sqlite3.DatabaseError) -> SystemStateError:
    return SystemStateError(
        f"the judge's cache {path} cannot be used ({error}): make room or mend its permissions, end the process that "
        "holds it, or move the file away."
    )
