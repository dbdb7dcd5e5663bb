"""Rules and their texts."""

import pytest
import torch

from domains.translation.decoder import LatencyPrompt, Lsg, Offline, ReadRule, Threshold, WaitK, parse_rule
from domains.translation.decoder.lsg import calls_for_write, divergence
from shared.errors import UsageError


@pytest.mark.parametrize(
    "rule",
    [
        Threshold(0.25),
        Threshold(0.7, 1, 4),
        Threshold(0.7, 2),
        WaitK(7),
        Offline(),
        Lsg(2.5, 0.7, 2, 5),
        LatencyPrompt("low-medium", 0.4),
    ],
    ids=str,
)
def test_a_rule_is_read_as_it_is_written(rule: ReadRule) -> None:
    assert parse_rule(str(rule)) == rule


def test_defaults_may_be_left_out() -> None:
    assert parse_rule("threshold") == Threshold(0.5)
    assert parse_rule("lsg:4") == Lsg(delta=4)
    assert parse_rule("latency:high") == LatencyPrompt("high", 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wait-k",
        "wait-k:0",
        "wait-k:x",
        "threshold:1.2",
        "threshold:nan",
        "threshold:0.5,3,2",
        "threshold:0.5,-1",
        "latency:soon",
        "lsg:1,0.5,3,2",
        "offline:1",
        "k:3",
    ],
)
def test_what_is_no_rule_is_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"the read rule .* write threshold:0\.5 or threshold:C,LOW,HIGH, wait-k:3"):
        parse_rule(text)


def test_a_threshold_is_heeded_within_its_range_of_lags_only() -> None:
    rule = Threshold(0.7, 2, 4)
    assert [rule.units_before(segment) for segment in (0, 3)] == [2, 5]
    assert [rule.writes(0.6, lag) for lag in (2, 3, 4, 5)] == [False, False, True, True]
    assert rule.writes(0.8, 2)
    assert Threshold(0.7).units_before(5) == 1
    assert not Threshold(0.7).writes(0.6, 100)


def test_lsg_compares_distributions() -> None:
    now = torch.tensor([0.7, 0.2, 0.1]).log()
    wait_1 = torch.tensor([0.2, 0.2, 0.6]).log()
    expected = 0.7 * torch.tensor(3.5).log() + 0.1 * torch.tensor(1 / 6).log()
    assert divergence(now, wait_1) == pytest.approx(float(expected), abs=1e-6)
    assert calls_for_write(Lsg(delta=0.6, alpha=1), now, wait_1)
    assert not calls_for_write(Lsg(delta=0.8, alpha=0.75), now, wait_1)
    assert calls_for_write(Lsg(delta=0.8, alpha=0.65), now, wait_1)
    assert not calls_for_write(Lsg(delta=0.0, alpha=0.9), now, now)
