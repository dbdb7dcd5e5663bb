"""The path that each training target needs, from a word alignment: what MSFT learns under beside random prefixes."""

from collections.abc import Sequence
from dataclasses import replace

from domains.translation.gold_paths import with_aligned_paths
from domains.translation.pair_files import read_pairs, write_pairs
from domains.translation.records import Path
from domains.translation.settings import SimulFormat
from domains.translation.supervised_pairs import supervised_pairs
from domains.translation.units import split_units
from shared.errors import DataError
from shared.stages import StageContext


def align_paths(context: StageContext) -> dict[str, float]:
    """Writes ``train.arrow``: the training pairs, each with a path; one that the data give is kept.

    Config: ``format`` (SimulFormat), ``alignment`` (``states``: hidden states of the base model; a statistical method,
    trained on the pairs themselves; or ``none``: pairs stay as they are), ``precision``. Input ``data``; model ``base``
    for ``states``. With ``rejected`` (bool) the rejected renderings get paths too.

    Returns:
        ``paths/pairs``, ``paths/given``, ``paths/aligned``, ``paths/latency``: mean share of the source that target
        units wait for; ``paths/latency_rejected`` where rejected renderings got paths.

    Raises:
        DataError: rejected renderings are to be learned, and there are none.
    """
    format = SimulFormat.model_validate(context.config["format"])
    pairs = read_pairs(context.inputs["data"] / "train.arrow")
    if context.config.get("rejected") and all(one.rejected_text is None for one in pairs):
        raise DataError(
            "sft.rendering is rejected, but no training pair has a rejected rendering: give files or a column with "
            "them, or leave sft.rendering=target."
        )
    given = sum(one.target_path is not None for one in pairs)
    if context.config["alignment"] != "none":
        context.progress(0, 1, "word alignment")
        method, states = context.config["alignment"], None
        if method == "states":
            from domains.translation.alignment.states import StateAligner

            states = StateAligner.load_for(context.models["base"], context.config["precision"])
        pairs = with_aligned_paths(pairs, format, method, states)
        if context.config.get("rejected"):
            others = with_aligned_paths(supervised_pairs(pairs, "rejected"), format, method, states)
            pairs = [
                pair if pair.rejected_text is None else replace(pair, rejected_path=other.target_path)
                for pair, other in zip(pairs, others, strict=True)
            ]
    aligned = sum(one.target_path is not None for one in pairs) - given
    write_pairs(context.out / "train.arrow", pairs)
    found = {"paths/pairs": float(len(pairs)), "paths/given": float(given), "paths/aligned": float(aligned)}
    found |= _latency("paths/latency", [(one.source_text, one.target_path) for one in pairs], format)
    if context.config.get("rejected"):
        found |= _latency("paths/latency_rejected", [(one.source_text, one.rejected_path) for one in pairs], format)
    return found


def _latency(name: str, paths: Sequence[tuple[str, Path | None]], format: SimulFormat) -> dict[str, float]:
    """Mean share of the source that target units wait for; nothing where there is no path."""
    unit = format.source_unit
    assert unit is not None
    shares = [sum(path) / len(path) / max(1, len(split_units(source, unit))) for source, path in paths if path]
    return {name: sum(shares) / len(shares)} if shares else {}
