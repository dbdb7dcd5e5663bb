"""Reference log-probabilities of the training pairs, as a stage: computed once, reused by every training."""

from shared.data.record_files import read_records
from shared.errors import DataError
from shared.prompts import PromptFormat
from shared.stages import StageContext
from shared.training.reference import reference_logps, write_logps


def reference(context: StageContext) -> dict[str, float]:
    """Writes ``train.arrow`` with log pi_ref of both responses of every training pair.

    Config: ``prompt``, ``precision``, ``max_length``. Input ``data``, model ``base``. Beta, learning rate, loss and
    epochs are not part of the config: changing them uses the same artifact.

    Returns:
        ``reference/pairs`` and ``reference/ranking_accuracy`` (share of pairs the reference ranks right).
    """
    config = context.config
    records = read_records(context.inputs["data"] / "train.arrow")
    if not records:
        raise DataError("no training pair is left after splitting: give more questions, or a larger train fraction.")
    logps = reference_logps(
        context.models["base"],
        records,
        PromptFormat.model_validate(config["prompt"]),
        config["max_length"],
        config["precision"],
        on_progress=lambda done, total: context.progress(done, total, "reference log-probabilities"),
    )
    write_logps(context.out / "train.arrow", records, logps)
    right = sum(one.chosen_sum >= one.rejected_sum for one in logps)
    return {"reference/pairs": float(len(logps)), "reference/ranking_accuracy": right / len(logps)}
