"""Checkpoints that are complete or do not exist, and the only place where optimizer and random states are trusted.

A checkpoint is written to a hidden folder, fsynced, given a manifest with the sha256 of every file, and renamed to
``checkpoint-N``. Only one whose files all match its manifest is resumed from: transformers then reads its
optimizer, scheduler and random states with ``torch.load(weights_only=True)``. ``training_args.bin``, which is a
pickle of code objects, is never kept.
"""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.digest import file_digest, folder_files
from shared.durable import disk_errors, fsync_folder, fsync_tree, write_json

if TYPE_CHECKING:
    from transformers import Trainer

    _Base = Trainer
else:
    _Base = object

log = logging.getLogger(__name__)

MANIFEST = "valign-checkpoint.json"
SAVING = ".saving"
PICKLED_ARGUMENTS = "training_args.bin"
KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)")


def _step(folder: Path) -> int | None:
    match = _NAME.fullmatch(folder.name)
    return int(match.group(1)) if match and folder.is_dir() and not folder.is_symlink() else None


def complete(folder: Path, step: int) -> None:
    """Turns a written folder into the checkpoint of a step: manifest last, then the rename.

    Args:
        folder: ``<work>/.saving/checkpoint-N``, with every file of the checkpoint in it.
        step: N.
    """
    (folder / PICKLED_ARGUMENTS).unlink(missing_ok=True)
    files = {name.as_posix(): file_digest(folder / name) for name in folder_files(folder)}
    fsync_tree(folder)
    write_json(folder / MANIFEST, {"step": step, "files": files})
    target = folder.parent.parent / f"checkpoint-{step}"
    if target.exists():
        shutil.rmtree(target)
    folder.rename(target)
    fsync_folder(target.parent)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint holds exactly the files of its manifest, each with its digest."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        present = {name.as_posix() for name in folder_files(folder)} - {MANIFEST}
        return present == set(listed) and all(file_digest(folder / name) == sha for name, sha in listed.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def latest_complete_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that can be resumed from; everything newer, broken or half-written is removed.

    Args:
        work: folder that holds ``checkpoint-N`` folders.

    Returns:
        Its folder, or None.
    """
    shutil.rmtree(work / SAVING, ignore_errors=True)
    found = sorted(
        ((step, folder) for folder in work.glob("checkpoint-*") if (step := _step(folder)) is not None),
        reverse=True,
    )
    for _, folder in found:
        if is_complete(folder):
            return folder
        log.warning(
            "The checkpoint %s is incomplete or damaged; it is removed and the one before is used.", folder.name
        )
        shutil.rmtree(folder)
    return None


def rotate(work: Path, kept: int = KEPT) -> None:
    """Removes all but the newest checkpoints."""
    found = sorted((step, folder) for folder in work.glob("checkpoint-*") if (step := _step(folder)) is not None)
    for _, folder in found[: max(0, len(found) - kept)]:
        shutil.rmtree(folder, ignore_errors=True)


class CompleteCheckpoints(_Base):
    """A mixin for transformers' Trainer, before it in the list of bases: `_save_checkpoint` becomes all or nothing."""

    _saving = False

    def _get_output_dir(self, trial: Any) -> str:
        place = super()._get_output_dir(trial)
        return str(Path(place) / SAVING) if self._saving else place

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        work = Path(super()._get_output_dir(trial))
        step = self.state.global_step
        with disk_errors(work):
            if self.args.should_save:
                shutil.rmtree(work / SAVING, ignore_errors=True)
                (work / SAVING).mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            self._saving = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._saving = False
            self.accelerator.wait_for_everyone()  # every rank's random state is written
            if self.args.should_save:
                complete(work / SAVING / f"checkpoint-{step}", step)
                shutil.rmtree(work / SAVING, ignore_errors=True)
                rotate(work)
            self.accelerator.wait_for_everyone()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL writes a card beside each checkpoint; the pipeline writes its own, once."""
