"""Random batches of terms, as numpy for the oracle and as torch for ours."""

from typing import Any

import numpy as np
import torch

from shared.training.objectives import PairTerms, UnpairedTerms
from tests.shared.training.objectives.paper_formulas import Batch, Floats

WITH_GRADIENT = (
    "chosen",
    "rejected",
    "chosen_common",
    "rejected_common",
    "rationale",
    "contrast_chosen",
    "contrast_rejected",
)


def random_batch(seed: int, pairs: int = 6) -> dict[str, Floats]:
    """Pairs whose sums agree with their token counts: every sum is one of per-token log-probabilities."""
    draw = np.random.default_rng(seed)
    batch: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        batch.setdefault(name, []).append(float(value))

    for _ in range(pairs):
        lengths = {"chosen": int(draw.integers(1, 40)), "rejected": int(draw.integers(1, 40))}
        common = min(lengths.values())
        for side, length in lengths.items():
            policy = -draw.gamma(1.5, 0.8, size=length) - 0.05
            reference = np.minimum(policy + draw.normal(0, 0.3, size=length), -0.01)
            add(f"{side}_tokens", length)
            add(side, policy.sum())
            add(f"{side}_common", policy[:common].sum())
            add(f"ref_{side}", reference.sum())
            add(f"ref_{side}_common", reference[:common].sum())
            add(f"contrast_{side}", policy.sum() + draw.normal(0, 2))
            add(f"ref_contrast_{side}", reference.sum() + draw.normal(0, 2))
        words = int(draw.integers(1, 60))
        add("rationale", -draw.gamma(1.5, 0.8, size=words).sum())
        add("rationale_tokens", words)
        add("margin", draw.choice([0.2, 1.0, 3.0, 12.0]))
        add("soft_label", draw.uniform(0, 1))
    return {name: np.array(values) for name, values in batch.items()}


def as_terms(batch: Batch, dtype: torch.dtype = torch.float64, **more: Any) -> PairTerms:
    """The batch as tensors; those of the policy are leaves that ask for gradients."""
    tensors = {
        name: torch.tensor(values, dtype=dtype, requires_grad=name in WITH_GRADIENT) for name, values in batch.items()
    }
    return PairTerms(**tensors, **more)


def random_unpaired(seed: int, examples: int = 7) -> dict[str, Floats]:
    """Single responses with mismatched ones; sums as `random_batch` has them."""
    draw = np.random.default_rng(seed)
    policy = -draw.gamma(20, 2, size=examples)
    mismatched = -draw.gamma(30, 2, size=5)
    return {
        "policy": policy,
        "reference": policy + draw.normal(0, 3, size=examples),
        "desirable": (draw.uniform(size=examples) > 0.4).astype(np.float64),
        "mismatched": mismatched,
        "ref_mismatched": mismatched + draw.normal(-0.5, 2, size=5),
    }


def as_unpaired(batch: Batch, dtype: torch.dtype = torch.float64, **more: Any) -> UnpairedTerms:
    """The batch as tensors; those of the policy are leaves that ask for gradients."""
    asked = ("policy", "mismatched")
    tensors = {name: torch.tensor(values, dtype=dtype, requires_grad=name in asked) for name, values in batch.items()}
    return UnpairedTerms(**tensors, **more)
