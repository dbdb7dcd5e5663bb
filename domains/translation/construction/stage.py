"""Preference construction as a stage: training records become pairs with read/write paths."""

import logging
from collections.abc import Callable, Sequence
from hashlib import sha256

from domains.translation.construction.candidates import LoadedPolicy
from domains.translation.construction.config import ConstructionConfig, Mode
from domains.translation.construction.modes import (
    Constructed,
    from_data,
    from_judge,
    from_samples,
    from_writer,
)
from domains.translation.construction.selection import pair_record
from domains.translation.construction.summary import metrics_of, summarise
from domains.translation.construction.task import Task
from domains.translation.pair_files import read_pairs, write_pairs
from domains.translation.records import SentencePair
from domains.translation.settings import SimulFormat
from shared.device import Precision
from shared.durable import write_json
from shared.errors import DataError, UsageError
from shared.stages import StageContext

log = logging.getLogger(__name__)

PAIRS, SUMMARY = "train.arrow", "summary.json"


def construct(context: StageContext) -> dict[str, float]:
    """Builds preference pairs from the training split.

    Config: ``construction`` (ConstructionConfig), ``format`` (SimulFormat), ``precision``, ``seed``. Input ``data`` (a
    folder with ``train.arrow``); input ``sft`` (the supervised policy's artifact) and model ``base`` where the mode
    uses them.

    Writes ``train.arrow`` (sentence pairs with a rejected rendering, both paths, the measures of both sides and their
    ``score``; where they come from stands in the metadata) and ``summary.json``. An endpoint's answers stand in a cache
    of their own, so that a stage that was killed or ran out of budget goes on where it was.

    Returns:
        ``pairs/pairs``, ``pairs/sources``, ``pairs/share_of_sources``, ``pairs/no_pair_<reason>``, ``pairs/same_text``
        (pairs whose sides differ in their paths alone), ``pairs/margin``, ``pairs/on_policy_chosen``,
        ``pairs/on_policy_rejected``, ``pairs/higher_score_chosen``, ``pairs/<measure>_{chosen,rejected}``; with an
        endpoint ``pairs/requests``, ``pairs/cost``, ``pairs/dropped_<reason>``.

    Raises:
        UsageError: the mode needs a policy that the stage does not have.
        DataError: no training record, no record that the mode can use, or fewer pairs than `require_pairs`.
        StageError, SystemStateError: the endpoint's answers cannot be used, or it is gone.
    """
    config = ConstructionConfig.model_validate(context.config["construction"])
    format = SimulFormat.model_validate(context.config["format"])
    pairs = chosen_sources(read_pairs(context.inputs["data"] / PAIRS), config.sources)
    if not pairs:
        raise DataError("no training pair is left after splitting: give more data, or another data.fractions.train.")
    mode = mode_of(config, pairs)
    log.info("preferences: mode %s, %d sources", mode, len(pairs))
    loaded = _policy(context, mode) if config.needs_policy(mode) else None
    task = Task(
        config,
        format,
        int(context.config["seed"]),
        loaded,
        context.models.get("base"),
        context.config["precision"],
        context.progress,
    )
    found = _maker(config, mode)(pairs, task)
    _require_pairs(found, config, mode, len(pairs))
    assert format.target_unit is not None
    unit = format.target_unit
    count = write_pairs(context.out / PAIRS, (pair_record(pair, one, mode, unit) for pair, one in found.pairs))
    summary = {"mode": mode, **summarise(found, len(pairs))}
    write_json(context.out / SUMMARY, summary)
    log.info("%d pairs of %d sources; without one: %s", count, len(pairs), summary["no_pair"] or "none")
    return metrics_of(summary)


def chosen_sources(pairs: Sequence[SentencePair], most: int | None) -> list[SentencePair]:
    """At most so many records, chosen by a hash of their id, in the order of the file."""
    if most is None or len(pairs) <= most:
        return list(pairs)
    ranked = sorted(range(len(pairs)), key=lambda number: sha256(pairs[number].id.encode()).digest())
    return [pairs[number] for number in sorted(ranked[:most])]


def mode_of(config: ConstructionConfig, pairs: Sequence[SentencePair]) -> Mode:
    """The mode, `auto` decided by the data.

    Raises:
        DataError: mode given, and no record has a rejected rendering.
        UsageError: auto would sample, and there is no read rule.
    """
    given = any(pair.rejected_text is not None for pair in pairs)
    if config.mode == "given" and not given:
        raise DataError(
            "construction.mode is given, but no training pair has a rejected rendering: give files or a column with "
            "them, or set construction.mode=sample."
        )
    if config.mode != "auto":
        return config.mode
    if not given and not config.sampling.rules:
        raise UsageError(
            "the data have no rejected rendering, so that preferences are sampled from the policy: name read rules in "
            "construction.sampling.rules."
        )
    return "given" if given else "sample"


def _maker(config: ConstructionConfig, mode: Mode) -> Callable[[Sequence[SentencePair], Task], Constructed]:
    if mode == "endpoint" and config.writer is not None:
        return from_writer if config.writer.task == "write" else from_judge
    return from_data if mode == "given" else from_samples


def _policy(context: StageContext, mode: Mode) -> LoadedPolicy:
    from domains.translation.policy import load_for_decoding
    from shared.device import pick_device
    from shared.models import load_tokenizer

    if "sft" not in context.inputs:
        raise UsageError(
            f"construction.mode {mode} needs the supervised policy, which this run does not train: train it, or take "
            "mode given with paths from alignment."
        )
    folder = context.inputs["sft"] / "model"
    precision: Precision = context.config["precision"]
    choice = pick_device(precision)
    policy = load_for_decoding(context.models["base"], folder, choice)
    tokenizer = load_tokenizer(folder if (folder / "tokenizer_config.json").is_file() else context.models["base"])
    return LoadedPolicy(policy, tokenizer, choice)


def _require_pairs(found: Constructed, config: ConstructionConfig, mode: Mode, sources: int) -> None:
    if len(found.pairs) >= config.require_pairs:
        return
    reasons = ", ".join(f"{number} {reason}" for reason, number in found.no_pair.most_common() if number)
    wider = {
        "sample": "more sampling.samples or rules of other latencies, or a lower pairing.min_margin",
        "given": "more rows with a rejected rendering",
        "endpoint": "more sources, or another writer.against",
    }
    raise DataError(
        f"only {len(found.pairs)} preference pairs came of {sources} sources ({reasons or 'no reason'}), and "
        f"construction.require_pairs is {config.require_pairs}: give {wider[mode]}."
    )
