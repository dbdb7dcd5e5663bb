"""Losses of micro-batches of pairs: rows of any length in any cut give the same numbers and gradients."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.prompts import PromptFormat
from shared.records import PreferenceRecord, Votes
from shared.rewards.bodies import is_encoder
from shared.rewards.bradley_terry import load_scorer
from shared.rewards.preference_network import new_network
from shared.rewards.rows import RowBatcher, alike, scorer_tokenizer
from shared.rewards.settings import GpmSettings, ScorerSettings
from shared.training.config import RewardConfig
from shared.training.reward import PairLoss, RewardPair, reward_pairs


@given(lengths=st.lists(st.integers(1, 500), max_size=40), most=st.floats(0, 0.9))
def test_groups_hold_every_row_once_and_little_padding(lengths: list[int], most: float) -> None:
    groups = alike(lengths, most)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        held = [lengths[index] for index in group]
        assert sum(held) >= (1 - most) * max(held) * len(held) - 1e-6


def prepared(base: Path, records: list[PreferenceRecord], **options: Any) -> tuple[Any, PairLoss, list[RewardPair]]:
    config = RewardConfig.model_validate(options)
    gpm, encoder = config.kind == "gpm", is_encoder(base)
    body = "encoder" if encoder else "causal-lm"
    plain = ScorerSettings(body=body, prompt=PromptFormat(), max_length=128)
    settings = GpmSettings(body=body, prompt=PromptFormat(), max_length=128, gpm=config.gpm) if gpm else plain
    tokenizer: Any = scorer_tokenizer(base)
    torch.manual_seed(0)
    model = new_network(base, config.gpm) if gpm else load_scorer(base, tokenizer)
    loss = PairLoss(config, RowBatcher(tokenizer.pad_token_id, encoder, gpm, gpm and config.gpm.gate), "cpu")
    return model.double(), loss, reward_pairs(records, settings, tokenizer, config)


def gradients(model: Any) -> torch.Tensor:
    found = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=False)
    return found.clone()


@pytest.mark.parametrize("kind", ["bradley-terry", "gpm"])
@pytest.mark.parametrize("body", ["tiny_model", "tiny_encoder"])
def test_any_cut_gives_the_same_step(
    body: str, kind: str, request: pytest.FixtureRequest, toy_pairs: list[PreferenceRecord]
) -> None:
    records = [
        replace(one, weight=0.5 + index, margin=0.2 * index, votes=Votes(3, index))
        for index, one in enumerate(toy_pairs[:6])
    ]
    options = {"use_margin": True, "soft_labels": True, "label_smoothing": 0.1, "kind": kind}
    model, loss, pairs = prepared(request.getfixturevalue(body), records, **options)
    whole, metrics = loss(model, pairs)
    whole.sum().backward()
    together = gradients(model)
    alone = [loss(model, [pair])[0] for pair in pairs]
    torch.cat(alone).sum().backward()
    assert torch.cat(alone).tolist() == pytest.approx(whole.tolist(), rel=1e-9, abs=1e-12)
    assert torch.linalg.norm(gradients(model) - together) <= 1e-8 * torch.linalg.norm(together)
    assert all(values.shape == (6,) and not values.requires_grad for values in metrics.values())


def test_the_loss_is_that_of_the_formula(tiny_encoder: Path, toy_pairs: list[PreferenceRecord]) -> None:
    records = [replace(one, weight=2.0, margin=0.3) for one in toy_pairs[:3]]
    model, loss, pairs = prepared(
        tiny_encoder, records, use_margin=True, margin_scale=2.0, label_smoothing=0.1, centre=0.05
    )
    losses, metrics = loss(model, pairs)
    a, b = (metrics[f"scores/{side}"].double().numpy() for side in ("chosen", "rejected"))
    z = a - b - 0.6
    expected = 2.0 * (0.9 * np.logaddexp(0, -z) + 0.1 * np.logaddexp(0, z)) + 0.05 * (a + b) ** 2
    assert losses.detach().numpy() == pytest.approx(expected, rel=1e-5)
    assert metrics["accuracy"].tolist() == (a > b).astype(float).tolist()
