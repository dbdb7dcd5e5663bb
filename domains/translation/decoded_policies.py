"""Decoded test sentences as the points of curves: what a decode stage left, read back from its logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.translation.curves import Point, System
from domains.translation.data_config import PairLanguages
from domains.translation.decode_stage import FACTS, LOGS
from domains.translation.latency.logs import LoggedSentence, read_log
from domains.translation.quality import QualityStatistics, bleu_statistics, chrf_statistics, tokenizer_of
from domains.translation.systems import OFFLINE, SystemPlan
from shared.card_inputs import read_json


@dataclass(frozen=True, slots=True)
class DecodedRule:
    """The test sentences under one rule.

    Attributes:
        rule: as recipes write it.
        sentences: as logged.
        chrf: counts of each sentence.
        bleu: counts of each sentence.
    """

    rule: str
    sentences: Sequence[LoggedSentence]
    chrf: QualityStatistics
    bleu: QualityStatistics

    def point(self, metric: str = "chrF") -> Point:
        """This setting's point of a curve."""
        quality = self.chrf if metric == "chrF" else self.bleu
        return Point.of(self.rule, [one.delays for one in self.sentences], quality)


@dataclass(frozen=True, slots=True)
class DecodedPolicy:
    """One policy (of one seed) under all its rules.

    Attributes:
        facts: of the decode stage.
        rules: by rule.
        folder: of the artifact.
    """

    facts: Mapping[str, Any]
    rules: Mapping[str, DecodedRule]
    folder: Path

    @classmethod
    def read(cls, folder: Path, languages: PairLanguages) -> "DecodedPolicy":
        """Reads what `decode_policy` wrote."""
        facts = read_json(folder, FACTS)
        rules = {}
        for number, rule in enumerate(facts["rules"]):
            sentences = read_log(folder / LOGS / str(number) / "instances.log", languages.target_unit)
            rules[rule] = decoded_rule(rule, sentences, languages)
        return cls(facts, rules, folder)


def decoded_rule(rule: str, sentences: Sequence[LoggedSentence], languages: PairLanguages) -> DecodedRule:
    """Counts the quality of logged sentences."""
    texts, references = [one.prediction for one in sentences], [one.reference for one in sentences]
    bleu = bleu_statistics(texts, references, tokenizer_of(languages.target))
    return DecodedRule(rule, sentences, chrf_statistics(texts, references), bleu)


def system_of(plan: SystemPlan, decoded: Mapping[int, DecodedPolicy], metric: str = "chrF") -> System:
    """A system's curves: the seeds that were decoded under all of its rules.

    Args:
        plan: the system.
        decoded: its policy by seed.
        metric: chrF or BLEU.
    """
    seeds = {
        seed: [policy.rules[rule].point(metric) for rule in plan.rules]
        for seed, policy in decoded.items()
        if all(rule in policy.rules for rule in plan.rules)
    }
    return System(plan.name, seeds)


def offline_of(decoded: Mapping[int, DecodedPolicy]) -> DecodedRule | None:
    """The first seed's offline translation."""
    first = decoded[min(decoded)]
    return first.rules.get(OFFLINE)
