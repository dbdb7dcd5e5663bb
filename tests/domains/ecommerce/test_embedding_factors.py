"""Embedding factors on sentences whose vectors are built, and the encoder's own batches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from domains.ecommerce.factors import FACTORS, SummaryItem, embedding, measure, sentence_vectors
from domains.ecommerce.factors.embedding import REVIEW_VECTORS

NAMES = FACTORS.names(costs=["embedding"])
# Vectors of length one: "battery" along the first axis, "screen" along the second, "price" along the third.
AXES = {"battery": 0, "screen": 1, "price": 2}
REVIEWS = ("The battery is great.", "The battery is good. The screen is awful.")


def built(sentences: Sequence[str]) -> np.ndarray:
    vectors = np.full((len(sentences), 4), 1e-4)
    for row, sentence in enumerate(sentences):
        for word, axis in AXES.items():
            vectors[row, axis] += sentence.lower().count(word)
        vectors[row, 3] += not any(word in sentence.lower() for word in AXES)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16) if len(vectors) else vectors


@pytest.fixture(autouse=True)
def _built_vectors(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding, "sentence_vectors", built)
    REVIEW_VECTORS.clear()
    yield
    REVIEW_VECTORS.clear()


def of(summary: str, reviews: tuple[str, ...] = REVIEWS) -> dict[str, float]:
    return measure([SummaryItem(reviews, summary)], NAMES)[0]


def test_a_sentence_without_support() -> None:
    row = of("The battery is great. The price is low.")
    assert row["support"] == pytest.approx(0.5)
    assert row["support-strength"] == pytest.approx(0.5, abs=1e-3)
    assert row["support-weakest"] == pytest.approx(0.0, abs=1e-3)
    assert of("The battery is great.")["support"] == 1.0


def test_opinions_of_several_reviewers_are_broader() -> None:
    assert of("The battery is great.")["support-breadth"] == pytest.approx(2 / 3, abs=1e-3)
    assert of("The screen is awful.")["support-breadth"] == pytest.approx(1 / 3, abs=1e-3)


def test_what_of_the_reviews_is_reported() -> None:
    row = of("The battery is great.")
    assert row["review-coverage"] == pytest.approx(2 / 3, abs=1e-3)
    assert row["reported"] == pytest.approx(2 / 3)
    assert row["reviewer-coverage"] == pytest.approx(1.0, abs=1e-3)  # each reviewer spoke of the battery
    assert row["positive-coverage"] == pytest.approx(1.0, abs=1e-3)
    assert row["negative-coverage"] == pytest.approx(0.0, abs=1e-3)
    assert of("The battery is great. The screen is awful.")["negative-coverage"] == pytest.approx(1.0, abs=1e-3)


def test_polarities_that_the_reviews_have_not_fall_back_to_all_sentences() -> None:
    row = of("The battery is great.", ("It has a battery.", "It has a screen."))
    assert row["negative-coverage"] == row["positive-coverage"] == row["review-coverage"]


def test_opinions_against_the_nearest_reviews() -> None:
    right, wrong = of("The screen is awful."), of("The screen is wonderful.")
    assert right["opinion-faithfulness"] > 0.95
    assert wrong["opinion-faithfulness"] < 0.6


def test_redundancy_and_relevance() -> None:
    assert of("The battery is great. The battery is good.")["redundancy"] == pytest.approx(1.0, abs=1e-3)
    assert of("The battery is great. The screen is awful.")["redundancy"] == pytest.approx(0.0, abs=1e-3)
    three = of("The battery is great. The battery is good. The screen is awful.")
    assert three["redundancy"] == pytest.approx(1 / 3, abs=1e-3)
    assert of("The battery is great.")["redundancy"] == 0.0
    assert of("Battery. Battery. Screen.")["relevance"] == pytest.approx(1.0, abs=1e-3)
    assert of("The price is low.")["relevance"] == pytest.approx(0.0, abs=1e-2)


def test_an_empty_summary_has_no_support() -> None:
    row = of("")
    assert row["opinion-faithfulness"] == 0.5
    assert {value for name, value in row.items() if name != "opinion-faithfulness"} == {0.0}


def test_reviews_are_encoded_once_for_all_their_summaries(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counting(sentences: Sequence[str]) -> np.ndarray:
        asked.extend(sentences)
        return built(sentences)

    monkeypatch.setattr(embedding, "sentence_vectors", counting)
    items = [SummaryItem(REVIEWS, f"The battery is great {number}.") for number in range(5)]
    measure(items[:3], NAMES)
    measure(items[3:], NAMES)
    assert sum(sentence in ("The screen is awful.",) for sentence in asked) == 1
    assert len(asked) == 3 + 5


@pytest.fixture
def _tiny_encoder_in_use(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    from shared.models import load_encoder, load_tokenizer

    loaded = load_tokenizer(tiny_encoder), load_encoder(tiny_encoder), "cpu"
    monkeypatch.setattr(sentence_vectors, "_encoder", lambda: loaded)


@pytest.mark.usefixtures("_tiny_encoder_in_use")
def test_vectors_are_means_of_states_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    sentences = ["a short one", "b", "a much longer sentence of many letters, which needs padding", "b"]
    together = sentence_vectors.sentence_vectors(sentences)
    assert together.dtype == np.float16
    assert together.shape == (4, 32)
    np.testing.assert_array_equal(together[1], together[3])
    np.testing.assert_allclose(np.linalg.norm(together.astype(np.float64), axis=1), 1.0, atol=2e-3)
    monkeypatch.setattr(sentence_vectors, "TOKENS_AT_ONCE", 1)  # one sentence a batch
    alone = sentence_vectors.sentence_vectors(sentences)
    np.testing.assert_allclose(alone.astype(np.float64), together.astype(np.float64), atol=1e-3)
    tokenizer, encoder, _ = sentence_vectors._encoder()
    with torch.inference_mode():
        states = encoder(**tokenizer("a short one", return_tensors="pt")).last_hidden_state[0].mean(0)
    expected = torch.nn.functional.normalize(states, dim=0).numpy()
    np.testing.assert_allclose(together[0], expected, atol=1e-3)


@pytest.mark.usefixtures("_tiny_encoder_in_use")
def test_no_sentence_and_a_very_long_one() -> None:
    assert sentence_vectors.sentence_vectors([]).shape == (0, 32)
    long = sentence_vectors.sentence_vectors(["a " * 5_000, "a " * 100])
    np.testing.assert_allclose(long[0].astype(float), long[1].astype(float), atol=2e-3)  # both cut at the same token


@pytest.mark.slow
def test_the_packaged_encoder_knows_what_is_alike(packaged_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_vectors, "models_folder", lambda: packaged_cache)
    sentence_vectors._encoder.cache_clear()
    first, same, other = sentence_vectors.sentence_vectors(
        ["The battery lasts all day.", "Battery life is excellent, a full day.", "The colour of the curtains faded."]
    ).astype(float)
    sentence_vectors._encoder.cache_clear()
    assert first @ same > 0.6 > 0.3 > first @ other
