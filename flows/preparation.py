"""From a request to the stages of a run: domain, recipe, data, champion, run id. Nothing is run or written here."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.request import RunRequest
from shared.code_digest import code_digests
from shared.digest import json_digest, path_digest
from shared.domain import Domain, PipelineRequest, Policy, load_domain
from shared.errors import DataError, UsageError
from shared.home import runs_folder
from shared.recipes import find_recipe, load_recipe, to_values
from shared.stages import Stage

REGISTERED = re.compile(r"^[\w.-]+@(candidate|champion|previous)$")


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        run_id: domain and ten hex digits of what the run is made of: the same request gives the same id, so that a
            second start continues or finds the first.
        data_name: the data's file name or hub id, without folders.
        data_sha256: content digest of the data.
        champion: the registered model to beat, None where the unaligned base is.
        folder: the run's folder (run.json, report.html, card).
    """

    domain: Domain
    request: RunRequest
    recipe: Any
    recipe_path: Path
    data: Path | None
    location: str | None
    data_name: str
    data_sha256: str
    champion: Policy | None
    champion_version: str | None
    stages: tuple[Stage, ...]
    run_id: str
    config_sha256: str

    @property
    def folder(self) -> Path:
        return runs_folder() / self.run_id


def locate_data(domain: Domain, given: str | None) -> tuple[Path | None, str | None]:
    """(local path, None) or (None, hub location).

    Raises:
        DataError: the path is not there, or empty.
    """
    if given is None:
        return domain.sample, None
    if given.startswith("hub:"):
        return None, given
    path = Path(given).expanduser().absolute()
    if not path.exists():
        raise DataError(f"data {given} is not there: give an existing file or folder, or hub:ID for a hub data set.")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"data {given} is empty: give a file with rows.")
    return path, None


def _shown_name(data: Path | None, run_id: str) -> str:
    """The data's file name as it may be stored; an earlier start of the run remembers it."""
    from shared.deidentify.file_names import masked_file_name

    if data is None:
        return ""
    return recorded(run_id).get("data", {}).get("name") or masked_file_name(data.name)


def find_policy(given: str) -> Policy:
    """The model named for evaluation: a registered one (``valign-counseling@champion``), a folder, or a base model."""
    from shared.models import model_revision

    if REGISTERED.match(given):
        from shared.registry import resolve_alias

        _, folder = resolve_alias(given)
        return Policy("model", folder=folder)
    path = Path(given).expanduser()
    if path.is_dir() and (path / "adapter_config.json").is_file():
        return Policy("model", folder=path.absolute())
    model_revision(given)  # raises UsageError with the nearest known name
    return Policy("model", reference=given)


def recorded(run_id: str) -> dict[str, Any]:
    """run.json of an earlier start of the same run, or {}."""
    path = runs_folder() / run_id / "run.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def find_champion(domain: Domain, run_id: str) -> tuple[Policy | None, str | None]:
    """The model this run has to beat, and its version.

    Where the present champion is this run's own model (a second start after promotion), it is the one that the run
    was measured against at first, so that nothing is done twice.
    """
    from shared.registry import champion, resolve_alias
    from shared.tracking import experiment_name, tracking_uri

    uri = tracking_uri()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None, None  # a first --dry-run writes nothing, a database neither
    name = experiment_name(domain.name)
    present = champion(name)
    if present is None:
        return None, None
    if present.tags.get("valign.run_id") == run_id:
        earlier = recorded(run_id).get("champion", {})
        folder = earlier.get("folder")
        return (Policy("champion", folder=Path(folder)) if folder else None), earlier.get("version")
    _, folder = resolve_alias(f"{name}@champion")
    return Policy("champion", folder=folder), str(present.version)


def prepare(domain_name: str, request: RunRequest) -> PreparedRun:
    """Reads and checks everything a run needs before it starts.

    Raises:
        UsageError: domain, recipe, key or model is wrong.
        DataError: the data are not there.
    """
    domain = load_domain(domain_name)
    recipe_path = find_recipe(request.recipe, domain.recipes)
    recipe = load_recipe(domain.recipe, recipe_path, request.overrides)
    data, location = locate_data(domain, request.data)
    data_sha256 = path_digest(data) if data is not None else json_digest(location)
    config_sha256 = json_digest(to_values(recipe))
    only = find_policy(request.evaluate) if request.evaluate else None
    module = domain.build.__module__
    run_id = (
        f"{domain.name}-"
        + json_digest(
            {
                "config": config_sha256,
                "data": data_sha256,
                "evaluate": path_digest(only.folder) if only and only.folder else request.evaluate,
                "code": None if request.accept_code_change else code_digests(module),
            }
        )[:10]
    )
    champion, version = (None, None) if only else find_champion(domain, run_id)
    stages = tuple(domain.build(PipelineRequest(recipe, data, location, champion, only)))
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise UsageError(f"domain {domain.name} names a stage twice: mend its pipeline.")
    name = location or _shown_name(data, run_id)
    return PreparedRun(
        domain=domain,
        request=request,
        recipe=recipe,
        recipe_path=recipe_path,
        data=data,
        location=location,
        data_name=name,
        data_sha256=data_sha256,
        champion=champion,
        champion_version=version,
        stages=stages,
        run_id=run_id,
        config_sha256=config_sha256,
    )
