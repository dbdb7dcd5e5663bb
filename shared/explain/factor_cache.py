"""Measured factors on disk: what was measured once is found again by every later run, stage and process.

An SQLite database (write-ahead log) of bytes by key. It is a cache and nothing else: it may be deleted at any time, and
a power cut may cost its last entries, never its soundness. Keys are digests, so it holds numbers and no texts.
"""

import logging
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from shared.durable import disk_errors
from shared.errors import SystemStateError
from shared.home import valign_home

log = logging.getLogger(__name__)

_WAIT_S = 60.0  # for another process that writes
_KEYS_AT_ONCE = 500  # SQLite takes some thousand parameters a statement


def default_factor_cache(name: str) -> Path:
    """The cache that all measurings of this home share for one registry (a domain's name)."""
    return valign_home() / "factors" / f"{name}.sqlite"


class FactorCache:
    """Bytes by key. Several processes and threads may use one file; each process opens it for itself.

    Args:
        path: the database, made if it is not there; readable by its owner only. A damaged one is set aside.

    Raises:
        SystemStateError: the file cannot be made, or another process holds it for a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from error
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
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS measured (key TEXT PRIMARY KEY, value BLOB NOT NULL)")

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """What is kept under these keys; a key that is not there is absent. Raises SystemStateError as the class."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, bytes] = {}
        try:
            with self._lock:
                for start in range(0, len(wanted), _KEYS_AT_ONCE):
                    some = wanted[start : start + _KEYS_AT_ONCE]
                    places = ",".join("?" * len(some))
                    query = f"SELECT key, value FROM measured WHERE key IN ({places})"
                    found.update(self._connection.execute(query, some).fetchall())
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error
        return found

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Keeps all of these or, where the process dies, none. Raises SystemStateError as the class."""
        if not values:
            return
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR REPLACE INTO measured VALUES (?, ?)", list(values.items()))
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from error

    def __len__(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM measured").fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _unusable(self, error: sqlite3.DatabaseError) -> SystemStateError:
        return SystemStateError(
            f"the cache of measured factors {self.path} cannot be used ({error}): make room or mend its permissions, "
            "end the process that holds it, or delete the file (it is measured anew)."
        )
