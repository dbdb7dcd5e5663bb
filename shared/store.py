"""The artifact store: a stage's output is a folder under the hash of everything it depends on.

Layout below the root::

    objects/<stage>/<key>/...        the artifact; manifest.json, written last, names every file and its sha256
    work/<stage>/<key>/...           checkpoints of an unfinished stage, kept for resuming, removed on commit
    tmp/ locks/ corrupt/

An artifact is written to `tmp`, fsynced and renamed: it is whole or absent. A hit is verified, byte for byte, before
it is used; an artifact that fails is moved to `corrupt` and built again.
"""

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from shared.digest import file_digest, folder_files, json_digest
from shared.durable import disk_errors, fsync_folder, fsync_tree, write_json
from shared.errors import SystemStateError

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FORMAT = 1


FACTS = {"stage": str, "key": str, "digest": str, "created": float, "files": dict}


class CorruptArtifactError(Exception):
    """An artifact's bytes are not those its manifest names."""


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """A file that cannot be read is damage, unless it is only that this user may not read it."""
    try:
        yield
    except PermissionError as error:
        raise SystemStateError(f"{path} cannot be read ({error.strerror}): mend its permissions.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptArtifactError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Artifact:
    """A finished, verified output of a stage."""

    stage: str
    key: str
    path: Path
    digest: str
    manifest: Mapping[str, Any]


def safe_relative(name: str) -> PurePosixPath:
    """A relative path that stays inside its folder.

    Raises:
        ValueError: for absolute paths, ``..``, empty names and NUL.
    """
    path = PurePosixPath(name)
    if not name or "\0" in name or "\\" in name or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"unsafe file name {name!r}")
    return path


def stage_folder(stage: str) -> str:
    """The folder name of a stage: its name before the first ``/`` (``align/seed-0`` -> ``align``)."""
    return safe_relative(stage).parts[0]


class Store:
    """Artifacts by (stage, key) below one root folder; safe under several processes.

    Args:
        root: folder of the store, made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("objects", "work", "tmp", "locks", "corrupt"):
            with disk_errors(root):
                (root / name).mkdir(parents=True, exist_ok=True)

    def path(self, stage: str, key: str) -> Path:
        """Where the artifact of (stage, key) is or would be."""
        return self.root / "objects" / stage_folder(stage) / str(safe_relative(key))

    def work(self, stage: str, key: str) -> Path:
        """The folder that survives a crash of the stage (checkpoints); made if it is not there."""
        folder = self.root / "work" / stage_folder(stage) / str(safe_relative(key))
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def lock(self, stage: str, key: str, waiting: str = "") -> Iterator[None]:
        """Holds the operating system's lock of (stage, key); the second of two starters waits for the first.

        The lock goes with the process, so that `kill -9` never leaves one behind.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / "locks" / f"{stage_folder(stage)}-{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("%s", waiting or f"another process is working on {stage}; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def has(self, stage: str, key: str) -> bool:
        """Whether a complete artifact is there (not yet verified)."""
        return (self.path(stage, key) / MANIFEST).is_file()

    def read_manifest(self, stage: str, key: str) -> dict[str, Any]:
        """The manifest of an artifact.

        Raises:
            CorruptArtifactError: where it is missing or no JSON object of this format.
            SystemStateError: this user may not read it.
        """
        path = self.path(stage, key) / MANIFEST
        with _damage(path):
            manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise CorruptArtifactError(f"{path} is no manifest of format {FORMAT}")
        if not all(isinstance(manifest.get(name), kind) for name, kind in FACTS.items()):
            raise CorruptArtifactError(f"{path} is no whole manifest")
        return manifest

    def verify(self, stage: str, key: str) -> Artifact:
        """Reads every byte of an artifact and compares it with the manifest.

        Raises:
            CorruptArtifactError: naming the first file that is missing, changed, unexpected or unsafely named.
        """
        folder = self.path(stage, key)
        manifest = self.read_manifest(stage, key)
        try:
            expected = {str(safe_relative(name)): entry for name, entry in manifest["files"].items()}
            if not all(isinstance(entry["sha256"], str) for entry in expected.values()):
                raise ValueError("the manifest names a file without its digest")
            present = {str(path) for path in folder_files(folder)} - {MANIFEST}
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(f"{folder}: {error}") from error
        if missing := sorted(expected.keys() - present):
            raise CorruptArtifactError(f"{folder / missing[0]} is missing")
        if extra := sorted(present - expected.keys()):
            raise CorruptArtifactError(f"{folder / extra[0]} does not belong to the artifact")
        for name, entry in expected.items():
            with _damage(folder / name):
                digest = file_digest(folder / name)
            if digest != entry["sha256"]:
                raise CorruptArtifactError(f"{folder / name} has changed since it was written")
        if manifest["key"] != key or manifest["digest"] != content_digest(manifest["files"]):
            raise CorruptArtifactError(f"{folder / MANIFEST} has changed since it was written")
        return Artifact(manifest["stage"], key, folder, manifest["digest"], manifest)

    def get(self, stage: str, key: str) -> Artifact | None:
        """The verified artifact, or None; one that fails verification is set aside and counts as absent."""
        if not self.has(stage, key):
            return None
        try:
            return self.verify(stage, key)
        except CorruptArtifactError as error:
            log.warning("%s; it is set aside and built again", error)
            self._set_aside(self.path(stage, key), "corrupt")
            return None

    def _set_aside(self, folder: Path, where: str) -> None:
        target = self.root / where / f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        with disk_errors(target):
            folder.replace(target)

    @contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Path]:
        """A temporary folder to write an artifact to; removed unless `commit` moved it."""
        folder = self.root / "tmp" / f"{stage_folder(stage)}-{key[:16]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        with disk_errors(folder):
            folder.mkdir(parents=True)
        try:
            with disk_errors(folder):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, stage: str, key: str, folder: Path, facts: Mapping[str, Any]) -> Artifact:
        """Makes the folder the artifact of (stage, key): digests, fsync, manifest last, rename.

        Args:
            stage: the stage's whole name; its first part names the folder.
            key: hex key.
            folder: as given by `writing`.
            facts: what else the manifest says (inputs, config, code, seconds, metrics).

        Raises:
            SystemStateError: no space, or the folder cannot be written. Nothing is left half-written.
        """
        with disk_errors(folder):
            try:
                files = {
                    str(name): {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
                    for name in folder_files(folder)
                }
            except ValueError as error:
                raise SystemStateError(
                    f"stage {stage} wrote a link ({error}): artifacts hold plain files only."
                ) from error
            digest = content_digest(files)
            manifest = {
                "format": FORMAT,
                "stage": stage,
                "key": key,
                "digest": digest,
                "created": time.time(),
                **facts,
            }
            manifest["files"] = files
            fsync_tree(folder)
            write_json(folder / MANIFEST, manifest)
            target = self.path(stage, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():  # --fresh, or a leftover without a manifest
                self._set_aside(target, "tmp")
            folder.replace(target)
            fsync_folder(target.parent)
        shutil.rmtree(self.root / "work" / stage_folder(stage) / key, ignore_errors=True)
        return Artifact(stage, key, target, digest, manifest)

    def list(self) -> Iterator[dict[str, Any]]:
        """Manifests of all complete artifacts, oldest first; unreadable ones are skipped with a warning."""
        found = []
        for path in (self.root / "objects").glob(f"*/*/{MANIFEST}"):
            try:
                found.append(self.read_manifest(path.parent.parent.name, path.parent.name))
            except CorruptArtifactError as error:
                log.warning("%s", error)
        yield from sorted(found, key=lambda manifest: manifest["created"])

    def remove(self, stage: str, key: str) -> int:
        """Deletes an artifact, atomically from a reader's view; returns the bytes freed."""
        folder = self.path(stage, key)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        trash = self.root / "tmp" / f"gone-{uuid.uuid4().hex[:12]}"
        with disk_errors(folder):
            folder.replace(trash)
        shutil.rmtree(trash, ignore_errors=True)
        return size


def content_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Digest of an artifact's content: its file names and their sha256.

    `metrics.json` counts, `timing.json` and logs do not: two equal trainings of unequal length in seconds are equal.
    """
    return json_digest(
        {name: entry["sha256"] for name, entry in files.items() if name not in ("timing.json", "log.txt")}
    )
