"""Writing files so that they are whole or absent, whatever moment the power goes."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import SystemStateError


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns a full or read-only disk into one sentence.

    Raises:
        SystemStateError: for ENOSPC, EDQUOT, EROFS and EACCES; every other OSError passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SystemStateError(
                f"no space is left on the disk that holds {place}: free some (`valign store gc` removes unused "
                "artifacts) or set VALIGN_HOME to another disk, then run again; finished stages are kept."
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise SystemStateError(
                f"{error.filename or place} cannot be written ({error.strerror}): mend its permissions or set "
                "VALIGN_HOME to a folder that can be written."
            ) from error
        raise


def fsync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable (a rename in it survives a crash)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """fsyncs every file and folder below `folder`, and the folder itself."""
    for base, _, names in os.walk(folder):
        for name in names:
            handle = os.open(Path(base) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        fsync_folder(Path(base))


def write_text(path: Path, text: str) -> None:
    """Writes text to a temporary neighbour, fsyncs it and renames it over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON (NaN is refused: it is not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
