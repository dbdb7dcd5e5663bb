"""Which systems a run compares, and the rules that each policy is decoded under."""

from domains.translation.decoder.rules import Threshold, parse_rule
from domains.translation.systems import ALIGNED, BOUNDED, SFT, WAIT_K, bounded_rules, plan_systems, rules_of


def test_bounded_rules_are_wait_k_with_room_to_wait():
    rules = bounded_rules(0.75, (1, 3), 2)
    assert [parse_rule(one) for one in rules] == [Threshold(0.75, 1, 3), Threshold(0.75, 3, 5)]
    assert bounded_rules(0.75, (1, 3), None) == ()


def test_every_policy_is_decoded_under_the_rules_of_its_systems():
    bounded = bounded_rules(0.7, (1,), 2)
    systems = plan_systems([SFT, WAIT_K, ALIGNED], (0.5, 0.7), (1, 2), ("lsg:3",), (), bounded)
    rules = {one.name: one.rules for one in systems}
    assert rules[BOUNDED[ALIGNED]] == rules[BOUNDED[SFT]] == ("threshold:0.7,1,3",)
    assert rules["wait-k, tuned"] == rules["wait-k on SFT"] == ("wait-k:1", "wait-k:2")
    assert rules_of(ALIGNED, systems, True) == ("threshold:0.5", "threshold:0.7", "threshold:0.7,1,3", "offline")
    assert "lsg:3" in rules_of(SFT, systems, True)
    assert "lsg:3" not in rules_of(SFT, systems, False)
    assert rules_of(WAIT_K, systems, False) == ("wait-k:1", "wait-k:2", "offline")
