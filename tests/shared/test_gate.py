import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.errors import DataError
from shared.evaluation.measured import ItemValues, Measured
from shared.gate import GateConfig, GateDecision, GuardConfig, decide, licence_notes

N = 60
IDS = [f"item-{i}" for i in range(N)]
GROUPS = [f"group-{i // 2}" for i in range(N)]
CONFIG = GateConfig(primary="eval/win", n_resamples=1000)


def measured(name, values, *, metric="eval/win", licence="MIT", ids=IDS, groups=GROUPS, **fields):
    return Measured(name, {metric: ItemValues.of(ids, groups, values)}, data_licence=licence, **fields)


def with_guard(model, values, metric="eval/safety"):
    items = {**model.items, metric: ItemValues.of(IDS, GROUPS, values)}
    return Measured(model.name, items, model.scalars, model.promoted_seed, model.data_licence, model.measured_with)


@pytest.fixture
def base():
    return measured("base", np.random.default_rng(0).normal(size=N))


@pytest.fixture
def better(base):
    gain = np.random.default_rng(1).normal(0.5, 0.4, N)
    return measured("candidate", base.items["eval/win"].values[0] + gain)


def test_clear_gain_is_promoted(base, better, tmp_path):
    decision = decide(better, base, CONFIG)
    assert decision.promoted
    assert decision.reasons[0] == "Promoted: candidate replaces base."
    assert "better than the champion" in decision.reasons[1]
    test = decision.tests[0]
    assert test.gain is not None
    assert test.gain.low > 0
    assert test.gain.p_value < 0.05
    assert decision.evidence["n_groups"] == 30
    decision.write(tmp_path / "decision.json")
    assert GateDecision.read(tmp_path / "decision.json") == decision
    json.loads((tmp_path / "decision.json").read_text(), parse_constant=pytest.fail)


def test_candidate_equal_to_its_champion_is_never_promoted(base):
    assert not decide(base, base, CONFIG).promoted
    constant = measured("same", np.ones(N))
    decision = decide(constant, constant, CONFIG)
    assert not decision.promoted
    assert "not better beyond chance" in decision.reasons[1]


def test_worse_is_not_promoted(base, better):
    assert not decide(base, better, CONFIG).promoted


@pytest.mark.parametrize(
    ("kind", "rule"), [("continuous", "same_sign"), ("binary", "same_sign"), ("seeds", "t_interval")]
)
def test_false_promotions_are_rare(kind, rule):
    rng, promoted = np.random.default_rng(7), 0
    config = GateConfig(primary="eval/win", n_resamples=500, seed_rule=rule)
    for _ in range(400):
        effects = np.repeat(rng.normal(0, 1, N // 2), 2)
        if kind == "binary":
            a, b = rng.random((2, N)) < 0.6
        elif kind == "seeds":  # a recipe without gain whose three seeds differ by training noise
            a, b = effects + rng.normal(0, 0.3, (3, 1)) + rng.normal(size=(3, N)), rng.normal(size=N)
        else:
            a, b = effects + rng.normal(size=N), np.repeat(rng.normal(0, 1, N // 2), 2) + rng.normal(size=N)
        promoted += decide(measured("a", a), measured("b", b), config).promoted
    # two-sided alpha .05: .025 expected of a null, 400 * .025 = 10; 20 is beyond its 99.7 % quantile
    assert promoted <= 20


def test_lower_is_better(base, better):
    config = GateConfig(primary="eval/win", higher_is_better=False, n_resamples=1000)
    assert decide(base, better, config).promoted
    assert not decide(better, base, config).promoted


def test_min_difference(base, better):
    assert decide(better, base, GateConfig(primary="eval/win", min_difference=0.2, n_resamples=1000)).promoted
    decision = decide(better, base, GateConfig(primary="eval/win", min_difference=0.6, n_resamples=1000))
    assert not decision.promoted
    assert "beyond the least gain of 0.6" in decision.reasons[1]


def test_guard_regression_is_refused(base, better):
    safety = np.random.default_rng(3).random(N)
    config = GateConfig(
        primary="eval/win", guards=(GuardConfig(metric="eval/safety", tolerance=0.05),), n_resamples=1000
    )
    champion = with_guard(base, safety)
    assert decide(with_guard(better, safety), champion, config).promoted
    assert decide(with_guard(better, safety - 0.01), champion, config).promoted
    worse = decide(with_guard(better, safety - 0.2), champion, config)
    assert not worse.promoted
    assert any("Guard eval/safety" in reason and reason.endswith("worse.") for reason in worse.reasons)
    noisy = decide(with_guard(better, safety + np.random.default_rng(4).normal(0, 1, N)), champion, config)
    assert not noisy.promoted
    assert any("not shown to be no worse" in reason for reason in noisy.reasons)
    # a metric that falls is no regression where lower is better
    lower = GateConfig(primary="eval/win", guards=(GuardConfig(metric="eval/safety", direction="lower"),))
    assert decide(with_guard(better, safety - 0.2), champion, lower).promoted


def test_scalar_guard_is_compared_without_an_interval(base, better):
    config = GateConfig(
        primary="eval/win", guards=(GuardConfig(metric="kl", direction="lower", tolerance=2.0),), n_resamples=1000
    )
    champion = Measured("base", base.items, {"kl": 0.0}, data_licence="MIT")
    for kl, promoted in ((1.5, True), (2.5, False)):
        decision = decide(Measured("c", better.items, {"kl": kl}, data_licence="MIT"), champion, config)
        assert decision.promoted is promoted
        assert any("without an interval" in reason for reason in decision.reasons)
    refused = decide(Measured("c", better.items, {"kl": math.nan}, data_licence="MIT"), champion, config)
    assert refused.reasons[0] == "Refused: kl of c is not finite."


def test_the_gain_must_hold_over_seeds(base):
    champion = base.items["eval/win"].values[0]
    rng = np.random.default_rng(1)
    gains = rng.normal(0, 0.4, (3, N))
    config = GateConfig(primary="eval/win", require_seeds=3, n_resamples=1000)
    good = decide(measured("c", champion + gains + 0.5), base, config)
    assert good.promoted
    assert "3 of 3 seeds" in good.reasons[2]
    lucky = decide(measured("c", champion + gains + np.array([[0.6], [-0.1], [-0.2]])), base, config)
    assert not lucky.promoted
    assert lucky.tests[0].passed
    assert "1 of 3 seeds" in lucky.reasons[2]
    by_t = config.model_copy(update={"seed_rule": "t_interval"})
    assert decide(measured("c", champion + gains + 0.5), base, by_t).promoted
    assert not decide(measured("c", champion + gains + np.array([[0.9], [0.1], [0.3]])), base, by_t).promoted
    few = decide(measured("c", champion + 1), base, config)
    assert few.reasons[0] == "Refused: 3 training seeds are required, the candidate has 1."


def test_the_promoted_seed_is_the_one_tested(base):
    champion = base.items["eval/win"].values[0]
    table = np.stack([champion + 0.01 * np.sin(np.arange(N)), champion + 0.5])
    assert not decide(measured("c", table), base, CONFIG).tests[0].passed
    assert decide(measured("c", table, promoted_seed=1), base, CONFIG).tests[0].passed
    refused = decide(measured("c", table, promoted_seed=2), base, CONFIG)
    assert "names seed 2" in refused.reasons[0]


def refused(candidate, champion, config=CONFIG):
    decision = decide(candidate, champion, config)
    assert not decision.promoted
    assert decision.tests == []
    assert decision.reasons[0].startswith("Refused: ")
    json.dumps(decision.to_json(), allow_nan=False)
    return " ".join(decision.reasons)


def test_what_cannot_be_compared_is_refused(base, better):
    assert "no champion" in refused(better, None)
    values = np.zeros(N)
    assert "30 only for other, 30 only for base" in refused(
        measured("other", values, ids=[f"item-{i + 30}" for i in range(N)]), base
    )
    assert "different groups" in refused(measured("other", values, groups=["g"] * N), base)
    broken = values.copy()
    broken[3] = math.nan
    assert "eval/win of other is not finite on 1 of 60" in refused(measured("other", broken), base)
    assert "eval/win of other is not finite" in refused(base, measured("other", broken))
    assert "was not measured for other (measured: eval/x)" in refused(measured("other", values, metric="eval/x"), base)
    one_number = Measured("other", {}, {"eval/win": 0.7})
    assert "one number only" in refused(one_number, base)
    assert "on no item" in refused(measured("a", [], ids=[], groups=[]), measured("b", [], ids=[], groups=[]))
    other_judge = measured("other", values, measured_with={"judge": "b"})
    assert "different judge: b (candidate) and None (champion)" in refused(other_judge, base)
    guards = GateConfig(primary="eval/win", guards=(GuardConfig(metric="eval/safety"),))
    assert "eval/safety was not measured" in refused(better, base, guards)


def test_items_are_matched_by_id_not_by_place(base, better):
    order = np.random.default_rng(5).permutation(N)
    shuffled = measured(
        "base",
        base.items["eval/win"].values[:, order],
        ids=[IDS[i] for i in order],
        groups=[GROUPS[i] for i in order],
    )
    assert decide(better, shuffled, CONFIG).to_json() == decide(better, base, CONFIG).to_json()


def test_too_few_groups_to_ever_be_promoted():
    groups = [f"group-{i % 4}" for i in range(N)]
    values = np.random.default_rng(0).random(N)
    decision = decide(measured("c", values + 1, groups=groups), measured("base", values, groups=groups), CONFIG)
    assert not decision.promoted
    assert "With 4 groups p cannot fall below 0.125" in decision.reasons[1]
    single = decide(measured("c", values + 1, groups=["g"] * N), measured("base", values, groups=["g"] * N), CONFIG)
    assert not single.promoted
    assert "no interval" in single.reasons[1]
    json.dumps(single.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        (None, "Warning: the licence of the training data is not known"),
        (" ", "Warning"),
        ("CC BY-NC 4.0", "restricts commercial use"),
        ("cc-by-nc-sa-4.0", "restricts commercial use"),
        ("academic, attribution", "restricts"),
        ("for research use only", "restricts"),
        ("Non-Commercial", "restricts"),
    ],
)
def test_licences_are_noted(base, better, licence, words):
    candidate = Measured("c", better.items, data_licence=licence)
    decision = decide(candidate, base, CONFIG)
    assert decision.promoted
    assert words in decision.reasons[-1]
    assert words in decide(candidate, None, CONFIG).reasons[-1]


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "CC BY 4.0", "CC0", "encumbered by nothing"])
def test_free_licences_are_not_noted(licence):
    assert licence_notes(licence) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=30))
def test_never_both_ways(rows):
    mine, theirs, groups = zip(*rows, strict=True)
    ids = [str(i) for i in range(len(rows))]
    a, b = measured("a", mine, ids=ids, groups=groups), measured("b", theirs, ids=ids, groups=groups)
    config = GateConfig(primary="eval/win", n_resamples=500)
    forth, back = decide(a, b, config), decide(b, a, config)
    assert not (forth.promoted and back.promoted)
    assert GateDecision.from_json(json.loads(json.dumps(forth.to_json()))).to_json() == forth.to_json()


def test_config_and_files_are_checked(tmp_path):
    for fields in ({"primery": "x"}, {"primary": "x", "alpha": 0}, {"primary": "x", "guards": [{"tolerance": 1}]}):
        with pytest.raises(ValidationError):
            GateConfig.model_validate(fields)
    with pytest.raises(ValidationError):
        GuardConfig(metric="x", tolerance=-1)
    (tmp_path / "decision.json").write_text("{}")
    with pytest.raises(DataError, match="no gate decision"):
        GateDecision.read(tmp_path / "decision.json")
