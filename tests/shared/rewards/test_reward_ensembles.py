"""Ensembles: combinations, disagreement, and their report."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.errors import DataError
from shared.evaluation.scorer_report import cycle_section, ensemble_section, reward_report
from shared.records import Message, PreferenceRecord
from shared.rewards.ensemble import (
    PairwiseEnsemble,
    ScalarEnsemble,
    combine_log_odds,
    combine_scores,
    disagreement,
)
from shared.rewards.protocol import PreferenceModel, ScalarReward, candidate_scores
from shared.rewards.ranking import Ranking, rank_table
from shared.rewards.settings import EnsembleSettings

Prompt = tuple[Message, ...]
odds = arrays(np.float64, st.tuples(st.integers(2, 4), st.integers(1, 6)), elements=st.floats(-5, 5))


def settings(combine: str, zeros: Sequence[float] = (), penalty: float = 1.0) -> EnsembleSettings:
    return EnsembleSettings.model_validate(
        {"members": ["a", "b"], "combine": combine, "penalty": penalty, "zeros": list(zeros)}
    )


@dataclass
class Table:
    """A member that compares by a given antisymmetric table over single letters; it has no score."""

    odds: dict[tuple[str, str], float] = field(default_factory=dict)

    def compare(self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        return np.array([self.odds.get((x, y), -self.odds.get((y, x), 0.0)) for x, y in zip(a, b, strict=True)])

    def compare_records(self, records: Sequence[PreferenceRecord]) -> np.ndarray:
        return self.compare([r.prompt for r in records], [r.chosen for r in records], [r.rejected for r in records])

    def rank(self, prompt: Prompt, responses: Sequence[str]) -> Ranking:
        return rank_table(
            np.array([self.compare([prompt] * len(responses), [x] * len(responses), responses) for x in responses])
        )


def record(chosen: str, rejected: str, number: int = 0) -> PreferenceRecord:
    return PreferenceRecord(f"r{number}", f"g{number}", f"f:{number}", (Message("user", "?"),), chosen, rejected)


@given(values=odds, combine=st.sampled_from(["mean", "min", "uncertainty-penalised"]), c=st.floats(0, 3))
def test_combined_log_odds_change_only_their_sign(values: np.ndarray, combine: str, c: float) -> None:
    how = settings(combine, penalty=c)
    found = combine_log_odds(values, how)
    assert np.array_equal(found, -combine_log_odds(-values, how))
    assert (np.abs(found) <= np.abs(values).max(axis=0) + 1e-12).all()
    if combine == "min":
        agree = (values > 0).all(axis=0) | (values < 0).all(axis=0)
        assert np.array_equal(found != 0, agree)


def test_combined_scores() -> None:
    scores = np.array([[1.0, 4.0], [3.0, 0.0]])
    assert combine_scores(scores, settings("mean")).tolist() == [2, 2]
    assert combine_scores(scores, settings("min")).tolist() == [1, 0]
    assert combine_scores(scores, settings("uncertainty-penalised", penalty=0.5)).tolist() == [1.5, 1.0]


@given(values=odds)
def test_disagreement_is_that_of_numpy(values: np.ndarray) -> None:
    found = disagreement(values)
    assert found.std == pytest.approx(np.sqrt(((values - values.mean(axis=0)) ** 2).mean(axis=0)), abs=1e-9)
    assert found.split.tolist() == [float(min(column) < 0 < max(column)) for column in values.T]


def test_members_without_scores_vote_by_pair() -> None:
    """Two members each with an order, of which the mean is a circle."""
    first = Table({("A", "B"): 3.0, ("B", "C"): 3.0, ("A", "C"): 1.0})
    second = Table({("A", "B"): -1.0, ("B", "C"): 1.0, ("A", "C"): -3.0})
    members: list[PreferenceModel] = [first, second]
    ensemble = PairwiseEnsemble(members, settings("mean"))
    assert isinstance(ensemble, PreferenceModel)
    assert not isinstance(ensemble, ScalarReward)
    ranking = ensemble.rank((Message("user", "?"),), ["A", "B", "C"])
    assert ranking.cycle == (0, 1, 2)
    cautious = PairwiseEnsemble(members, settings("min"))
    assert cautious.compare_records([record("A", "B"), record("B", "C")]).tolist() == [0.0, 1.0]
    found = cycle_section(ensemble, [record("A", "B"), record("B", "C")])
    assert (found["prompts"], found["responses"], found["share"]["value"]) == (1, 3, 1.0)
    (scores,) = candidate_scores(ensemble, [(Message("user", "?"),)], [["A", "B", "C"]])
    assert scores == pytest.approx([0.0, 1 / 3, -1 / 3])


@dataclass
class Letters:
    """A member with scores: the letter's value, and its own zero."""

    values: dict[str, float]
    zero: float

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> np.ndarray:
        return np.array([self.values[one] + self.zero for one in responses])

    def score_records(self, records: Sequence[PreferenceRecord], side: str) -> np.ndarray:
        return self.score([], [getattr(one, side) for one in records])

    def compare(self, prompts: Sequence[Prompt], a: Sequence[str], b: Sequence[str]) -> np.ndarray:
        return self.score(prompts, a) - self.score(prompts, b)

    def compare_records(self, records: Sequence[PreferenceRecord]) -> np.ndarray:
        return self.score_records(records, "chosen") - self.score_records(records, "rejected")

    def rank(self, prompt: Prompt, responses: Sequence[str]) -> Ranking:
        raise NotImplementedError


def test_a_members_free_constant_does_not_decide() -> None:
    """Without the zeros the second member, 100 higher, would never be the least favourable one."""
    members: list[ScalarReward] = [Letters({"A": 1, "B": 0}, 0.0), Letters({"A": -1, "B": 0.5}, 100.0)]
    ensemble = ScalarEnsemble(members, settings("min", zeros=[0.0, 100.0]))
    assert isinstance(ensemble, ScalarReward)
    assert ensemble.score([()] * 2, ["A", "B"]).tolist() == [-1.0, 0.0]
    assert ensemble.compare_records([record("B", "A")]).tolist() == [1.0]
    assert ensemble.rank((), ["A", "B"]).order == (1, 0)
    with pytest.raises(DataError, match="2 members with scores and 1 zeros"):
        ScalarEnsemble(members, settings("min", zeros=[0.0]))


def test_disagreement_tells_errors() -> None:
    """Ten pairs on which members disagree and are wrong, thirty on which they agree and are right."""
    members = np.array([[1.0] * 30 + [-3.0] * 10, [1.0] * 30 + [1.0] * 10])
    groups = [str(index) for index in range(40)]
    found = ensemble_section(members, members.mean(axis=0), groups)
    assert found["auroc_for_errors"]["value"] == 1.0
    assert found["split"]["value"] == 0.25
    assert found["std"]["value"] == pytest.approx(0.5)
    assert [one["value"] for one in found["member_accuracy"]] == [0.75, 1.0]
    none = ensemble_section(np.ones((2, 4)), np.ones(4), groups[:4])
    assert none["auroc_for_errors"]["value"] is None


def test_the_report_of_an_ensemble_holds_its_members() -> None:
    first = Table({("A", "B"): 2.0, ("B", "C"): 1.0})
    second = Table({("A", "B"): -1.0, ("B", "C"): 1.0})
    records = [record("A", "B", 1), record("B", "C", 2), record("C", "B", 3)]
    report = reward_report(PairwiseEnsemble([first, second], settings("mean")), records, records)
    assert report["model"] == "ensemble of 2 (mean): Table"
    assert report["ensemble"]["split"]["value"] == pytest.approx(1 / 3)
    assert report["estimates"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert report["cycles"]["prompts"] == 1
