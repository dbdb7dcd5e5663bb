"""E-commerce's feature stage: every summary of the preference records gets its measured factors as scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from domains.ecommerce.factors import FACTORS, MEASURED, SummaryItem, factor_cache
from domains.ecommerce.prompting import reviews_of
from shared.data.record_files import read_records, write_records
from shared.durable import write_json
from shared.explain.agreement import FactorAgreement, agreement_table
from shared.explain.factors import Cost, Sign
from shared.recipes import Component
from shared.records import PreferenceRecord
from shared.stages import StageContext

FACTORS_FILE = "factors.json"
TIER = "tier"  # covariate: the tier in which a summary was generated
SAME_TIER, CROSS_TIER = "same-tier", "cross-tier"


class FeatureStageConfig(Component):
    """Which factors are measured.

    Attributes:
        factors: names or patterns (``aspect-*``).
        costs: kinds of factor: lexical (no model but a tagger), embedding (a sentence encoder), language-model.
        splits: record files to measure; one that is not there is passed over.
    """

    factors: list[str] = Field(default=["*"], min_length=1)
    costs: list[Cost] = Field(default=["lexical", "embedding", "language-model"], min_length=1)
    splits: list[str] = Field(default=["train", "judge", "validation", "test"], min_length=1)


def features(context: StageContext) -> dict[str, float]:
    """Measures both sides of every record and writes the same record files with ``measured.<factor>`` in their scores.

    What the factors read are the reviews in the record's prompt, which a policy sees, so that any new response can be
    measured alike (`domains.ecommerce.factors.extractor`).

    Config: `FeatureStageConfig`. Input ``data``: record files. Writes ``<split>.arrow`` and ``factors.json``: the
    definition of every factor, and how far each score alone agrees with the preferences of a split.

    Returns:
        ``features/factors``, ``features/summaries``, and ``features/agreement/<factor>`` on the first split.

    Raises:
        UsageError: a pattern that matches no factor.
        DataError: a record whose prompt holds no reviews.
        SystemStateError: a model's package is missing.
    """
    config = FeatureStageConfig.model_validate(context.config)
    names = FACTORS.names(config.factors, config.costs)
    metrics: dict[str, float] = {"features/factors": float(len(names)), "features/summaries": 0.0}
    tables: dict[str, list[dict[str, Any]]] = {}
    present = [split for split in config.splits if (context.inputs["data"] / f"{split}.arrow").is_file()]
    for split in present:
        records = read_records(context.inputs["data"] / f"{split}.arrow")
        measured = _measured(context, records, names, split)
        write_records(context.out / f"{split}.arrow", measured)
        metrics["features/summaries"] += 2.0 * len(records)
        table = score_agreement(measured)
        tables[split] = [row.to_json() for row in table]
        if split == present[0]:
            metrics |= {
                f"features/agreement/{row.name}": row.accuracy.value for row in table if row.accuracy.has_interval()
            }
    catalogue = [row for row in FACTORS.catalogue() if row["name"] in set(names)]
    write_json(context.out / FACTORS_FILE, {"factors": catalogue, "agreement": tables})
    return metrics


def _measured(
    context: StageContext, records: Sequence[PreferenceRecord], names: Sequence[str], split: str
) -> list[PreferenceRecord]:
    sides = [SummaryItem(reviews_of(one.prompt), text) for one in records for text in (one.chosen, one.rejected)]

    def tell(done: int, total: int) -> None:
        context.progress(done, total, f"measuring {split}")

    with factor_cache() as cache:
        rows = FACTORS.measure(sides, names, cache, tell)
    return [
        replace(
            one,
            scores_chosen={**one.scores_chosen, **_named(rows[2 * number])},
            scores_rejected={**one.scores_rejected, **_named(rows[2 * number + 1])},
        )
        for number, one in enumerate(records)
    ]


def _named(row: Mapping[str, float]) -> dict[str, float]:
    return {f"{MEASURED}{name}": value for name, value in row.items()}


def score_agreement(records: Sequence[PreferenceRecord]) -> list[FactorAgreement]:
    """How far every score that all records carry agrees with their preferences, alone; best first.

    Measured factors are taken in the direction of their sign, other scores as "more is better". Where the records tell
    the tiers of both sides the table has the strata ``same-tier`` and ``cross-tier``.
    """
    if not records:
        return []
    carried = set.intersection(*({*side} for one in records for side in (one.scores_chosen, one.scores_rejected)))
    signs: dict[str, Sign | None] = {f"{MEASURED}{one.name}": one.sign for one in FACTORS}
    same = [one.covariates_chosen.get(TIER) == one.covariates_rejected.get(TIER) for one in records]
    tiered = all(TIER in side for one in records for side in (one.covariates_chosen, one.covariates_rejected))
    table = agreement_table(
        [one.scores_chosen for one in records],
        [one.scores_rejected for one in records],
        [one.group_id for one in records],
        {name: signs.get(name, "+") for name in sorted(carried)},
        {SAME_TIER: same, CROSS_TIER: [not one for one in same]} if tiered else None,
    )
    return sorted(table, key=lambda row: -abs(row.accuracy.value - 0.5))
