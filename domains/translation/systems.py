"""The systems that a run compares: which trained policy each is, and under which read rules it is decoded.

A *policy* is trained once a seed (`sft`, `align`, `alpha-0`, `wait-k`, `latency-prompt`); a *system* is a policy under
one family of rules and makes one quality-latency curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SFT, ALIGNED, ABLATION, WAIT_K, PROMPTED, BASE = "sft", "align", "alpha-0", "wait-k", "latency-prompt", "base"
OFFLINE = "offline"
BOUNDED = {ALIGNED: "SimulPL, bounded lag", SFT: "SFT, bounded lag"}


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """A curve of the report.

    Attributes:
        name: for tables and plots.
        policy: what is decoded.
        rules: read rules, as `domains.translation.decoder.rules.parse_rule` reads them.
    """

    name: str
    policy: str
    rules: tuple[str, ...]


def plan_systems(
    policies: Sequence[str],
    thresholds: Sequence[float],
    wait_k: Sequence[int],
    lsg: Sequence[str],
    words: Sequence[str],
    bounded: Sequence[str] = (),
) -> list[SystemPlan]:
    """The systems of a run, in the order of tables.

    Args:
        policies: those that are trained or given (``champion``, ``model``).
        thresholds: of the confidence.
        wait_k: values of k.
        lsg: rules of LSG.
        words: latency words of the prompted policy.
        bounded: thresholds within ranges of lags, for SimulPL and the supervised policy.
    """
    by_threshold = tuple(f"threshold:{one:g}" for one in thresholds)
    by_k = tuple(f"wait-k:{k}" for k in wait_k)
    names = {ALIGNED: "SimulPL", ABLATION: "SimulPL, alpha = 0", SFT: "SFT only"}
    systems = []
    for policy in policies:
        if policy == WAIT_K:
            systems.append(SystemPlan("wait-k, tuned", policy, by_k))
        elif policy == PROMPTED:
            rules = tuple(f"latency:{word}" for word in words)
            systems.append(SystemPlan("latency prompt", policy, rules))
        elif policy != BASE:
            systems.append(SystemPlan(names.get(policy, policy), policy, by_threshold))
    if bounded:
        systems += [SystemPlan(BOUNDED[one], one, tuple(bounded)) for one in (ALIGNED, SFT) if one in policies]
    if SFT in policies:
        systems.append(SystemPlan("wait-k on SFT", SFT, by_k))
        if lsg:
            systems.append(SystemPlan("LSG on SFT", SFT, tuple(lsg)))
    return systems


def bounded_rules(threshold: float, lags: Sequence[int], width: int | None) -> tuple[str, ...]:
    """Rules that read as wait-k does, and up to `width` units further while the policy is not confident.

    Args:
        threshold: of the confidence.
        lags: least lags, one rule each; see `domains.translation.decoder.rules.Threshold`.
        width: None gives no rule.
    """
    return () if width is None else tuple(f"threshold:{threshold:g},{low},{low + width}" for low in lags)


def rules_of(policy: str, systems: Sequence[SystemPlan], first_seed: bool) -> tuple[str, ...]:
    """All rules that a policy is decoded under; LSG, which is slow, for the first seed only.

    The offline translation is added for every policy that is not bound to wait-k.
    """
    found: dict[str, None] = {}
    for system in systems:
        if system.policy == policy and (first_seed or not system.rules[0].startswith("lsg")):
            found.update(dict.fromkeys(system.rules))
    found[OFFLINE] = None
    return tuple(found)


def by_policy(systems: Sequence[SystemPlan]) -> Mapping[str, list[SystemPlan]]:
    """Systems of each policy."""
    found: dict[str, list[SystemPlan]] = {}
    for system in systems:
        found.setdefault(system.policy, []).append(system)
    return found
