"""Lineage in both directions: what an artifact was made from, what was made from it, which models used a record."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flows.run_record import all_records
from shared.errors import UsageError
from shared.store import Store

log = logging.getLogger(__name__)


def trace(store: Store, what: str) -> dict[str, Any]:
    """Traces an artifact's key, a run or a record's id.

    Returns:
        ``record`` (artifacts and splits in which the record stands), ``upstream``, ``downstream`` (artifacts with
        the input they came through) and ``models`` (registered versions made from any of them).

    Raises:
        UsageError: nothing in the store goes by that name.
    """
    manifests = {manifest["key"]: manifest for manifest in store.list()}
    starts = [key for key in manifests if len(what) >= 4 and key.startswith(what)]
    for record in all_records():
        if record["run_id"] == what:
            starts += [one["key"] for one in record["stages"] if one["key"] in manifests]
    found = [] if starts else _record_in(store, manifests.values(), what)
    starts += [one["key"] for one in found]
    if not starts:
        raise UsageError(f"{what!r} is no artifact's key, run id or record id in the store: see `valign store ls`.")
    upstream = _walk(starts, lambda key: _parents(manifests, key))
    downstream = _walk(starts, lambda key: _children(manifests, key))
    reached = {*starts, *(one["key"] for one in downstream)}
    return {
        "record": found,
        "upstream": [one | {"stage": manifests[one["key"]]["stage"]} for one in upstream if one["key"] in manifests],
        "downstream": [one | {"stage": manifests[one["key"]]["stage"]} for one in downstream],
        "models": _models(store, reached),
    }


def _parents(manifests: dict[str, Any], key: str) -> list[tuple[str, str]]:
    manifest = manifests.get(key, {})
    return [(one["key"], manifest["stage"]) for one in manifest.get("inputs", {}).values()]


def _children(manifests: dict[str, Any], key: str) -> list[tuple[str, str]]:
    stage = manifests[key]["stage"]
    return [
        (child, stage)
        for child, manifest in manifests.items()
        if any(one["key"] == key for one in manifest.get("inputs", {}).values())
    ]


def _walk(starts: Iterable[str], step: Any) -> list[dict[str, str]]:
    seen, waiting, order = set(starts), list(starts), []
    while waiting:
        for key, through in step(waiting.pop(0)):
            if key not in seen:
                seen.add(key)
                waiting.append(key)
                order.append({"key": key, "of": through})
    return order


def _record_in(store: Store, manifests: Iterable[dict[str, Any]], record_id: str) -> list[dict[str, str]]:
    import pyarrow as pa

    found = []
    for manifest in manifests:
        for name in manifest["files"]:
            if not name.endswith(".arrow"):
                continue
            path = store.path(manifest["stage"], manifest["key"]) / name
            try:
                with pa.memory_map(str(path)) as source:
                    table = pa.ipc.open_file(source)
                    if "id" not in table.schema.names:
                        continue
                    batches = (table.get_batch(index) for index in range(table.num_record_batches))
                    stands_there = any(record_id in batch.column("id").to_pylist() for batch in batches)
            except (pa.ArrowException, OSError) as error:
                log.warning("%s cannot be read (%s): see `valign store verify`", path, error)
                continue
            if stands_there:
                found.append({"stage": manifest["stage"], "key": manifest["key"], "split": Path(name).stem})
    return found


def _models(store: Store, keys: set[str]) -> list[dict[str, Any]]:
    from shared.domain import installed_domains
    from shared.registry import local_folder, versions
    from shared.tracking import experiment_name

    models = []
    for name in sorted(installed_domains()):
        for version in versions(experiment_name(name)):
            folder = local_folder(version)
            if folder is not None and folder.is_relative_to(store.root) and folder.name in keys:
                models.append({"name": version.name, "version": version.version, "aliases": list(version.aliases)})
    return models
