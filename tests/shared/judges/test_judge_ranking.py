"""Candidates, their ranking, pairs to train on, and what sways a judge."""

import json

import numpy as np
import pytest

from shared.errors import DataError, UsageError
from shared.judges.biases import label_accuracy, length_bias, position_bias, self_consistency, transitivity
from shared.judges.candidates import CandidateSet, deidentified, from_preference, read_candidates
from shared.judges.protocol import PairItem, ResponseItem, ScoredResponse, Verdict
from shared.judges.ranking import (
    best_against_worst,
    labels_of,
    pair_items,
    rank_by_scores,
    rank_by_verdicts,
    response_items,
)
from shared.judges.reward_judge import RewardJudge
from shared.records import Message, PreferenceRecord
from shared.rewards.ranking import rank_table, score_table

ASKED = (Message("user", "how are you?"),)


class ByLength:
    """A scalar reward of a response's length, in hundreds of characters."""

    def score(self, prompts, responses):
        return np.array([len(text) / 100 for text in responses])

    def compare(self, prompts, a, b):
        return self.score(prompts, a) - self.score(prompts, b)

    def rank(self, prompt, responses):
        return rank_table(score_table(self.score([prompt] * len(responses), responses)))

    def compare_records(self, records):
        raise NotImplementedError

    def score_records(self, records, side):
        raise NotImplementedError


class Circle:
    """Compares only: "a" beats "b" beats "c" beats "a"; all others are even."""

    def compare(self, prompts, a, b):
        wins = {("a", "b"): 1.0, ("b", "c"): 1.0, ("c", "a"): 1.0}
        return np.array([wins.get((x, y), 0.0) - wins.get((y, x), 0.0) for x, y in zip(a, b, strict=True)])

    def compare_records(self, records):
        raise NotImplementedError

    def rank(self, prompt, responses):
        raise NotImplementedError


def candidates(*responses, name="s", preferred=None):
    return CandidateSet(name, f"group-{name}", "x.jsonl:1", ASKED, responses, preferred=preferred)


def test_a_scorer_judges_pairs_and_responses():
    judge = RewardJudge(ByLength(), "length", tie_log_odds=0.015)
    sets = [candidates("long enough", "short", name="1"), candidates("x", "xy", name="2")]
    found = judge.compare(pair_items(sets))
    assert [one.winner for one in found.rows] == ["a", "tie"]
    assert found.rows[0].log_odds == pytest.approx(0.06)
    scores = judge.score(response_items(sets))
    assert [one.id for one in scores.rows] == ["1:0", "1:1", "2:0", "2:1"]
    assert [one.overall for one in scores.rows] == pytest.approx([0.11, 0.05, 0.01, 0.02])


def test_a_score_that_is_no_number_is_no_verdict():
    class Broken(ByLength):
        def score(self, prompts, responses):
            return np.full(len(responses), np.nan)

    judge = RewardJudge(Broken(), "broken")
    assert judge.compare(pair_items([candidates("a", "b")])).rows[0].failure == "malformed"
    assert judge.score([ResponseItem("r", "g", ASKED, "a")]).rows[0].failure == "malformed"


def test_a_model_that_only_compares_has_no_scores():
    with pytest.raises(UsageError, match="compares and has no scores"):
        RewardJudge(Circle(), "circle").score([ResponseItem("r", "g", ASKED, "a")])


def test_the_best_and_the_worst_of_k():
    one = candidates("medium text", "s", "by far the longest text of all", "tiny")
    verdicts = RewardJudge(ByLength(), "length").compare(pair_items([one])).rows
    (ranked,) = rank_by_verdicts([one], verdicts)
    assert ranked.values == pytest.approx((2 / 3, 0.0, 1.0, 1 / 3))
    assert (ranked.best, ranked.worst, ranked.margin) == (2, 1, pytest.approx(1.0))
    assert (ranked.cycles, ranked.triples) == (0, 4)
    (pair,) = best_against_worst([ranked], "length")
    assert (pair.chosen, pair.rejected) == (one.responses[2], "s")
    assert pair.metadata == {"judge": "length", "candidates": 4}


def test_a_circle_has_no_best_and_gives_no_pair():
    one = candidates("a", "b", "c")
    (ranked,) = rank_by_verdicts([one], RewardJudge(Circle(), "circle").compare(pair_items([one])).rows)
    assert ranked.values == (0.5, 0.5, 0.5)
    assert (ranked.cycles, ranked.triples) == (1, 1)
    assert list(best_against_worst([ranked], "circle")) == []


def test_comparisons_with_the_first_only():
    one = candidates("baseline", "better", "worse")
    items = pair_items([one], "first")
    assert [item.id for item in items] == ["s:0-1", "s:0-2"]
    verdicts = [Verdict("s:0-1", "b"), Verdict("s:0-2", "a")]
    (ranked,) = rank_by_verdicts([one], verdicts, "first")
    assert ranked.values == (0.5, 1.0, 0.0)


def test_what_was_not_judged_is_left_out_not_lost():
    one = candidates("p", "q", "r")
    (ranked,) = rank_by_verdicts([one], [Verdict("", "a"), Verdict("", None), Verdict("", None)])
    assert ranked.values == (1.0, 0.0, None)
    assert (ranked.best, ranked.worst) == (0, 1)
    scores = [ScoredResponse("", None, failure="refused"), ScoredResponse("", 3.0), ScoredResponse("", None)]
    (alone,) = rank_by_scores([one], scores)
    assert alone.margin is None
    assert list(best_against_worst([alone], "j")) == []


def test_margins_below_the_least_give_no_pair():
    one = candidates("p", "q")
    scores = [ScoredResponse("", 3.5, {"warm": 3.5}), ScoredResponse("", 3.0, {"warm": 3.0})]
    ranked = rank_by_scores([one], scores)
    assert list(best_against_worst(ranked, "j", 1.0)) == []
    (pair,) = best_against_worst(ranked, "j", 0.5)
    assert (pair.margin, pair.scores_chosen, pair.scores_rejected) == (0.5, {"warm": 3.5}, {"warm": 3.0})


def test_preference_data_become_candidates_whose_place_tells_nothing():
    records = [PreferenceRecord(f"id-{n}", f"g-{n}", f"f:{n}", ASKED, f"good {n}", f"bad {n}") for n in range(400)]
    sets = [from_preference(record) for record in records]
    assert 150 < sum(one.preferred == 0 for one in sets) < 250
    assert all(one.responses[one.preferred].startswith("good") for one in sets if one.preferred is not None)
    assert sets == [from_preference(record) for record in records]
    assert set(labels_of(sets).values()) == {"a", "b"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "responses": ["x", "y"]},
        {"prompt": "q", "responses": [{"text": "x"}, {"text": "y"}]},
        {"prompt": [{"role": "user", "content": "q"}], "response_a": "x", "response_b": "y"},
        {"prompt": "q", "response1": "x", "response2": "y", "group_id": "g", "id": 7},
    ],
)
def test_candidate_rows_of_every_shape(tmp_path, row):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (one,) = read_candidates(path)
    assert one.responses == ("x", "y")
    assert one.prompt == (Message("user", "q"),)
    assert one.preferred is None
    assert one.id == str(row["id"]) if "id" in row else len(one.id) == 16


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"prompt": "q", "text": "x"}], "holds nothing to judge"),
        ([{"prompt": "", "response": "x"}], "empty prompt"),
        ([{"prompt": "q", "responses": "x"}], "no list of texts"),
        ([{"prompt": "q", "responses": ["x", 3]}], "something that is no text"),
        ([{"prompt": "q", "responses": ["x", " "]}], "empty response"),
        ([{"prompt": "q", "id": 1, "response": "x"}, {"prompt": "r", "id": 1, "response": "x"}], "same id"),
    ],
)
def test_broken_candidates_are_said_with_file_and_row(tmp_path, rows, problem):
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=problem) as caught:
        read_candidates(path)
    assert "c.jsonl:" in str(caught.value)


def test_candidates_are_masked_and_keep_their_ids():
    from shared.deidentify.config import DeidentifyConfig
    from shared.deidentify.deidentifier import Deidentifier

    given = candidates("write to jane@example.org", "no", name="user jane@example.org")
    (masked,) = deidentified([given], Deidentifier(DeidentifyConfig(recognise_names=False)))
    assert "jane@" not in "".join(masked.responses)
    assert masked.id == given.id


def items_of(*texts):
    return [PairItem(str(n), str(n), ASKED, a, b) for n, (a, b) in enumerate(texts)]


def test_position_bias_of_judges_that_see_an_order():
    first_always = [Verdict(str(n), "tie", orders=(("a", "b"),)) for n in range(8)]
    found = position_bias(first_always, [str(n) for n in range(8)])
    assert found is not None
    assert found["inconsistent"]["value"] == found["flipped"]["value"] == found["first_wins"]["value"] == 1.0
    fair = [Verdict(str(n), "a", orders=(("a", "a"),)) for n in range(8)]
    found = position_bias(fair, [str(n) for n in range(8)])
    assert found is not None
    assert found["first_wins"]["value"] == 0.5
    assert found["inconsistent"]["value"] == 0.0
    half = position_bias([Verdict("", "tie", orders=(("a", "tie"),))] * 4, list("abcd"))
    assert half is not None
    assert (half["inconsistent"]["value"], half["flipped"]["value"]) == (1.0, 0.0)
    assert position_bias([Verdict("", "a", log_odds=1.0)], ["g"]) is None


def test_length_bias_is_measured_against_the_labels():
    items = items_of(("long one", "s"), ("s", "long one"), ("long one", "s"), ("s", "long one"))
    longer = [Verdict("", winner) for winner in ("a", "b", "a", "b")]
    labels = {"0": "a", "1": "a", "2": "a", "3": "a"}
    found = length_bias(items, longer, labels)  # pyright: ignore[reportArgumentType]
    assert found["longer_wins"]["value"] == 1.0
    assert found["excess_over_labels"]["value"] == 0.5
    assert length_bias(items, longer)["excess_over_labels"] is None


def test_accuracy_against_labels():
    items = items_of(("long one", "s"), ("s", "long one"), ("x", "y"), ("s", "long one"))
    verdicts = [Verdict("", "a"), Verdict("", "b"), Verdict("", "tie"), Verdict("", None, failure="refused")]
    found = label_accuracy(items, verdicts, {"0": "a", "1": "a", "2": "b", "3": "a"})
    assert found is not None
    assert found["accuracy"]["value"] == pytest.approx(0.5)
    assert found["accuracy"]["n"] == 3
    assert found["decided"]["value"] == pytest.approx(2 / 3)
    assert found["accuracy_where_shorter_is_better"]["value"] == 0.0
    assert label_accuracy(items, verdicts, {}) is None


def test_self_consistency_of_repetitions():
    steady = [Verdict(str(n), "a", orders=(("a", "a"),) * 3) for n in range(5)]
    found = self_consistency(steady, list("abcde"))
    assert found is not None
    assert (found["agreement"]["value"], found["repeats"]) == (1.0, 3)
    torn = [Verdict("", "a", orders=(("a", "a"), ("a", "a"), ("b", "b")))]
    found = self_consistency(torn, ["g"])
    assert found is not None
    assert found["agreement"]["value"] == pytest.approx(1 / 3)
    assert self_consistency([Verdict("", "a", orders=(("a", "a"),))], ["g"]) is None


def test_cycles_are_counted():
    assert transitivity({(0, 1): "a", (1, 2): "a", (0, 2): "b"}, 3) == (1, 1)
    assert transitivity({(0, 1): "a", (1, 2): "a", (0, 2): "a"}, 3) == (0, 1)
    assert transitivity({(0, 1): "a", (1, 2): "tie", (0, 2): "b"}, 3) == (0, 1)
    assert transitivity({(0, 1): "a", (1, 2): "a"}, 3) == (0, 0)
