"""The training child: ``python -P -m shared.training.worker JOB WORK``; started by `shared.training.launch`.

It ends when its parent does, writes a checkpoint and ends with 143 on SIGTERM, and reports a user's mistake as JSON.
"""

import argparse
import ctypes
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

FAILURE_FILE = "failure.json"
RESULT_FILE = "result.json"


def die_with_parent() -> None:
    """Linux ends this process with SIGKILL when its parent ends, however that ended."""
    if sys.platform != "linux":
        return
    parent = int(os.environ.get("VALIGN_PARENT", "0"))
    set_death_signal = 1  # PR_SET_PDEATHSIG
    ctypes.CDLL(None, use_errno=True).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
    if parent and os.getppid() != parent:  # it ended before the line above
        os._exit(1)


def _launch_ranks(job_file: str, work: str, ranks: int) -> None:
    """Turns this process into torch's agent, which starts one worker a device and ends them when it is ended."""
    from torch.distributed.run import main as distributed

    os.environ["VALIGN_PARENT"] = str(os.getpid())
    distributed(
        ["--standalone", f"--nproc-per-node={ranks}", "-m", "shared.training.worker", job_file, work],
    )


def _peak_memory() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _save(trainer: Any, job: Any, settings: Any) -> None:
    """The result: adapter or model, tokenizer, and what scoring needs; nothing that depends on where it was made."""
    import shutil

    from shared.durable import write_json, write_text
    from shared.rewards.bradley_terry import SETTINGS_FILE
    from shared.training.checkpoints import PICKLED_ARGUMENTS

    out = job.output
    out.mkdir(parents=True, exist_ok=True)
    (trainer.save_result if job.kind == "custom" else trainer.save_model)(str(out))
    if not trainer.args.should_save:  # another rank would read what the first one is writing
        return
    for name in (PICKLED_ARGUMENTS, "README.md"):
        (out / name).unlink(missing_ok=True)
    adapter = out / "adapter_config.json"
    if adapter.is_file():
        config = json.loads(adapter.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = job.model_name or str(job.model)
        config["target_modules"] = sorted(config["target_modules"])  # a set: its order changes from run to run
        write_json(adapter, config)
        if job.kind == "dpo" and job.save_merged:
            from shared.models import load_policy

            # From the base's float32 weights: those in training may be rounded.
            load_policy(job.model, out, merge=True).save_pretrained(out / "merged")
            trainer.processing_class.save_pretrained(out / "merged")
    if settings is not None:
        write_text(out / SETTINGS_FILE, settings.model_dump_json(indent=2) + "\n")
    shutil.rmtree(out / "runs", ignore_errors=True)


def _summary(rows: list[dict[str, float]]) -> dict[str, float]:
    last = {name: value for name, value in rows[-1].items() if name not in ("step", "total")} if rows else {}
    losses = [row["loss"] for row in rows]
    if losses:
        last["loss_first"] = sum(losses[:5]) / len(losses[:5])
        last["loss_last"] = sum(losses[-5:]) / len(losses[-5:])
    return last


def _watch(trainer: Any, job: Any, work: Path) -> Any:
    """The callback that evaluates on the validation pairs."""
    from shared.data.record_files import read_records
    from shared.errors import DataError
    from shared.training.dpo import job_examples
    from shared.training.pair_evaluation import PairEvaluation
    from shared.training.watching import Watch

    records = read_records(job.validation) if job.validation is not None else []
    if not records:
        raise DataError("stopping.evaluate_steps asks for validation pairs: set data.fractions.validation above 0.")
    tokenizer = trainer.processing_class
    examples, _ = job_examples(job, trainer.objective, tokenizer, records, job.validation_reference)
    return Watch(trainer, PairEvaluation(trainer, examples, records, job), job.config.stopping, work)


def train(job: Any, work: Path) -> int:
    """Trains a job to its end.

    Args:
        job: the job.
        work: folder of checkpoints, metrics.jsonl and result.json.

    Returns:
        The exit code: 0, or 143 after SIGTERM.
    """
    import torch
    from transformers import set_seed
    from transformers.utils import logging as transformers_logging

    from shared.allocator import keep_freed_memory
    from shared.data.record_files import read_records
    from shared.device import pick_device
    from shared.durable import write_text
    from shared.errors import DataError
    from shared.training.checkpoints import latest_complete_checkpoint
    from shared.training.config import TrainingResult
    from shared.training.progress import METRICS_FILE, STOPPED, ProgressCallback, StopSignal, read_metrics

    stop = StopSignal()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    keep_freed_memory()
    set_seed(job.seed)
    records = [record for path in job.records for record in read_records(path)]
    if not records and job.kind != "custom":
        raise DataError(f"{job.records[0]}: there is no pair to train on.")
    pairs = len(records)
    first = int(os.environ.get("RANK", "0")) == 0
    progress = ProgressCallback(work / METRICS_FILE, stop)
    trainer: Any
    before_saving: Callable[[], int] | None = None
    try:
        if job.kind == "dpo":
            from shared.training.dpo import dpo_trainer
            from shared.training.watching import keep_best

            settings = None
            trainer, truncated, tokens = dpo_trainer(job, records, work, [progress])
            if job.config.stopping.evaluate_steps is not None:
                trainer.add_callback(_watch(trainer, job, work))
                before_saving = partial(keep_best, trainer, work)
        elif job.kind == "grpo":
            from shared.training.grpo import grpo_trainer

            settings = None
            trainer, truncated, tokens = grpo_trainer(job, records, work, [progress])
        elif job.kind == "custom":
            from shared.training.custom_job import custom_training

            settings = None
            built = custom_training(job, work, [progress])
            trainer, pairs, truncated, tokens = built.trainer, built.examples, built.truncated, built.tokens
            before_saving = built.before_saving
        else:
            from shared.training.reward import reward_trainer

            trainer, settings, truncated, tokens = reward_trainer(job, records, work, [progress])
        with trainer.accelerator.main_process_first():
            checkpoint = latest_complete_checkpoint(work)
        if stop.asked:
            return STOPPED
        started = time.perf_counter()
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        seconds = time.perf_counter() - started
        if progress.stopped:
            return STOPPED
        best = before_saving() if before_saving is not None else None
        _save(trainer, job, settings)
    finally:
        progress.close()
    if first:
        result = TrainingResult(
            output=job.output,
            steps=trainer.state.global_step,
            resumed_from=int(checkpoint.name.rpartition("-")[2]) if checkpoint else None,
            seconds=seconds,
            pairs=pairs,
            truncated=truncated,
            tokens=tokens,
            device=pick_device(job.precision).description,
            threads=torch.get_num_threads(),
            peak_memory=_peak_memory(),
            best_step=best,
            metrics=_summary(read_metrics(work / METRICS_FILE)),
        )
        write_text(work / RESULT_FILE, result.model_dump_json(indent=2) + "\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Reads the job and trains it; a user's mistake goes to failure.json and its exit code."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="shared.training.worker")
    parser.add_argument("job", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--ranks", type=int, default=1)
    told = parser.parse_args(arguments)
    if told.ranks > 1:
        _launch_ranks(str(told.job), str(told.work), told.ranks)
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from pydantic import TypeAdapter

    from shared.durable import write_json
    from shared.errors import ValignError
    from shared.training.grpo_job import ChildJob

    job = TypeAdapter(ChildJob).validate_json(told.job.read_text(encoding="utf-8"))
    try:
        return train(job, told.work)
    except ValignError as error:
        write_json(told.work / FAILURE_FILE, {"error": type(error).__name__, "message": str(error)})
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
