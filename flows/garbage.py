"""What may leave the store: old artifacts that no run and no registered model needs, and leftovers of crashes."""

import shutil
import time
from pathlib import Path
from typing import Any

from flows.run_record import all_records
from shared.store import Store


def needed_artifacts(store: Store) -> set[tuple[str, str]]:
    """(stage folder, key) of everything a recorded run or a registered model refers to."""
    from shared.domain import installed_domains
    from shared.registry import local_folder, versions
    from shared.store import stage_folder
    from shared.tracking import experiment_name

    needed = {(stage_folder(one["stage"]), one["key"]) for record in all_records() for one in record.get("stages", [])}
    for name in installed_domains():
        for version in versions(experiment_name(name)):
            folder = local_folder(version)
            if folder is not None and folder.is_relative_to(store.root):
                needed.add((folder.parent.name, folder.name))
    return needed


def collect(store: Store, older_than_days: float, dry_run: bool) -> dict[str, Any]:
    """Removes what is older than the given days and not needed.

    Returns:
        ``{"artifacts": [{stage, key}], "leftovers": n, "megabytes": x}``; with `dry_run` what would be removed.
    """
    oldest = time.time() - older_than_days * 86400
    needed = needed_artifacts(store)
    removed, freed, leftovers = [], 0, 0
    for manifest in store.list():
        folder = store.path(manifest["stage"], manifest["key"])
        if (folder.parent.name, manifest["key"]) in needed or manifest["created"] > oldest:
            continue
        removed.append({"stage": manifest["stage"], "key": manifest["key"]})
        freed += _size(folder) if dry_run else store.remove(manifest["stage"], manifest["key"])
    for folder in [
        *(store.root / "work").glob("*/*"),
        *(store.root / "tmp").iterdir(),
        *(store.root / "corrupt").iterdir(),
    ]:
        if folder.stat().st_mtime > oldest:
            continue
        leftovers += 1
        freed += _size(folder)
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
    return {"artifacts": removed, "leftovers": leftovers, "megabytes": freed / 1e6}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
