"""SimulDPO as two stages: the reference of the paths, computed once, and a training from it."""

from collections.abc import Mapping
from typing import Any

from domains.translation.pair_files import read_pairs
from domains.translation.simul_dpo_config import SimulDpoConfig
from shared.stages import StageContext
from shared.training.custom_job import CustomJob, DomainConfig
from shared.training.launch import launch
from shared.training.stage_results import keep_training_facts

BUILDER = "domains.translation.simul_dpo:trainer"
PAIRS = "train.arrow"


def path_reference(context: StageContext) -> dict[str, float]:
    """Writes log pi_ref of both paths of every training pair, ``train.arrow``, under the supervised policy.

    Config: ``precision``, ``max_length`` and ``micro_batch_tokens``. Beta, alpha, form and all of the optimisation do
    not enter it: changing them uses the same artifact. Inputs ``pairs`` (``train.arrow``) and ``sft`` (``model/``),
    model ``base``.

    Returns:
        ``reference/pairs``, ``reference/left_out`` (too long, or alike on both sides), ``reference/ranking_accuracy``
        (share of pairs whose chosen path is likelier), and ``reference/ranking_accuracy_policy``, of the paths' READs
        and WRITEs alone.
    """
    from domains.translation.path_pairs import path_pairs
    from domains.translation.path_reference import reference_of, write_path_reference
    from domains.translation.policy import load_policy
    from shared.models import load_tokenizer

    config = context.config
    policy = load_policy(context.models["base"], context.inputs["sft"] / "model")
    pairs, left_out = path_pairs(
        read_pairs(context.inputs["pairs"] / PAIRS),
        policy.format,
        load_tokenizer(context.models["base"]),
        config["max_length"],
    )
    rows = reference_of(
        policy,
        pairs,
        config["precision"],
        config["micro_batch_tokens"],
        on_progress=lambda done, total: context.progress(done, total, "reference log-probabilities"),
    )
    write_path_reference(context.out / PAIRS, [pair.id for pair in pairs], rows)
    return {
        "reference/pairs": float(len(rows)),
        "reference/left_out": float(left_out),
        "reference/ranking_accuracy": sum(row.chosen > row.rejected for row in rows) / len(rows),
        "reference/ranking_accuracy_policy": sum(row.chosen_policy > row.rejected_policy for row in rows) / len(rows),
    }


def align(context: StageContext) -> dict[str, float]:
    """Trains the supervised policy on pairs of paths with their stored reference.

    Config: ``align`` (SimulDpoConfig), ``seed``, ``precision``, ``base`` (what a saved adapter names as its base).
    Inputs ``pairs`` (``train.arrow``), ``reference`` (of `path_reference`) and ``sft`` (``model/``), model ``base``.
    Writes ``model/``, training facts, curves.

    Returns:
        ``align/loss_last``, ``align/pairs``, ``align/truncated`` (pairs left out), ``align/steps`` and the last
        training metrics.

    Raises:
        StageError: the training diverged; the message names align.alpha and the step.
    """
    config: Mapping[str, Any] = context.config
    job = CustomJob(
        model=context.models["base"],
        model_name=config["base"],
        output=context.out / "model",
        seed=config["seed"],
        precision=config["precision"],
        builder=BUILDER,
        files={
            "pairs": context.inputs["pairs"] / PAIRS,
            "reference": context.inputs["reference"] / PAIRS,
            "sft": context.inputs["sft"] / "model",
        },
        config=DomainConfig(**SimulDpoConfig.model_validate(config["align"]).model_dump(mode="json")),
    )
    started: Any = launch
    result = started(
        job,
        context.work,
        context.tracking,
        lambda step, total, _: context.progress(step, total, "SimulDPO"),
    )
    keep_training_facts(result, context.work, context.out)
    counts = {"pairs": result.pairs, "truncated": result.truncated, "steps": result.steps}
    return {f"align/{name.removeprefix('align/')}": value for name, value in {**result.metrics, **counts}.items()}
