"""The gate between training and registry: is the candidate better than the champion, and worse in nothing?

The rule. A candidate is promoted when all of these hold:

1. it was measured on the champion's items, under the same conditions, with finite values;
2. on the primary metric it beats the champion by a paired test: the cluster-bootstrap interval of the gain lies
   above `min_difference` and the sign-flip p value is below alpha;
3. on each guard metric it is not inferior: the interval of the gain lies above -tolerance;
4. where there are several training seeds, the gain holds over them (`seed_rule`).

All must hold at once (an intersection-union test), so no correction for the number of guards is due. Both the
interval and the p value are two-sided; a candidate that is no better is promoted with a chance of some alpha/2.

Nothing is compared unpaired: where items or conditions differ, the gate refuses and says why. Every *gain* is
oriented so that positive is better.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shared.errors import DataError
from shared.evaluation.intervals import Floats, finite_or_none, over_seeds, t_interval
from shared.evaluation.measured import ItemValues, Measured
from shared.evaluation.paired import PairedDifference, paired_difference

Direction = Literal["higher", "lower"]


class GuardConfig(BaseModel):
    """A metric that must not get worse.

    Attributes:
        metric: its name.
        direction: which direction is better.
        tolerance: the loss that is still accepted (non-inferiority margin), in the metric's unit. 0 asks for
            an improvement beyond chance, or for no change on any item.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    direction: Direction = "higher"
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class GateConfig(BaseModel):
    """What promotion asks for.

    Attributes:
        primary: name of the metric that must improve.
        higher_is_better: direction of the primary metric.
        alpha: two-sided significance level; intervals have level 1 - alpha.
        min_difference: gain in the primary metric below which a difference does not matter.
        guards: metrics that must not get worse.
        require_seeds: training seeds that the candidate must have been measured with.
        seed_rule: with several seeds, ``same_sign``: every seed alone gains on the champion; ``t_interval``: so
            does the lower end of Student's interval over the seeds' gains (with 2 seeds that can hardly be met).
            For a recipe without gain whose three seeds scatter widely, the item test alone lets one seed through
            in 21 % of cases, same_sign in 5 %, t_interval in 1 %.
        n_resamples: bootstrap resamples and sign patterns.
        seed: of the resampling.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    primary: str
    higher_is_better: bool = True
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    min_difference: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    guards: tuple[GuardConfig, ...] = ()
    require_seeds: int = Field(default=1, ge=1)
    seed_rule: Literal["same_sign", "t_interval"] = "same_sign"
    n_resamples: int = Field(default=4000, ge=500)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GateTest:
    """One check of the gate.

    Attributes:
        kind: ``primary``, ``guard``, ``guard_scalar`` or ``seeds``.
        metric: its name.
        passed: whether the check holds.
        candidate: the candidate's value (of the model to be promoted; for ``seeds`` the mean over seeds).
        champion: the champion's value.
        gain: how much better the candidate is, with interval and p value; None for a comparison of two numbers.
        details: numbers that belong to this kind of check.
    """

    kind: str
    metric: str
    passed: bool
    candidate: float
    champion: float
    gain: PairedDifference | None
    details: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "kind": self.kind,
            "metric": self.metric,
            "passed": self.passed,
            "candidate": finite_or_none(self.candidate),
            "champion": finite_or_none(self.champion),
            "gain": self.gain and self.gain.to_json(),
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "GateTest":
        """The inverse of `to_json`."""
        return cls(
            kind=row["kind"],
            metric=row["metric"],
            passed=row["passed"],
            candidate=math.nan if row["candidate"] is None else row["candidate"],
            champion=math.nan if row["champion"] is None else row["champion"],
            gain=row["gain"] and PairedDifference.from_json(row["gain"]),
            details=row["details"],
        )


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The decision and everything it rests on.

    Attributes:
        promoted: whether the candidate becomes the champion.
        reasons: sentences for people; for a refusal, why nothing was tested.
        evidence: names, licence, seeds, items and the configuration of the gate.
        tests: every check made.
    """

    promoted: bool
    reasons: list[str]
    evidence: dict[str, Any]
    tests: list[GateTest]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for JSON."""
        return {
            "promoted": self.promoted,
            "reasons": list(self.reasons),
            "evidence": self.evidence,
            "tests": [test.to_json() for test in self.tests],
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "GateDecision":
        """The inverse of `to_json`."""
        tests = [GateTest.from_json(test) for test in row["tests"]]
        return cls(row["promoted"], list(row["reasons"]), dict(row["evidence"]), tests)

    def write(self, path: Path) -> None:
        """Writes decision.json."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "GateDecision":
        """Reads what `write` wrote.

        Raises:
            DataError: the file is missing or is no decision.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is no gate decision ({error}); run the gate again.") from error


def decide(candidate: Measured, champion: Measured | None, config: GateConfig) -> GateDecision:
    """Decides whether the candidate replaces the champion, by the rule of this module's docstring.

    Args:
        candidate: measurement of the model that asks for promotion.
        champion: measurement of the present champion, at first the unaligned base; None refuses, as there is
            nothing to be better than.
        config: what promotion asks for.

    Returns:
        The decision. Data that cannot be compared give a refusal with its reason, never an exception.
    """
    evidence = {
        "candidate": candidate.name,
        "champion": champion and champion.name,
        "config": config.model_dump(mode="json"),
        "data_licence": candidate.data_licence,
        "measured_with": dict(candidate.measured_with),
    }
    notes = licence_notes(candidate.data_licence)
    if champion is None:
        reason = "Refused: there is no champion to compare with; measure the unaligned base model first."
        return GateDecision(False, [reason, *notes], evidence, [])
    refusals = _refusals(candidate, champion, config)
    if refusals:
        return GateDecision(False, [f"Refused: {reason}" for reason in refusals] + notes, evidence, [])
    primary = candidate.items[config.primary]
    evidence |= {
        "n_items": len(primary.ids),
        "n_groups": len(set(primary.groups)),
        "candidate_seeds": primary.seeds,
        "champion_seeds": champion.items[config.primary].seeds,
        "promoted_seed": candidate.promoted_seed,
    }
    checks = [_primary_test(candidate, champion, config)]
    if primary.seeds > 1:
        checks.append(_seed_test(candidate, champion, config))
    checks.extend(_guard_test(candidate, champion, guard, config) for guard in config.guards)
    promoted = all(test.passed for test, _ in checks)
    verdict = (
        f"Promoted: {candidate.name} replaces {champion.name}."
        if promoted
        else f"Not promoted: {champion.name} stays the champion."
    )
    reasons = [verdict, *(reason for _, reason in checks), *notes]
    return GateDecision(promoted, reasons, evidence, [test for test, _ in checks])


def licence_notes(licence: str | None) -> list[str]:
    """What a licence of the training data means for promotion: an unknown one warns, a restricted one is noted."""
    if licence is None or not licence.strip():
        return ["Warning: the licence of the training data is not known; settle it before the model is used."]
    restricted = r"(^|[^a-z])nc([^a-z]|$)|non-?\s?commercial|research\b.*\bonly|academic"
    if re.search(restricted, licence.lower()):
        return [f"Note: the training data's licence ({licence}) restricts commercial use of the model."]
    return []


def _refusals(candidate: Measured, champion: Measured, config: GateConfig) -> list[str]:
    """Why the two measurements cannot be compared; empty where they can."""
    reasons = []
    for name in sorted(set(candidate.measured_with) | set(champion.measured_with)):
        mine, theirs = candidate.measured_with.get(name), champion.measured_with.get(name)
        if mine != theirs:
            reasons.append(f"measured with different {name}: {mine} (candidate) and {theirs} (champion).")
    seeds = candidate.items[config.primary].seeds if config.primary in candidate.items else None
    if seeds is not None and seeds < config.require_seeds:
        reasons.append(f"{config.require_seeds} training seeds are required, the candidate has {seeds}.")
    reasons.extend(_metric_refusals(config.primary, candidate, champion, scalar_allowed=False))
    for guard in config.guards:
        if guard.metric != config.primary:
            reasons.extend(_metric_refusals(guard.metric, candidate, champion, scalar_allowed=True))
    return reasons


def _metric_refusals(metric: str, candidate: Measured, champion: Measured, *, scalar_allowed: bool) -> list[str]:
    sides = (candidate, champion)
    if all(metric in side.items for side in sides):
        return _item_refusals(metric, candidate, champion)
    if scalar_allowed and all(metric in side.scalars for side in sides):
        return [f"{metric} of {side.name} is not finite." for side in sides if not math.isfinite(side.scalars[metric])]
    reasons = []
    for side in sides:
        if metric in side.items:
            continue
        if metric in side.scalars:
            reasons.append(f"{metric} of {side.name} is one number only; the paired test needs it item by item.")
        else:
            known = ", ".join(sorted({*side.items, *side.scalars})) or "none"
            reasons.append(f"{metric} was not measured for {side.name} (measured: {known}).")
    return reasons


def _item_refusals(metric: str, candidate: Measured, champion: Measured) -> list[str]:
    mine, theirs = candidate.items[metric], champion.items[metric]
    if not mine.ids:
        return [f"{metric} of {candidate.name} was measured on no item."]
    only_mine, only_theirs = set(mine.ids) - set(theirs.ids), set(theirs.ids) - set(mine.ids)
    if only_mine or only_theirs:
        return [
            f"{metric} was measured on different test items: {len(only_mine)} only for {candidate.name}, "
            f"{len(only_theirs)} only for {champion.name}; measure both on the same test set."
        ]
    groups = dict(zip(theirs.ids, theirs.groups, strict=True))
    if any(groups[name] != group for name, group in zip(mine.ids, mine.groups, strict=True)):
        return [f"{metric}: an item belongs to different groups in the two measurements."]
    reasons = []
    for side, values in ((candidate, mine), (champion, theirs)):
        bad = int((~np.isfinite(values.values)).sum())
        if bad:
            reasons.append(f"{metric} of {side.name} is not finite on {bad} of {values.values.size} items.")
        if not 0 <= side.promoted_seed < values.seeds:
            reasons.append(
                f"{side.name} names seed {side.promoted_seed} as its model, {metric} has {values.seeds} seeds."
            )
    return reasons


def _aligned(champion: ItemValues, candidate: ItemValues) -> Floats:
    """The champion's values [seeds, n] in the candidate's order of items."""
    place = {name: index for index, name in enumerate(champion.ids)}
    return champion.values[:, [place[name] for name in candidate.ids]]


def _gain(
    metric: str, candidate: Measured, champion: Measured, sign: int, least: float, config: GateConfig
) -> tuple[PairedDifference, float, float]:
    """The candidate's gain over the champion, each by the model that is (to be) registered, minus `least`."""
    mine = candidate.items[metric]
    a = mine.values[candidate.promoted_seed]
    b = _aligned(champion.items[metric], mine)[champion.promoted_seed]
    difference = paired_difference(
        sign * a - least,
        sign * b,
        mine.groups,
        level=1 - config.alpha,
        n_resamples=config.n_resamples,
        seed=config.seed,
    )
    return difference, float(a.mean()), float(b.mean())


def _primary_test(candidate: Measured, champion: Measured, config: GateConfig) -> tuple[GateTest, str]:
    metric, sign = config.primary, 1 if config.higher_is_better else -1
    gain, mine, theirs = _gain(metric, candidate, champion, sign, config.min_difference, config)
    passed = gain.low > 0 and gain.p_value < config.alpha
    found = "better than the champion" if passed else "not better beyond chance"
    if gain.high < 0:
        found = "worse than the champion"
    beyond = f" beyond the least gain of {config.min_difference:g}" if config.min_difference else ""
    reason = (
        f"Primary {metric}: {mine:.4f} against {theirs:.4f}, gain{beyond} {_shown(gain)} over {gain.n} items in "
        f"{gain.n_groups} groups, p = {gain.p_value:.4g}: "
        f"{found}."
    )
    least_p = 2.0 ** (1 - gain.n_groups)
    if not passed and least_p >= config.alpha:
        reason += f" With {gain.n_groups} groups p cannot fall below {least_p:.4g}: measure on more groups."
    details = {"min_difference": config.min_difference, "alpha": config.alpha}
    return GateTest("primary", metric, passed, mine, theirs, gain, details), reason


def _guard_test(
    candidate: Measured, champion: Measured, guard: GuardConfig, config: GateConfig
) -> tuple[GateTest, str]:
    metric, sign = guard.metric, 1 if guard.direction == "higher" else -1
    details = {"direction": guard.direction, "tolerance": guard.tolerance}
    if metric in candidate.items and metric in champion.items:
        gain, mine, theirs = _gain(metric, candidate, champion, sign, 0.0, config)
        passed = gain.low >= -guard.tolerance
        worse = gain.high < -guard.tolerance
        verdict = "not inferior" if passed else "worse" if worse else "not shown to be no worse"
        reason = (
            f"Guard {metric} ({guard.direction} is better): {mine:.4f} against {theirs:.4f}, gain {_shown(gain)}, "
            f"tolerance {guard.tolerance:g}: {verdict}."
        )
        return GateTest("guard", metric, passed, mine, theirs, gain, details), reason
    mine, theirs = float(candidate.scalars[metric]), float(champion.scalars[metric])
    passed = sign * (mine - theirs) >= -guard.tolerance
    reason = (
        f"Guard {metric} ({guard.direction} is better): {mine:.4f} against {theirs:.4f}, tolerance "
        f"{guard.tolerance:g}, compared as two numbers without an interval: "
        f"{'not worse' if passed else 'worse'}."
    )
    return GateTest("guard_scalar", metric, passed, mine, theirs, None, details), reason


def _seed_test(candidate: Measured, champion: Measured, config: GateConfig) -> tuple[GateTest, str]:
    """Whether every seed's model, or their mean beyond seed noise, gains on the champion's registered model."""
    metric, sign = config.primary, 1 if config.higher_is_better else -1
    mine = candidate.items[metric]
    theirs = _aligned(champion.items[metric], mine)[champion.promoted_seed]
    gains = sign * (mine.values - theirs[None])  # [seeds, n]
    of_seeds = gains.mean(axis=1)
    level = 1 - config.alpha
    interval = t_interval(of_seeds, level=level)
    both = over_seeds(list(gains), mine.groups, level=level, n_resamples=config.n_resamples, seed=config.seed)
    holds = of_seeds > config.min_difference
    passed = bool(holds.all() if config.seed_rule == "same_sign" else interval.low > config.min_difference)
    reason = (
        f"Seeds: {int(holds.sum())} of {mine.seeds} seeds gain on {metric} (mean gain {interval} over seeds, "
        f"{both} over seeds and items): {'the gain holds' if passed else 'the gain does not hold'} "
        f"by the rule {config.seed_rule}."
    )
    details = {
        "rule": config.seed_rule,
        "gain_of_each_seed": of_seeds.tolist(),
        "t_interval": interval.to_json(),
        "seeds_and_items": both.to_json(),
    }
    test = GateTest("seeds", metric, passed, float(mine.values.mean()), float(theirs.mean()), None, details)
    return test, reason


def _shown(gain: PairedDifference) -> str:
    if not (math.isfinite(gain.low) and math.isfinite(gain.high)):
        return f"{gain.difference:+.4f} (no interval)"
    return f"{gain.difference:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
