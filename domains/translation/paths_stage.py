"""The path that each training target needs, from a word alignment: what MSFT learns under beside random prefixes."""

from domains.translation.gold_paths import with_aligned_paths
from domains.translation.pair_files import read_pairs, write_pairs
from domains.translation.settings import SimulFormat
from domains.translation.units import split_units
from shared.stages import StageContext


def align_paths(context: StageContext) -> dict[str, float]:
    """Writes ``train.arrow``: the training pairs, each with a path; one that the data give is kept.

    Config: ``format`` (SimulFormat), ``alignment`` (``states``: hidden states of the base model; a statistical method,
    trained on the pairs themselves; or ``none``: pairs stay as they are), ``precision``. Input ``data``; model ``base``
    for ``states``.

    Returns:
        ``paths/pairs``, ``paths/given``, ``paths/aligned``, ``paths/latency``: mean share of the source that target
        units wait for.
    """
    format = SimulFormat.model_validate(context.config["format"])
    pairs = read_pairs(context.inputs["data"] / "train.arrow")
    given = sum(one.target_path is not None for one in pairs)
    if context.config["alignment"] != "none":
        context.progress(0, 1, "word alignment")
        method, states = context.config["alignment"], None
        if method == "states":
            from domains.translation.alignment.states import StateAligner
            from shared.device import pick_device

            device = pick_device(context.config["precision"]).device
            states = StateAligner.load(context.models["base"], device=str(device))
        pairs = with_aligned_paths(pairs, format, method, states)
    aligned = sum(one.target_path is not None for one in pairs) - given
    write_pairs(context.out / "train.arrow", pairs)
    assert format.source_unit is not None
    shares = [
        sum(one.target_path) / len(one.target_path) / max(1, len(split_units(one.source_text, format.source_unit)))
        for one in pairs
        if one.target_path
    ]
    found = {"paths/pairs": float(len(pairs)), "paths/given": float(given), "paths/aligned": float(aligned)}
    return found | ({"paths/latency": sum(shares) / len(shares)} if shares else {})
