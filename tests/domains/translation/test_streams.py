"""Packed streams: the mask, and equality with every branch and policy state computed alone."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation import streams as module
from domains.translation.policy import SimulPolicy
from domains.translation.settings import SimulFormat
from domains.translation.streams import Branch, Stream, pack_streams
from shared.errors import UsageError
from tests.domains.translation.toy_streams import (
    FORMAT,
    TARGET_POSITION,
    alone,
    random_branch,
    random_source,
    random_streams,
    random_target,
)
from tests.shared.training.tiny_architectures import (
    WINDOW,
    gradients,
    in_float64,
    nothing_kept,
    relative_differences,
    tiny,
    with_adapters,
)


def policy_of(family: str, adapters: bool = False) -> SimulPolicy:
    model = tiny(family)
    if adapters:
        model = with_adapters(model)
    model = in_float64(model)
    policy = SimulPolicy(model, FORMAT).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in policy.confidence.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return policy


@pytest.mark.parametrize("blocks", [3, 128])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3"])
def test_packed_equals_every_branch_and_state_alone(family: str, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUERY_BLOCK", blocks)
    streams = random_streams()
    policy, plain = policy_of(family), policy_of(family)
    packed = pack_streams(streams, TARGET_POSITION)
    assert packed.input_ids.shape[1] == sum(stream.tokens for stream in streams)
    window = WINDOW if family == "gemma3" else None
    terms = policy.terms(packed)
    logps, logits, states = [], [], []
    for stream in streams:
        for branch in stream.branches:
            hidden = alone(plain.model, stream.source, branch, window)[len(stream.source.marker) - 1 :]
            scores = torch.log_softmax(plain.model.lm_head(hidden), -1)
            logps.append(scores.gather(1, torch.tensor(branch.target.tokens)[:, None])[:, 0])
            for state in branch.states(stream.source.units):
                states.append(state)
                logits.append(plain.write_logits(alone(plain.model, stream.source, branch, window, state)))
    expected, expected_logits = torch.cat(logps), torch.stack(logits)
    assert states == list(zip(packed.state_segment.tolist(), packed.state_read.tolist(), strict=True))
    assert len(set(states)) > 10
    torch.testing.assert_close(terms.logps, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(terms.write_logits, expected_logits, rtol=0, atol=1e-9)
    if family == "gemma3":
        assert packed.windows == {None, WINDOW}
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(len(expected), generator=generator, dtype=torch.float64)
    of_states = torch.randn(len(expected_logits), generator=generator, dtype=torch.float64)
    found = gradients(policy, (terms.logps * weights).sum() + (terms.write_logits * of_states).sum())
    wanted = gradients(plain, (expected * weights).sum() + (expected_logits * of_states).sum())
    assert max(relative_differences(found, wanted).values()) < 1e-9


def test_adapters_and_recomputed_probabilities_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("gemma3", adapters=True)
    packed = pack_streams(random_streams(2), TARGET_POSITION)
    terms = policy.terms(packed)
    kept = gradients(policy, terms.logps.sum() + terms.write_logits.square().sum())
    assert any("lora" in name for name in kept)
    assert "confidence.weight" in kept
    with nothing_kept(monkeypatch):
        terms = policy.terms(packed)
        again = gradients(policy, terms.logps.sum() + terms.write_logits.square().sum())
    assert max(relative_differences(again, kept).values()) < 1e-12


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), window=st.sampled_from([None, 1, 4, 9]), size=st.sampled_from([2, 7, 128]))
def test_blocks_and_flex_mask_see_the_same(seed: int, window: int | None, size: int) -> None:
    packed = pack_streams(random_streams(seed), TARGET_POSITION)
    time = packed.input_ids.shape[1]
    rows, columns = torch.arange(time)[:, None], torch.arange(time)[None]
    expected = packed.sees(window)(rows, rows, rows, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUERY_BLOCK", size)
        blocks = packed.blocks(window)
    found = torch.zeros(time, time, dtype=torch.bool)
    for block in blocks:
        keys = torch.cat([torch.arange(*span) for span in block.keys])
        count = block.queries[1] - block.queries[0]
        seen = torch.ones(count, block.width, dtype=torch.bool)
        if block.mask is None:
            seen[:, -count:] = seen[:, -count:].tril()
        else:
            seen = block.mask == 0
        found[block.queries[0] : block.queries[1], keys] = seen
    assert torch.equal(found, expected)


def test_what_is_hidden_costs_no_attention() -> None:
    draw = random.Random(0)
    source, target = random_source(draw, 8), random_target(draw, 8)
    branches = tuple(random_branch(draw, target, 8, "none") for _ in range(6))
    packed = pack_streams([Stream(source, branches)], TARGET_POSITION)
    needed = sum((block.queries[1] - block.queries[0]) * block.width for block in packed.blocks(None))
    assert needed < packed.input_ids.shape[1] ** 2 / 2


def test_attention_equals_flex_attention() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    from shared.training.tree_attention import tree_attention

    packed = pack_streams(random_streams(5), TARGET_POSITION)
    time = packed.input_ids.shape[1]
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, time, 16, generator=generator) for heads in (4, 2, 2))
    for window in (None, 5):
        expected = flex_attention(query, key, value, block_mask=packed.flex_mask(window), enable_gqa=True)
        found, _ = tree_attention(torch.nn.Module(), query, key, value, None, sliding_window=window, trees=packed)  # pyright: ignore
        torch.testing.assert_close(found.transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_states_of_a_path() -> None:
    target = random_target(random.Random(0), 3)
    path = Branch(target, (2, 2, 4, 5), "path")
    assert list(path.states(5)) == [(0, 1), (0, 2), (1, 2), (2, 2), (2, 3), (2, 4), (3, 4), (3, 5)]
    assert list(replace(path, probes="none").states(5)) == [(0, 2), (1, 2), (2, 4), (3, 5)]
    assert list(replace(path, probes="grid").states(5)) == [(s, j) for s in range(4) for j in range(1, 6)]
    assert [replace(path, probes=kind).probe_count(5) for kind in ("none", "path", "grid")] == [0, 4, 16]


@pytest.mark.parametrize("reads", [(1, 2, 3), (1, 3, 2, 4), (0, 1, 2, 4), (1, 2, 3, 3)])
def test_a_path_that_is_none_is_refused(reads: tuple[int, ...]) -> None:
    draw = random.Random(0)
    with pytest.raises(ValueError, match="is none of 4 segments over 4 source units"):
        Stream(random_source(draw, 4), (Branch(random_target(draw, 3), reads),))


def test_a_growing_source_moves_no_target_position() -> None:
    draw = random.Random(1)
    source, target = random_source(draw, 6), random_target(draw, 4)
    shorter = replace(source, tokens=source.tokens[: source.ends[2]], ends=source.ends[:3])
    rows = []
    for one in (source, shorter):
        packed = pack_streams([Stream(one, (Branch(target, (1, 1, 2, 2, one.units)),))], TARGET_POSITION)
        rows.append(packed.position_ids[0, packed.predictors])
    assert torch.equal(*rows)


def test_an_architecture_that_cannot_is_named_with_the_reason() -> None:
    policy = SimulPolicy(tiny("gemma2"), SimulFormat(source_language="de", target_language="en"))
    with pytest.raises(UsageError, match=r"gemma2 models \(.*softcap.*\); a simultaneous policy needs"):
        policy.terms(pack_streams(random_streams(), TARGET_POSITION))
