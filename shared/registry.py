"""The model registry: versions found again by digest, and the aliases candidate, champion and previous.

With a database on this machine a version's source is the `file:` address of the model's folder in the artifact
store: nothing is copied, and the store must keep what is registered. With a tracking server the folder is
uploaded to the run (`<run>/model`) and that is the source. Both can be fetched with
`mlflow artifacts download -u models:/<name>@champion`.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from shared.errors import SystemStateError, UsageError
from shared.home import mlflow_folder
from shared.tracking_client import client, is_server, locked, mlflow_errors, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model; `run_id` is MLflow's id of the run that made it."""

    name: str
    version: int
    model_sha256: str
    run_id: str
    source: str
    aliases: tuple[str, ...]
    tags: dict[str, str]


def _checked(name: str) -> str:
    if not re.fullmatch(r"[\w.\- ]+", name):
        raise UsageError(f"{name!r} cannot be the name of a registered model: use letters, digits, . - _ and spaces.")
    return name


def _version(found: "ModelVersion", aliases: Mapping[str, str]) -> RegisteredVersion:
    return RegisteredVersion(
        name=found.name,
        version=int(found.version),
        model_sha256=found.tags.get("valign.model_sha256", ""),
        run_id=found.run_id or "",
        source=found.source or "",
        aliases=tuple(sorted(a for a, v in aliases.items() if int(v) == int(found.version))),
        tags=dict(found.tags),
    )


def _aliases(uri: str, name: str) -> dict[str, str]:
    """Alias -> version of a model; empty where there is no such model."""
    found = client(uri).search_registered_models(f"name = '{_checked(name)}'")
    return dict(found[0].aliases) if found else {}


def _local_path(source: str) -> Path | None:
    parts = urlsplit(source)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def local_folder(version: RegisteredVersion) -> Path | None:
    """The folder on this machine that a version points at (it may be gone); None where a server keeps the model."""
    return _local_path(version.source)


def versions(name: str, uri: str | None = None) -> list[RegisteredVersion]:
    """All versions of a model, newest first; empty where there is none.

    Raises:
        SystemStateError: the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///").partition("?")[0]).exists():
        return []  # looking does not make a database
    with mlflow_errors(uri):
        aliases = _aliases(uri, name)
        found = client(uri).search_model_versions(f"name = '{_checked(name)}'")
        return sorted((_version(v, aliases) for v in found), key=lambda v: -v.version)


def register(
    model_folder: Path,
    name: str,
    model_sha256: str,
    run_id: str,
    tags: Mapping[str, str] | None = None,
    description: str = "",
    uri: str | None = None,
) -> RegisteredVersion:
    """Registers a model once per digest and points the alias `candidate` at it (unless it is the champion).

    Args:
        model_folder: the final model or adapter; with a local database it stays where it is.
        name: registered model, e.g. ``valign-counseling``.
        model_sha256: hex digest of the model's content; the same digest is always the same version.
        run_id: MLflow's id of the run that made it.
        tags: further tags of the version.
        description: Markdown shown on the version's page.
        uri: tracking address; `tracking_uri()` when left out.

    Returns:
        The version, new or found again.

    Raises:
        UsageError: the folder does not exist, or the name is not a valid one.
        SystemStateError: the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    if not model_folder.is_dir():
        raise UsageError(f"There is no model folder {model_folder}; run the pipeline first.")
    opened = client(uri)
    with locked(uri), mlflow_errors(uri):
        if not opened.search_registered_models(f"name = '{_checked(name)}'"):
            opened.create_registered_model(name)
        version = _same_model(uri, name, model_sha256)
        if version is None:
            if is_server(uri):
                opened.log_artifacts(run_id, str(model_folder), "model")
                source = f"{opened.get_run(run_id).info.artifact_uri}/model"
            else:
                source = model_folder.absolute().as_uri()
            # Version and tags are one transaction: a version without its digest never exists.
            version = opened.create_model_version(
                name,
                source,
                run_id=run_id,
                tags={**(tags or {}), "valign.model_sha256": model_sha256},
                description=description,
            )
        aliases = _aliases(uri, name)
        if int(aliases.get(CHAMPION, 0)) != int(version.version):
            opened.set_registered_model_alias(name, CANDIDATE, str(version.version))
        return _version(version, _aliases(uri, name))


def _same_model(uri: str, name: str, model_sha256: str) -> "ModelVersion | None":
    if not re.fullmatch(r"[0-9a-zA-Z:_-]+", model_sha256):
        raise UsageError(f"{model_sha256!r} is not a digest.")
    found = client(uri).search_model_versions(f"name = '{name}' and tags.`valign.model_sha256` = '{model_sha256}'")
    for version in sorted(found, key=lambda v: int(v.version)):
        path = _local_path(version.source or "")
        # A version whose folder was deleted cannot be mended (the source is fixed): it is registered anew.
        if path is None or path.is_dir():
            return version
    return None


def promote(name: str, version: int, uri: str | None = None) -> RegisteredVersion:
    """Makes `version` the champion; the champion before becomes `previous`. Done twice, it changes nothing more.

    Raises:
        UsageError: there is no such model or version.
        SystemStateError: the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    opened = client(uri)
    with locked(uri), mlflow_errors(uri):
        known = {v.version for v in versions(name, uri)}
        if version not in known:
            listed = ", ".join(map(str, sorted(known))) or "none"
            raise UsageError(f"The registered model {name} has no version {version}; it has: {listed}.")
        aliases = _aliases(uri, name)
        champion_before = aliases.get(CHAMPION)
        if champion_before is None or int(champion_before) != version:
            if champion_before is not None:
                opened.set_registered_model_alias(name, PREVIOUS, str(champion_before))
            opened.set_registered_model_alias(name, CHAMPION, str(version))
        if int(aliases.get(CANDIDATE, 0)) == version:
            opened.delete_registered_model_alias(name, CANDIDATE)
        return next(v for v in versions(name, uri) if v.version == version)


def champion(name: str, uri: str | None = None) -> RegisteredVersion | None:
    """The version with the alias `champion`, or None (then the unaligned base is what a candidate must beat)."""
    return next((v for v in versions(name, uri) if CHAMPION in v.aliases), None)


def resolve_alias(reference: str, uri: str | None = None) -> tuple[RegisteredVersion, Path]:
    """The version and local folder of ``name@alias`` or ``name/version``.

    A model kept on a tracking server is downloaded once, to valign's home.

    Raises:
        UsageError: no such model, alias or version.
        SystemStateError: the model's folder is gone, or the database or server cannot be used.
    """
    uri = uri or tracking_uri()
    match = re.fullmatch(r"(?:models:/)?([^@/]+)(?:@([\w-]+)|/(\d+))", reference)
    if match is None:
        raise UsageError(
            f"{reference!r} is not a registered model; write it as name@alias, e.g. valign-counseling@champion."
        )
    name, alias, number = match.groups()
    listed = versions(name, uri)
    found = next((v for v in listed if (alias in v.aliases if alias else v.version == int(number))), None)
    if found is None:
        known = sorted({f"@{a}" for v in listed for a in v.aliases} | {f"/{v.version}" for v in listed})
        what = f"it has: {', '.join(known)}" if known else "nothing is registered under that name"
        raise UsageError(f"There is no registered model {reference!r}; {what}.")
    path = local_folder(found)
    if path is None:
        return found, _downloaded(uri, found)
    if not path.is_dir():
        raise SystemStateError(
            f"The folder of {name} version {found.version}, {path}, is gone; run the pipeline again to make it anew."
        )
    return found, path


def _downloaded(uri: str, version: RegisteredVersion) -> Path:
    folder = mlflow_folder() / "downloads" / version.name / str(version.version)
    with locked(uri), mlflow_errors(uri):
        if folder.is_dir():
            return folder
        from mlflow.artifacts import download_artifacts

        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
        try:
            fetched = download_artifacts(artifact_uri=version.source, dst_path=str(part), tracking_uri=uri)
            Path(fetched).replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder
