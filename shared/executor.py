"""The executor of stages: plan (hit, miss and why), run, reuse.

A stage's key is the hash of all it depends on: the function, the code it imports, its part of the recipe, the content
of its inputs, the base models' revisions, the versions of the libraries that matter, device and number format. Equal
key, equal artifact: the work is done once.
"""

import importlib.metadata
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.allocator import freed_memory_returned
from shared.code_digest import code_digests
from shared.digest import json_digest, path_digest
from shared.durable import write_json
from shared.errors import StageError
from shared.stages import Stage, StageContext
from shared.store import Artifact, Store


@dataclass(frozen=True)
class StageResult:
    """A stage that is done: its artifact, whether it was reused, and how long it took (when it was made)."""

    stage: Stage
    artifact: Artifact
    hit: bool
    seconds: float
    metrics: Mapping[str, float]
    accepted_code_change: bool = False


@dataclass(frozen=True)
class PlannedStage:
    """What `run` would do with a stage: `status` is hit, miss or waits (an input will be rebuilt)."""

    name: str
    status: str
    why: str
    key: str | None = None


def key_parts(stage: Stage, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """All that a stage depends on, as JSON; its digest is the stage's key.

    Args:
        stage: the stage.
        inputs: artifacts by local input name.
    """
    from shared.models import model_revision

    device = None
    if stage.uses_device:
        from shared.device import pick_device

        choice = pick_device(stage.config.get("precision", "auto"))
        device = {"device": choice.device, "autocast_bf16": choice.autocast_bf16}
    return {
        "function": f"{stage.run.__module__}.{stage.run.__qualname__}",
        "config": json.loads(json.dumps(stage.config)),
        "inputs": {name: artifact.digest for name, artifact in sorted(inputs.items())},
        "files": {name: path_digest(path) for name, path in sorted(stage.files.items())},
        "models": {name: model_revision(reference) for name, reference in sorted(stage.models.items())},
        "libraries": {name: importlib.metadata.version(name) for name in sorted(stage.libraries)},
        "device": device,
        "code": code_digests(stage.run.__module__),
    }


def _without_code(parts: Mapping[str, Any]) -> str:
    return json_digest({name: value for name, value in parts.items() if name != "code"})


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        where = f"{prefix}.{name}" if prefix else name
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict) and not prefix.startswith("code"):
            found.extend(_differences(before, after, where))
        elif prefix == "code":
            found.append(f"code of {name} changed")
        elif prefix in ("inputs", "files"):
            found.append(f"{prefix[:-1]} `{name}` changed")
        else:
            found.append(f"{where} {_short(before)} -> {_short(after)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else text[:21] + "..."


class Executor:
    """Plans and runs stages against a store.

    Args:
        store: where artifacts live.
        fresh: run every stage although a hit exists.
        accept_code_change: reuse an artifact that differs in nothing but code, and record that it was.
        announce: called with (stage name, "running" | "hit" | "done", reason) as the run goes on.
        progress: called with (stage name, done, total, text).
    """

    def __init__(
        self,
        store: Store,
        *,
        fresh: bool = False,
        accept_code_change: bool = False,
        announce: Callable[[str, str, str], None] = lambda name, state, why: None,
        progress: Callable[[str, int, int, str], None] = lambda name, done, total, text: None,
    ) -> None:
        self.store = store
        self.fresh = fresh
        self.accept_code_change = accept_code_change
        self.announce = announce
        self.progress = progress

    def plan(self, stages: Iterable[Stage]) -> list[PlannedStage]:
        """Hit, miss or waits for each stage, and why; runs nothing and writes nothing."""
        planned: list[PlannedStage] = []
        known: dict[str, Artifact] = {}
        for stage in stages:
            waits = [source for source in stage.inputs.values() if source not in known]
            if waits:
                planned.append(PlannedStage(stage.name, "waits", f"needs {', '.join(waits)}, which will be made"))
                continue
            parts = key_parts(stage, {name: known[source] for name, source in stage.inputs.items()})
            key = json_digest(parts)
            hit = None if self.fresh else self._lookup(stage, key, parts)
            if hit is not None:
                artifact, accepted = hit
                known[stage.name] = artifact
                why = "code changed, accepted" if accepted else "nothing it depends on has changed"
                planned.append(PlannedStage(stage.name, "hit", why, artifact.key))
            else:
                why = "asked for by --fresh" if self.fresh else self.why_miss(stage, parts)
                planned.append(PlannedStage(stage.name, "miss", why, key))
        return planned

    def _lookup(self, stage: Stage, key: str, parts: Mapping[str, Any]) -> tuple[Artifact, bool] | None:
        artifact = self.store.get(stage.name, key)
        if artifact is not None:
            return artifact, False
        if self.accept_code_change:
            wanted = _without_code(parts)
            for manifest in reversed(self._of_stage(stage)):
                if manifest.get("key_without_code") == wanted:
                    artifact = self.store.get(stage.name, manifest["key"])
                    if artifact is not None:
                        return artifact, True
        return None

    def _of_stage(self, stage: Stage) -> list[dict[str, Any]]:
        return [manifest for manifest in self.store.list() if manifest["stage"] == stage.name]

    def why_miss(self, stage: Stage, parts: Mapping[str, Any]) -> str:
        """What differs from the most similar artifact of the same stage, in words."""
        candidates = [_differences(manifest.get("key_parts", {}), parts) for manifest in self._of_stage(stage)]
        work = self.store.root / "work" / stage.name.partition("/")[0] / json_digest(parts)
        if work.is_dir() and any(work.iterdir()):
            return "was interrupted, continues from its last checkpoint"
        if not candidates:
            return "was never run"
        nearest = min(candidates, key=len)
        if not nearest:
            return "its artifact is gone or damaged"
        return "; ".join(nearest[:3]) + (f"; and {len(nearest) - 3} more" if len(nearest) > 3 else "")

    def run(
        self,
        stage: Stage,
        done: Mapping[str, StageResult],
        start_tracking: Callable[[str], Mapping[str, str] | None] = lambda key: None,
    ) -> StageResult:
        """Runs a stage, or reuses its artifact.

        Args:
            stage: the stage; its inputs stand in `done`.
            done: results of earlier stages by name.
            start_tracking: called with the key when the stage really runs; gives `StageContext.tracking`.

        Raises:
            ValignError: as the stage's function raises it. Nothing is stored then; checkpoints stay for the next try.
        """
        inputs = {name: done[source].artifact for name, source in stage.inputs.items()}
        parts = key_parts(stage, inputs)
        key = json_digest(parts)
        if not self.fresh and (hit := self._lookup(stage, key, parts)):
            return self._reused(stage, *hit)
        why = "asked for by --fresh" if self.fresh else self.why_miss(stage, parts)
        started = time.time()
        with self.store.lock(stage.name, key):
            # Another process may have made it while this one waited; what it made after our start is fresh too.
            artifact = self.store.get(stage.name, key)
            if artifact is not None and (not self.fresh or artifact.manifest["created"] >= started):
                return self._reused(stage, artifact, False)
            if self.fresh:
                shutil.rmtree(self.store.work(stage.name, key), ignore_errors=True)
            self.announce(stage.name, "running", why)
            return self._execute(stage, key, parts, inputs, start_tracking(key))

    def _reused(self, stage: Stage, artifact: Artifact, accepted: bool) -> StageResult:
        self.announce(stage.name, "hit", "code changed, accepted" if accepted else "")
        seconds = float(artifact.manifest.get("seconds", 0.0))
        return StageResult(stage, artifact, True, seconds, artifact.manifest.get("metrics", {}), accepted)

    def _execute(
        self,
        stage: Stage,
        key: str,
        parts: Mapping[str, Any],
        inputs: Mapping[str, Artifact],
        tracking: Mapping[str, str] | None,
    ) -> StageResult:
        from shared.home import models_folder
        from shared.models import resolve

        start = time.perf_counter()
        models = {name: resolve(reference, models_folder()).path for name, reference in stage.models.items()}
        with self.store.writing(stage.name, key) as out:
            context = StageContext(
                config=json.loads(json.dumps(stage.config)),
                inputs={name: artifact.path for name, artifact in inputs.items()},
                files=dict(stage.files),
                models=models,
                out=out,
                work=self.store.work(stage.name, key),
                tracking=tracking,
                progress=lambda done, total, text: self.progress(stage.name, done, total, text),
            )
            with freed_memory_returned():
                metrics = {name: float(value) for name, value in stage.run(context).items()}
            if broken := sorted(name for name, value in metrics.items() if not math.isfinite(value)):
                raise StageError(
                    f"stage {stage.name} gave no number for {broken[0]}: the training diverged or the data "
                    "are too few; lower the learning rate or give more data. Nothing was stored."
                )
            write_json(out / "metrics.json", metrics)
            seconds = time.perf_counter() - start
            facts = {
                "seconds": seconds,
                "metrics": metrics,
                "key_parts": parts,
                "key_without_code": _without_code(parts),
                "inputs": {
                    name: {"stage": artifact.stage, "key": artifact.key, "digest": artifact.digest}
                    for name, artifact in inputs.items()
                },
                "files_read": {name: {"sha256": digest} for name, digest in parts["files"].items()},
                "models": dict(stage.models),
            }
            artifact = self.store.commit(stage.name, key, out, facts)
        self.announce(stage.name, "done", f"{seconds:.0f} s")
        return StageResult(stage, artifact, False, seconds, metrics)
