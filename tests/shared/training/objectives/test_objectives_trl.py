"""The same numbers as TRL 1.16, from its own code.

TRL computes a loss inside a method of its trainer. The method runs here as it is, on a trainer that is nothing but the
settings it reads and a model that returns given per-token log-probabilities: so both sides see one batch, in float32,
and gradients with respect to those log-probabilities can be compared too.
"""

from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from shared.training.objectives import PairTerms, UnpairedTerms, build_objective

PAIRS, PROMPT, LONGEST = 8, 3, 14


@dataclass
class Tokens:
    """Log-probabilities a token [2 pairs, prompt + completion - 1], chosen rows first, and where completions stand."""

    policy: Tensor
    reference: Tensor
    mask: Tensor  # [2 pairs, prompt + completion], 1 on completion tokens

    @property
    def lengths(self) -> Tensor:
        return self.mask.sum(1).float()

    def sums(self, logps: Tensor) -> tuple[Tensor, Tensor]:
        chosen, rejected = logps.sum(1).chunk(2)
        return chosen, rejected

    def common(self, logps: Tensor) -> tuple[Tensor, Tensor]:
        chosen_tokens, rejected_tokens = self.lengths.chunk(2)
        least = torch.minimum(chosen_tokens, rejected_tokens).repeat(2)
        place = self.mask[:, 1:].cumsum(1)
        return self.sums(logps * ((place > 0) & (place <= least[:, None])))

    def terms(self) -> PairTerms:
        chosen, rejected = self.sums(self.policy)
        ref_chosen, ref_rejected = self.sums(self.reference)
        chosen_common, rejected_common = self.common(self.policy)
        ref_chosen_common, ref_rejected_common = self.common(self.reference)
        chosen_tokens, rejected_tokens = self.lengths.chunk(2)
        return PairTerms(
            chosen,
            rejected,
            chosen_tokens,
            rejected_tokens,
            ref_chosen,
            ref_rejected,
            chosen_common,
            rejected_common,
            ref_chosen_common,
            ref_rejected_common,
        )


@pytest.fixture(params=[0, 1, 2])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    draw = torch.Generator().manual_seed(request.param)
    lengths = torch.randint(1, LONGEST + 1, (2 * PAIRS,), generator=draw)
    positions = torch.arange(PROMPT + LONGEST)
    mask = ((positions >= PROMPT) & (positions < PROMPT + lengths[:, None])).long()
    policy = (-torch.rand(mask[:, 1:].shape, generator=draw) * 4 - 0.01) * mask[:, 1:]
    noise = torch.randn(policy.shape, generator=draw) * 0.4
    return Tokens(policy.requires_grad_(), (policy.detach() + noise).clamp(max=-1e-3) * mask[:, 1:], mask)


def _accelerator() -> SimpleNamespace:
    return SimpleNamespace(
        device=torch.device("cpu"), gather=lambda values: values, gather_for_metrics=lambda values: values
    )


class GivenModel:
    """Returns what TRL's fused head returns, of given log-probabilities; what only metrics use is zero."""

    training = True

    def __init__(self, logps: Tensor) -> None:
        self.logps = logps

    def __call__(self, **_: Any) -> SimpleNamespace:
        empty = torch.zeros_like(self.logps)
        return SimpleNamespace(log_probs=self.logps, entropy=empty, mean_logits=empty, is_top1=empty.bool())


def trl_dpo_loss(
    tokens: Tokens,
    losses: list[str],
    weights: list[float] | None = None,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    ld_alpha: float | None = None,
) -> Tensor:
    """`DPOTrainer._compute_loss` of TRL on these log-probabilities."""
    from trl.trainer.dpo_trainer import DPOTrainer

    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=_accelerator(),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        ref_model=GivenModel(tokens.reference),
        aux_loss_enabled=False,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        use_weighting=False,
        loss_types=losses,
        loss_weights=weights or [1.0] * len(losses),
        beta=beta,
        label_smoothing=label_smoothing,
        ld_alpha=ld_alpha,
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.zeros_like(tokens.mask),
        "attention_mask": torch.ones_like(tokens.mask),
        "completion_mask": tokens.mask,
    }
    method: Any = DPOTrainer._compute_loss
    return method(trainer, GivenModel(tokens.policy), inputs, False)


def assert_same(tokens: Tokens, ours: Tensor, theirs: Tensor) -> None:
    """Loss equal to 1e-6, and the gradient of every completion token (TRL's head puts no gradient on the others)."""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    (mine,) = torch.autograd.grad(ours, tokens.policy, retain_graph=True)
    (other,) = torch.autograd.grad(theirs, tokens.policy)
    assert other.abs().max() > 0
    completion = tokens.mask[:, 1:]
    torch.testing.assert_close(mine * completion, other * completion, rtol=1e-5, atol=1e-7)


@pytest.fixture(autouse=True)
def _peft_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    import trl.trainer.dpo_trainer as module

    monkeypatch.setattr(module, "is_peft_model", lambda model: False)
    monkeypatch.setattr(module, "disable_gradient_checkpointing", lambda *_: contextlib.nullcontext())


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        ("sigmoid", "sigmoid", {}),
        ("hinge", "hinge", {}),
        ("ipo", "ipo", {}),
        ("sigmoid_norm", "sigmoid_norm", {}),
        ({"name": "robust", "label_smoothing": 0.15}, "robust", {"label_smoothing": 0.15}),
        ({"name": "ld_dpo", "ld_alpha": 0.5}, "sigmoid", {"ld_alpha": 0.5}),
        ({"name": "ld_dpo", "ld_alpha": 0.0}, "sigmoid", {"ld_alpha": 0.0}),
    ],
    ids=str,
)
def test_dpo_trainer(tokens: Tokens, ours: Any, theirs: str, settings: dict[str, float], beta: float) -> None:
    losses, _ = build_objective(ours, beta)(tokens.terms())
    assert_same(tokens, losses.mean(), trl_dpo_loss(tokens, [theirs], beta=beta, **settings))


def test_nll_is_sft_where_every_token_counts_alike(tokens: Tokens) -> None:
    """TRL's mean is over the batch's tokens, ours over each pair's: equal once pairs are weighted by their tokens."""
    terms = tokens.terms()
    losses, _ = build_objective("nll")(terms)
    lengths = terms.need("chosen_tokens")
    theirs = trl_dpo_loss(tokens, ["sft"])
    assert_same(tokens, (losses * lengths).sum() / lengths.sum(), theirs)
    assert not torch.isclose(losses.mean(), theirs, rtol=1e-3)


def test_rpo_and_sums_are_weighted_losses(tokens: Tokens) -> None:
    """One length for all chosen responses, where both means agree."""
    tokens.mask[:PAIRS] = tokens.mask[:1].clone().fill_(1)
    tokens.mask[:, :PROMPT] = 0
    shape = tokens.policy.shape
    tokens.policy = (
        -torch.rand(shape, generator=torch.Generator().manual_seed(9)) * tokens.mask[:, 1:]
    ).requires_grad_()
    theirs = trl_dpo_loss(tokens, ["sigmoid", "sft"], [1.0, 0.2])
    assert_same(tokens, build_objective({"name": "rpo", "alpha": 0.2}, 0.1)(tokens.terms())[0].mean(), theirs)
    theirs = trl_dpo_loss(tokens, ["sigmoid", "sft"], [0.5, 0.2])
    parts = [{"name": "sigmoid", "weight": 0.5}, {"name": "nll", "weight": 0.2}]
    assert_same(tokens, build_objective(parts, 0.1)(tokens.terms())[0].mean(), theirs)


def test_trl_does_not_smooth_the_labels_of_sigmoid(tokens: Tokens) -> None:
    """Why cDPO is compared with CPO's code: DPOTrainer 1.16 reads label_smoothing under other losses only."""
    plain = trl_dpo_loss(tokens, ["sigmoid"], label_smoothing=0.2)
    torch.testing.assert_close(plain, build_objective("sigmoid", 0.1)(tokens.terms())[0].mean())
    smoothed = build_objective({"name": "cdpo", "label_smoothing": 0.2}, 0.1)(tokens.terms())[0].mean()
    assert not torch.isclose(plain, smoothed, rtol=1e-3)


def trl_cpo_losses(chosen: Tensor, rejected: Tensor, **settings: Any) -> Tensor:
    """`CPOTrainer.cpo_loss` of trl.experimental, [pairs]."""
    from trl.experimental.cpo import CPOTrainer

    defaults = {"alpha": 0.0, "beta": 0.1, "label_smoothing": 0.0, "loss_type": "sigmoid", "simpo_gamma": 0.5}
    method: Any = CPOTrainer.cpo_loss
    return method(SimpleNamespace(accelerator=_accelerator(), **(defaults | settings)), chosen, rejected)[0]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.4), (0.1, 0.5)])
def test_simpo(tokens: Tokens, beta: float, gamma: float, label_smoothing: float) -> None:
    terms = tokens.terms()
    means = terms.chosen / terms.need("chosen_tokens"), terms.rejected / terms.need("rejected_tokens")
    theirs = trl_cpo_losses(*means, loss_type="simpo", beta=beta, simpo_gamma=gamma, label_smoothing=label_smoothing)
    ours = build_objective({"name": "simpo", "gamma": gamma, "label_smoothing": label_smoothing}, beta)(terms)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert_same(tokens, ours.mean(), theirs.mean())


def test_cdpo(tokens: Tokens) -> None:
    """CPO's smoothed sigmoid, which has no reference, on log-ratios in place of log-probabilities: that is cDPO."""
    terms = tokens.terms()
    theirs = trl_cpo_losses(*terms.log_ratios(), label_smoothing=0.2)
    ours = build_objective({"name": "cdpo", "label_smoothing": 0.2}, 0.1)(terms)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert_same(tokens, ours.mean(), theirs.mean())


def test_ipo_as_printed(tokens: Tokens) -> None:
    """CPO's ipo takes what it is given; on summed log-ratios it is the paper's equation."""
    terms = tokens.terms()
    theirs = trl_cpo_losses(*terms.log_ratios(), loss_type="ipo")
    ours = build_objective({"name": "ipo", "reduction": "sum"}, 0.1)(terms)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_orpo(tokens: Tokens) -> None:
    """The odds-ratio term; TRL's likelihood also counts the prompt's tokens, ours the response's only."""
    from trl.experimental.orpo import ORPOTrainer

    terms = tokens.terms()
    means = terms.chosen / terms.need("chosen_tokens"), terms.rejected / terms.need("rejected_tokens")
    method: Any = ORPOTrainer.odds_ratio_loss
    theirs = -method(SimpleNamespace(beta=0.1, accelerator=_accelerator()), *means)[0]
    losses, metrics = build_objective("orpo", 0.1)(terms)
    ours = losses - (-means[0])
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(metrics["nll/chosen"], -means[0].detach())
    assert_same(tokens, ours.mean(), theirs.mean())


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.3, 0.7)])
@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_kto(tokens: Tokens, weights: tuple[float, float], shift: float) -> None:
    """`KTOTrainer._compute_loss`, with a reference point above 0 and one that is clamped to it."""
    from trl.trainer.kto_trainer import KTOTrainer

    draw = torch.Generator().manual_seed(3)
    mismatched = -torch.rand(2 * PAIRS, generator=draw) * 30
    ref_mismatched = mismatched - shift
    label = torch.tensor([True] * PAIRS + [False] * PAIRS)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=_accelerator(),
        _compute_kl_logps=lambda model, batch: mismatched,
        aux_loss_enabled=False,
        precompute_ref_logps=True,
        calculate_KL=True,
        loss_type="kto",
        beta=0.1,
        desirable_weight=weights[0],
        undesirable_weight=weights[1],
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {
        "input_ids": torch.zeros_like(tokens.mask),
        "attention_mask": torch.ones_like(tokens.mask),
        "completion_mask": tokens.mask,
        "label": label,
        "ref_logps": tokens.reference.sum(1),
        "ref_KL_logps": ref_mismatched,
    }
    method: Any = KTOTrainer._compute_loss
    theirs = method(trainer, GivenModel(tokens.policy), inputs, False)
    terms = UnpairedTerms.of_pairs(tokens.terms(), mismatched, ref_mismatched)
    loss = {"name": "kto", "desirable_weight": weights[0], "undesirable_weight": weights[1]}
    losses, metrics = build_objective(loss, 0.1)(terms)
    assert_same(tokens, losses.mean(), theirs)
    assert metrics["kl"][0].item() == pytest.approx(max(shift, 0.0), abs=1e-5)
    assert trainer._metrics["train"]["kl"] == pytest.approx([max(shift, 0.0)], abs=1e-5)
