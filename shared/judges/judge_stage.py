"""Judging candidates as a stage: verdicts or scores, pairs to train on, a report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import DataError
from shared.judges.candidates import CandidateSet, read_candidates
from shared.judges.judge_config import JudgeConfig, open_judge
from shared.judges.judging import Judgement, judge_candidates, require_enough, write_judgement
from shared.judges.prompting import prompts_digest
from shared.judges.rubric import Rubric, load_rubric
from shared.recipes import to_values
from shared.stages import Stage, StageContext

CANDIDATES = ("candidates.arrow", "candidates.jsonl", "candidates.parquet")


def judge_pairs(context: StageContext) -> dict[str, float]:
    """Judges the candidates of an earlier stage or of a file.

    Config: as `judge_stage` writes it. Input ``candidates``: a folder with candidates.arrow or .jsonl (columns
    prompt, responses; id, group_id, context), or the file ``candidates``. The judge: input ``judge`` (a reward
    training's artifact) or file ``judge`` (a reward model's folder), with model ``judge`` as the base of an adapter; or
    file ``ratings``.

    Writes verdicts.jsonl or scores.jsonl, ranked.jsonl, pairs.arrow (best against worst), report.json. An endpoint's
    answers stand in a cache of their own, so that a stage that was killed or ran out of budget goes on where it was.

    Returns:
        ``judge/items``, ``judge/answered``, ``judge/training_pairs`` and, where they are defined, ``judge/accuracy``
        (against the data's labels), ``judge/inconsistent``, ``judge/first_wins``, ``judge/longer_wins``,
        ``judge/requests``, ``judge/cost``; ``judge/failed_<reason>``.

    Raises:
        StageError: too many items without an answer.
        SystemStateError: the endpoint is gone, refuses access, or the budget is used up.
        DataError: no candidates.
    """
    config = JudgeConfig.model_validate(context.config["judge"])
    values = context.config.get("rubric")
    rubric = Rubric.model_validate(values) if values is not None else None
    sets = _candidates(context)
    model = context.inputs["judge"] / "model" if "judge" in context.inputs else context.files.get("judge")
    with open_judge(
        config, rubric, model=model, base=context.models.get("judge"), ratings=context.files.get("ratings")
    ) as judge:
        found = judge_candidates(
            sets, judge, config, lambda done, total: context.progress(done, total, f"judging with {judge.name}")
        )
    require_enough(found, config)
    write_judgement(context.out, found)
    return judge_metrics(found)


def judge_stage(
    name: str,
    config: JudgeConfig,
    *,
    inputs: Mapping[str, str],
    files: Mapping[str, Path] | None = None,
    models: Mapping[str, str] | None = None,
) -> Stage:
    """The stage that judges; its key holds the rubric's and the prompts' content, not their names.

    Args:
        name: of the stage.
        config: the recipe's part.
        inputs: ``candidates`` and, for a reward model trained in the run, ``judge``.
        files: ``candidates``, ``judge`` (a reward model's folder) or ``ratings`` from outside.
        models: ``judge``, the reward model's base.

    Raises:
        UsageError: the rubric is unknown or broken.
    """
    values: dict[str, Any] = {"judge": to_values(config)}
    if config.kind == "endpoint":
        values["rubric"] = to_values(load_rubric(config.rubric))
        values["prompts"] = prompts_digest()
        values["judge"].pop("rubric")  # its content counts, not where it lay
    return Stage(
        name,
        judge_pairs,
        config=values,
        inputs=dict(inputs),
        files=dict(files or {}),
        models=dict(models or {}),
        libraries=("torch", "transformers", "peft") if config.kind == "reward" else ("numpy", "scipy"),
        uses_device=config.kind == "reward",
    )


def judge_metrics(judgement: Judgement) -> dict[str, float]:
    """The report's numbers by the names of metrics; what is not defined is absent."""
    report = judgement.report
    usage = report["facts"].get("usage") or {}
    found = {
        "judge/items": report["items"],
        "judge/answered": report["answered"],
        "judge/training_pairs": report["training_pairs"],
        "judge/accuracy": _value(report.get("labels"), "accuracy"),
        "judge/inconsistent": _value(report.get("position"), "inconsistent"),
        "judge/first_wins": _value(report.get("position"), "first_wins"),
        "judge/longer_wins": _value(report.get("length"), "longer_wins"),
        "judge/requests": usage.get("requests"),
        "judge/cost": usage.get("cost"),
        **{f"judge/failed_{name}": count for name, count in report["failures"].items()},
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _value(section: Mapping[str, Any] | None, name: str) -> float | None:
    estimate = (section or {}).get(name)
    return None if estimate is None else estimate["value"]


def _candidates(context: StageContext) -> list[CandidateSet]:
    if "candidates" in context.files:
        return read_candidates(context.files["candidates"])
    folder = context.inputs["candidates"]
    for name in CANDIDATES:
        if (folder / name).is_file():
            return read_candidates(folder / name)
    raise DataError(f"{folder} holds no candidates: the stage before must write one of {', '.join(CANDIDATES)}.")
