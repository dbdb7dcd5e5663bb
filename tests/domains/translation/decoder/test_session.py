"""A sentence unit by unit, against the same in a batch."""

from collections.abc import Callable
from typing import Any

import pytest

from domains.translation.decoder.decode import decode
from domains.translation.decoder.rules import Lsg, Offline, ReadRule, Threshold, WaitK
from domains.translation.decoder.session import Session
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.policy import SimulPolicy
from domains.translation.units import split_units

CONFIG = DecodingConfig(tokens_per_source_token=0.5, extra_tokens=6)
RULES: tuple[ReadRule, ...] = (Threshold(0.5), WaitK(2), Offline(), Lsg(delta=0.1, alpha=0.9, low=1, high=4))


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_units_come_when_the_batch_decoder_says(
    rule: ReadRule, unit: str, make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any, source_texts: Any
) -> None:
    policy = make_policy("gemma3", target=unit, source=unit)
    texts = source_texts(5, unit)
    sources = [policy.format.source(simul_tokenizer, text) for text in texts]
    expected = decode(policy, simul_tokenizer, sources, rule, CONFIG)
    session = Session(policy, simul_tokenizer, rule, CONFIG)
    for text, one in zip(texts, expected, strict=True):
        session.restart()
        units = split_units(text, unit)  # pyright: ignore[reportArgumentType]
        came: list[str] = []
        delays: list[int] = []
        for read, source in enumerate(units, 1):
            assert not session.done
            new = session.push(source, last=read == len(units))
            came += new
            delays += [read] * len(new)
        assert session.done
        assert came == list(one.units)
        assert delays == list(one.delays)
        assert session.decoded().tokens == one.tokens
        assert session.decoded().text == one.text
        assert session.finish() == []


def test_a_source_whose_end_is_told_later_is_finished(
    make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any
) -> None:
    policy = make_policy()
    session = Session(policy, simul_tokenizer, Offline(), CONFIG)
    assert session.push("ab") == []
    assert session.push("cd") == []
    units = session.finish()
    [whole] = decode(policy, simul_tokenizer, [policy.format.source(simul_tokenizer, "ab cd")], Offline(), CONFIG)
    assert units == list(whole.units)
    assert session.done
    session.restart()
    assert session.finish() == []
    assert session.done


def test_a_late_end_after_a_read_writes_what_is_left(
    make_policy: Callable[..., SimulPolicy], simul_tokenizer: Any
) -> None:
    policy = make_policy()
    session = Session(policy, simul_tokenizer, Threshold(1.0), CONFIG)
    assert session.push("ab cd ef") == []
    units = session.finish()
    [whole] = decode(policy, simul_tokenizer, [policy.format.source(simul_tokenizer, "ab cd ef")], Offline(), CONFIG)
    assert units == list(whole.units)
    assert units
