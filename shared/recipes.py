"""Recipes: YAML files checked by pydantic, with `--set key=value` on top.

A recipe is named for the hardware it was measured on (`cpu`, `gpu`) or is a path. Unknown keys are errors that name
the nearest known one.
"""

import contextlib
import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import UsageError

# Beside its own errors the parser raises these: for a date that is none, deep nesting, `!!int ""` or `!!bool maybe`.
NOT_YAML = (yaml.YAMLError, ValueError, RecursionError, IndexError, KeyError, TypeError, AttributeError)
LONGEST_SHOWN = 80


class Component(BaseModel):
    """Base of every part of a recipe: unknown keys are refused, values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


RecipeT = TypeVar("RecipeT", bound=BaseModel)


def find_recipe(name: str, folder: Path) -> Path:
    """The file of a recipe given by name (a file of the domain's `recipes` folder) or path.

    Raises:
        UsageError: naming the known recipes.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name in known:
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) or "/" in name:
        try:
            path = Path(name).expanduser()
            if path.is_file():
                return path
            what = "is no file" if path.exists() else "is not there"
        except (OSError, RuntimeError) as error:  # a name that is too long, an unknown ~user
            what = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
        raise UsageError(f"recipe file {name[:200]} {what}: give a path to a YAML file, or one of {', '.join(known)}.")
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" did you mean {nearest[0]}?" if nearest else ""
    raise UsageError(f"unknown recipe {name!r}:{hint} known are {', '.join(known)}, or give a path to a YAML file.")


def load_recipe(model: type[RecipeT], path: Path, overrides: Sequence[str] = ()) -> RecipeT:
    """Reads and checks a recipe.

    Args:
        model: the domain's recipe type.
        path: YAML file.
        overrides: ``key.sub=value`` strings; the value is read as YAML.

    Raises:
        UsageError: broken YAML, unknown key (names the nearest), wrong type or value; all in one sentence.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"recipe {path} is not UTF-8 text: save it as UTF-8.") from error
    except OSError as error:
        raise UsageError(f"recipe {path} cannot be read ({error.strerror}): mend its permissions.") from error
    except NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"recipe {path}{where} is not valid YAML: {_problem(error)}.") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UsageError(f"recipe {path} holds no mapping of keys to values.")
    for override in overrides:
        apply_override(values, override)
    try:
        recipe = model.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error, model, path)) from error
    for key, value in flatten(to_values(recipe)).items():
        if not _is_json(value):
            raise UsageError(
                f"recipe key {key!r} in {path.name} or --set: numbers must be finite and texts Unicode, not "
                f"{_shown(value)}."
            )
    return recipe


def _shown(value: Any) -> str:
    """A value as it stands in a message: ASCII, not longer than a line."""
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _problem(error: Exception) -> str:
    """What a YAML parser found, in one line."""
    told = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error) or "nested too deeply"
    return " ".join(str(told).split())[:160].rstrip(".")


def _is_json(value: Any) -> bool:
    """Whether a value can be hashed and stored: YAML knows infinity, and halves of surrogate pairs."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except ValueError:
        return False
    return True


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets ``a.b.c=value`` in nested dictionaries; the value is YAML.

    Raises:
        UsageError: where there is no ``=``, an empty key, a key of several lines, or a parent that is no mapping.
    """
    key, sign, text = override.partition("=")
    parts = key.strip().split(".")
    if not sign or not all(parts) or not key.isprintable():
        raise UsageError(f"--set {_shown(override)} is not of the form key.sub=value: write such as align.beta=0.05.")
    try:
        value = yaml.safe_load(text)
    except NOT_YAML as error:
        raise UsageError(
            f"--set {key[:LONGEST_SHOWN]}: the value {_shown(text)} is not valid YAML ({_problem(error)})."
        ) from error
    if isinstance(value, str):
        # YAML 1.1 reads 5e-7 as text; people mean the number.
        with contextlib.suppress(ValueError):
            value = float(value) if any(sign in value for sign in "eE.") else value
    target = values
    for part in parts[:-1]:
        if target.get(part) is None:
            target[part] = {}
        target = target[part]
        if not isinstance(target, dict):
            raise UsageError(f"--set {key[:LONGEST_SHOWN]}: {part} is a value, not a group of keys: set {part} itself.")
    target[parts[-1]] = value


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a recipe type, groups included."""
    keys = []
    for name, info in model.model_fields.items():
        keys.append(prefix + name)
        for kind in _models_in(info.annotation):
            keys.extend(known_keys(kind, f"{prefix}{name}."))
    return keys


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _models_in(part)]


def _explain(error: ValidationError, model: type[BaseModel], path: Path) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])[:200]
    more = f" ({error.error_count() - 1} more problems after it)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = known_keys(model)
        parent = key.rpartition(".")[0]
        siblings = [name for name in known if name.rpartition(".")[0] == parent]
        leaf = key.rpartition(".")[2]
        close = difflib.get_close_matches(leaf, [name.rpartition(".")[2] for name in siblings], n=1, cutoff=0.5)
        if close:
            nearest = f"{parent}.{close[0]}" if parent else close[0]
        else:
            elsewhere = [name for name in known if name.rpartition(".")[2] == leaf]
            guesses = elsewhere or difflib.get_close_matches(key, known, n=1, cutoff=0.0) or siblings
            nearest = guesses[0]
        return f"unknown recipe key {key!r} in {path.name} or --set: the nearest known one is {nearest!r}.{more}"
    where = f"recipe key {key!r} in {path.name} or --set"
    value = problem.get("input")
    if problem["type"] in ("model_type", "model_attributes_type", "dataclass_type"):
        below = [name for name in known_keys(model) if name.rpartition(".")[0] == key]
        example = f" such as {below[0]!r}" if below else ""
        return f"{where}: is a group of keys, not a value: set keys below it{example}.{more}"
    if problem["type"] == "value_error":  # a sentence of the recipe's own checks, which says what is wrong with a group
        shown = f", not {_shown(value)}" if isinstance(value, str | int | float | bool) else ""
        return f"{where}: {problem['msg'].removeprefix('Value error, ').rstrip('.')}{shown}.{more}"
    if isinstance(value, dict | list):
        shown = ", not a group of keys" if isinstance(value, dict) else ", not a list"
    else:
        shown = f", not {_shown(value)}" if isinstance(value, str | int | float | bool) or value is None else ""
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: {message}{shown}.{more}"


def to_values(recipe: BaseModel) -> dict[str, Any]:
    """The whole recipe as JSON values, defaults included."""
    return recipe.model_dump(mode="json")


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as dotted keys, for tracking and comparison."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
