"""From a request to the stages of a run: domain, recipe, data, champion, run id. Nothing is run or written here."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flows.request import RunRequest
from shared.code_digest import code_digests
from shared.digest import json_digest, path_digest
from shared.domain import Domain, PipelineRequest, Policy, load_domain
from shared.errors import DataError, UsageError
from shared.home import runs_folder
from shared.model_folders import check_model_folder, has_chat_template
from shared.models import ModelRef, local_folder, model_revision
from shared.prompts import no_chat_template
from shared.recipes import find_recipe, load_recipe, to_values
from shared.stages import Stage

REGISTERED = re.compile(r"^[\w.-]+@(candidate|champion|previous)$")


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        run_id: domain and ten hex digits of what the run is made of: the same request gives the same id, so that a
            second start continues or finds the first.
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
    data_sha256: str
    champion: Policy | None
    champion_version: str | None
    stages: tuple[Stage, ...]
    run_id: str
    config_sha256: str

    @property
    def folder(self) -> Path:
        return runs_folder() / self.run_id

    @cached_property
    def data_name(self) -> str:
        """The data's file name, masked and without folders, or hub id. To mask loads lists of names: seconds."""
        return self.location or _shown_name(self.data, self.run_id)


def locate_data(domain: Domain, given: str | None) -> tuple[Path | None, str | None]:
    """(local path, None) or (None, hub location).

    Raises:
        DataError: the path is not there, is neither file nor folder, or is empty.
        UsageError: a hub id that names no data set.
    """
    if given is None:
        return domain.sample, None
    if given.startswith("hub:"):
        if not given.removeprefix("hub:").partition("@")[0].partition(":")[0].strip():
            raise UsageError(f"--data {given} names no data set: write hub:organisation/name[@revision][:split].")
        return None, given
    try:
        path = Path(given).expanduser().absolute()
        is_file, is_folder = path.is_file(), path.is_dir()
        if not is_file and not is_folder:
            problem = "is neither a file nor a folder" if path.exists() else "is not there"
            raise DataError(f"data {given} {problem}: give an existing file or folder, or hub:ID for a hub data set.")
        if is_file and path.stat().st_size == 0:
            raise DataError(f"data {given} is empty: give a file with rows.")
    except RuntimeError as error:
        raise DataError(f"data {given} begins with a user that is not known here: give the whole path.") from error
    except OSError as error:
        name = path_shown(given)
        raise DataError(f"data {name} cannot be opened ({error.strerror}): give an existing file or folder.") from error
    return path, None


def path_shown(given: str) -> str:
    """A path as it stands in a message: not longer than a line."""
    return given if len(given) <= 120 else f"{given[:120]}..."


def data_digest(data: Path | None, location: str | None) -> str:
    """Content digest of local data, digest of the name of hub data.

    Raises:
        DataError: a file cannot be read, or a folder holds links.
    """
    if data is None:
        return json_digest(location)
    try:
        return path_digest(data)
    except OSError as error:
        raise DataError(
            f"data {error.filename or data} cannot be read ({error.strerror}): check the file and its permissions."
        ) from error
    except ValueError as error:
        raise DataError(f"data {data} holds links ({error}): give a folder of plain files.") from error


def check_models(stages: Iterable[Stage]) -> None:
    """Names of models are known and model folders whole, before a first stage runs. Nothing is fetched or loaded.

    The model that a stage calls `base` reads its prompts: under prompt style ``chat`` it must have a chat template.

    Raises:
        UsageError: unknown name, a folder that is missing or damaged, or no chat template.
    """
    checked: set[str] = set()
    for stage in stages:
        for role, reference in stage.models.items():
            found = ModelRef.parse(reference)
            if found.source != "folder":
                continue
            folder = Path(found.name)
            if found.name not in checked:
                check_model_folder(folder)
                checked.add(found.name)
            prompt = stage.config.get("prompt")
            chat = isinstance(prompt, Mapping) and prompt.get("style") == "chat"
            if role == "base" and chat and not has_chat_template(folder):
                raise no_chat_template(reference)


def reach_models(stages: Iterable[Stage]) -> None:
    """Asks the hub (or its cache) for every hub model of a run, so that a wrong name is found at the start.

    Raises:
        UsageError: the hub has no such model.
        SystemStateError: the hub cannot be reached and the model is not in its cache.
    """
    for reference in dict.fromkeys(name for stage in stages for name in stage.models.values()):
        if ModelRef.parse(reference).source == "hub":
            model_revision(reference)


def _shown_name(data: Path | None, run_id: str) -> str:
    """The data's file name as it may be stored; an earlier start of the run remembers it."""
    from shared.deidentify.file_names import masked_file_name

    if data is None:
        return ""
    return recorded(run_id).get("data", {}).get("name") or masked_file_name(data.name)


def find_policy(given: str) -> Policy:
    """The model named for evaluation: a registered one (``valign-counseling@champion``), a folder, or a base model."""
    if REGISTERED.match(given):
        from shared.registry import resolve_alias

        _, folder = resolve_alias(given)
        return Policy("model", folder=folder)
    path = local_folder(given)
    if path is not None and (path / "adapter_config.json").is_file():
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
    partners = domain.data_files(data, recipe) if domain.data_files is not None and data is not None else {}
    data_sha256 = data_digest(data, location)
    if others := {role: path for role, path in partners.items() if path != data}:
        data_sha256 = json_digest(
            {"data": data_sha256, **{role: data_digest(path, None) for role, path in others.items()}}
        )
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
    check_models(stages)
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise UsageError(f"domain {domain.name} names a stage twice: mend its pipeline.")
    return PreparedRun(
        domain=domain,
        request=request,
        recipe=recipe,
        recipe_path=recipe_path,
        data=data,
        location=location,
        data_sha256=data_sha256,
        champion=champion,
        champion_version=version,
        stages=stages,
        run_id=run_id,
        config_sha256=config_sha256,
    )
