"""sha256 of files, folders and JSON values."""

import hashlib
import json
from pathlib import Path
from typing import Any


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def folder_files(folder: Path) -> list[Path]:
    """The regular files below a folder, relative and sorted. Links are refused with ValueError."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link")
        if path.is_file():
            files.append(path.relative_to(folder))
    return files


def path_digest(path: Path) -> str:
    """Digest of a file's bytes, or of a folder's (relative name, bytes) pairs."""
    if path.is_file():
        return file_digest(path)
    return json_digest({str(name): file_digest(path / name) for name in folder_files(path)})
