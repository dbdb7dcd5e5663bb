"""Toy preferences whose features say, with noise, which summary is preferred."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.records import Message, PreferenceRecord

GIVEN = ("given.aspect-coverage", "given.conciseness", "given.relevance")
MEASURED = ("measured.length", "measured.support")


def toy_record(number: int, product: int, rng: np.random.Generator, families: tuple[str, ...]) -> PreferenceRecord:
    """A pair of one product; the logit of the preference is 2 (difference of support) + .5 (difference of coverage)."""
    names = [name for name in (*GIVEN, *MEASURED) if name.partition(".")[0] in families]
    sides: list[dict[str, float]] = []
    for _ in range(2):
        sides.append(dict(zip((*GIVEN, *MEASURED), rng.normal(size=5).tolist(), strict=True)))
    logit = 2.0 * (sides[0]["measured.support"] - sides[1]["measured.support"])
    logit += 0.5 * (sides[0]["given.aspect-coverage"] - sides[1]["given.aspect-coverage"])
    if rng.random() > 1.0 / (1.0 + np.exp(-logit)):
        sides.reverse()
    tiers = sorted(rng.integers(0, 3, size=2).tolist(), reverse=bool(rng.random() < 0.2))
    words = rng.integers(20, 60, size=2).tolist()
    return PreferenceRecord(
        id=f"pair-{number}",
        group_id=f"product-{product}",
        source=f"toy.jsonl:{number + 1}",
        prompt=(Message("user", f"Reviews:\n- a fine kettle {product}\n- boils fast\n\nSummarise them."),),
        chosen=f"good {number} " + "kettle " * words[0],
        rejected=f"bad {number} " + "kettle " * words[1],
        scores_chosen={name: sides[0][name] for name in names},
        scores_rejected={name: sides[1][name] for name in names},
        covariates_chosen={"tier": float(tiers[0])},
        covariates_rejected={"tier": float(tiers[1])},
    )


@pytest.fixture
def toy_preferences() -> Callable[..., list[PreferenceRecord]]:
    """(pairs, products, seed, families of scores) to records."""

    def make(
        pairs: int = 120, products: int = 60, seed: int = 0, families: tuple[str, ...] = ("given", "measured")
    ) -> list[PreferenceRecord]:
        rng = np.random.default_rng(seed)
        return [toy_record(number, number % products, rng, families) for number in range(pairs)]

    return make


@pytest.fixture
def quick() -> Callable[..., dict[str, Any]]:
    """Changes to a small study's configuration."""

    def make(**changes: Any) -> dict[str, Any]:
        small = {"folds": 4, "inner_folds": 2, "l2": [0.01, 0.3], "network": None, "curve": None, "n_resamples": 200}
        return {**small, **changes}

    return make
