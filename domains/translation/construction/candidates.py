"""Renderings of a source that may become a pair: the record's own, and what the supervised policy writes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from domains.translation.records import Path, SentencePair
from domains.translation.units import Unit, split_units
from shared.data.text_keys import text_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from domains.translation.construction.config import SamplingConfig
    from domains.translation.policy import SimulPolicy
    from shared.device import DeviceChoice

TARGET, REJECTED = "target", "rejected"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Rendering:
    """One translation of a source.

    Attributes:
        text: detokenised, single-spaced.
        origin: ``target`` or ``rejected`` (the record's own), the read rule that a policy wrote it under, or
            ``written:PROMPT`` (an endpoint's).
        path: source units read before each target unit; None until it is known.
        on_policy: whether the supervised policy wrote it.
        cut: whether it was cut at its most tokens.
    """

    text: str
    origin: str
    path: Path | None = None
    on_policy: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """The supervised policy.

    Attributes:
        policy: of `domains.translation.policy.load_for_decoding`.
        tokenizer: of it.
        choice: where it computes, and in which number format.
    """

    policy: "SimulPolicy"
    tokenizer: "PreTrainedTokenizerBase"
    choice: "DeviceChoice"


def given_renderings(pair: SentencePair, which: Literal["all", "rejected", "none"]) -> list[Rendering]:
    """The record's own renderings, with their paths where it has them."""
    found = [Rendering(pair.target_text, TARGET, pair.target_path)] if which == "all" else []
    if which != "none" and pair.rejected_text is not None:
        found.append(Rendering(pair.rejected_text, REJECTED, pair.rejected_path))
    return found


def sampled_renderings(
    loaded: LoadedPolicy,
    pairs: Sequence[SentencePair],
    config: "SamplingConfig",
    seed: int,
    on_progress: Progress,
) -> list[list[Rendering]]:
    """Renderings by the policy, `config.samples` under every rule, on the paths on which they were written.

    A rule's random numbers are made from the seeds and its name, so that adding a rule changes no other's renderings.

    Args:
        loaded: the policy.
        pairs: whose sources are translated.
        config: rules, samples, decoding.
        seed: of the stage.
        on_progress: called with (renderings done, renderings in all, text).

    Returns:
        The renderings of each pair's source, in the order of the rules; empty ones among them.

    Raises:
        UsageError: a latency word for a policy that was trained without.
    """
    from domains.translation.decoder.decode import decode
    from domains.translation.decoder.rules import parse_rule, rule_source

    policy = loaded.policy
    found: list[list[Rendering]] = [[] for _ in pairs]
    total = len(config.rules) * len(pairs) * config.samples
    done = 0
    for named in config.rules:
        rule = parse_rule(named)
        sources = [rule_source(rule, policy.format, loaded.tokenizer, pair.source_text) for pair in pairs]
        repeated = [source for source in sources for _ in range(config.samples)]
        decoding = config.decoding.model_copy(update={"seed": rule_seed(seed, config.decoding.seed, named)})

        def told(sentences: int, _: int, before: int = done, named: str = named) -> None:
            on_progress(before + sentences, total, f"sampling, {named}")

        written = decode(policy, loaded.tokenizer, repeated, rule, decoding, on_progress=told)
        for number, one in enumerate(written):
            rendering = Rendering(one.text, named, one.delays, on_policy=True, cut=one.cut)
            found[number // config.samples].append(rendering)
        done += len(repeated)
    return found


def rule_seed(stage_seed: int, decoding_seed: int, rule: str) -> int:
    """The seed of one rule's random numbers."""
    digest = sha256(f"{stage_seed}:{decoding_seed}:{rule}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def different(renderings: Sequence[Rendering], unit: Unit, counts: Counter[str]) -> list[Rendering]:
    """Renderings that neither are empty nor repeat an earlier one's words and path.

    The same words on another path are another rendering: such a pair is about the path alone.

    Args:
        renderings: of one source, with their paths.
        unit: of the target.
        counts: gets ``empty``, ``repeated`` and ``unfit``: the path has another length than the text has units, as
            where a tokenizer rewrites characters.

    Raises:
        ValueError: a rendering without a path.
    """
    seen: set[tuple[str, Path]] = set()
    kept = []
    for one in renderings:
        units = len(split_units(one.text, unit))
        if not units:
            counts["empty"] += 1
            continue
        if one.path is None:
            raise ValueError(f"no path for a rendering of {units} units ({one.origin})")
        if len(one.path) != units:
            counts["unfit"] += 1
            continue
        key = (text_key(one.text), one.path)
        if key in seen:
            counts["repeated"] += 1
            continue
        seen.add(key)
        kept.append(one)
    return kept
