"""Writing files so that they are whole or absent, whatever moment the power goes."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import DataError, SystemStateError, UsageError

LEAST_FREE = 32 * 2**20  # the databases of a first run and their journals take a third of it
NEXT_TO_NOTHING = 2**20
FREE_SOME = "free some (`valign store gc` removes unused artifacts) or set VALIGN_HOME to another disk"
FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
# What libraries say of a full disk where they do not raise OSError: Rust (safetensors), torch, SQLite.
FULL_WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "os error 28",
    "pytorchstreamwriter failed writing file",
    "database or disk is full",
)


def is_full(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that the disk is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            return True
        if any(words in str(seen).lower() for words in FULL_WORDS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def no_space(place: Path) -> SystemStateError:
    """The sentence for a full disk."""
    return SystemStateError(
        f"no space is left on the disk that holds {place}: {FREE_SOME}, then run again; finished stages are kept."
    )


def require_space(place: Path, least_bytes: int = LEAST_FREE) -> None:
    """Checks that work may begin on the disk that holds `place`.

    Raises:
        SystemStateError: fewer bytes are free than `least_bytes`.
    """
    if (free := shutil.disk_usage(place).free) < least_bytes:
        raise SystemStateError(
            f"too little space is left on the disk that holds {place} ({free / 2**20:.0f} MB, a start needs "
            f"{least_bytes / 2**20:.0f}): {FREE_SOME}."
        )


def is_full_disk(place: Path) -> bool:
    """Whether next to nothing is left on the disk that holds `place`: for failures that do not say why."""
    return shutil.disk_usage(place).free < NEXT_TO_NOTHING


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turns a full or read-only disk into one sentence.

    Raises:
        SystemStateError: for ENOSPC, EDQUOT, EFBIG, EROFS and EACCES, and for what libraries raise of a full disk in
            place of OSError; every other exception passes unchanged.
    """
    try:
        yield
    except (UsageError, DataError, SystemStateError):
        raise
    except OSError as error:
        if is_full(error):
            raise no_space(place) from error
        if error.errno == errno.EFBIG:
            raise SystemStateError(
                f"a file in {error.filename or place} would be larger than this shell or disk allows: raise the limit "
                "(`ulimit -f unlimited`) or set VALIGN_HOME to another disk, then run again; finished stages are kept."
            ) from error
        if error.errno in NOT_WRITABLE:
            raise SystemStateError(
                f"{error.filename2 or error.filename or place} cannot be written ({error.strerror}): mend its "
                "permissions or set VALIGN_HOME to a folder that can be written."
            ) from error
        raise
    except Exception as error:
        if is_full(error):
            raise no_space(place) from error
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
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
