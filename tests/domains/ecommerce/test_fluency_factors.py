"""Fluency: log-probabilities of summaries in batches equal those of the model's own logits, text by text."""

from pathlib import Path

import numpy as np
import pytest

from domains.ecommerce.factors import FACTORS, SummaryItem, fluency, measure
from shared.device import DeviceChoice

NAMES = FACTORS.names(costs=["language-model"])


@pytest.fixture(autouse=True)
def _tiny_model_in_use(tiny_model: Path, monkeypatch: pytest.MonkeyPatch):
    from shared.models import load_causal_lm, load_tokenizer

    loaded = load_tokenizer(tiny_model), load_causal_lm(tiny_model), DeviceChoice("cpu", False, "CPU, float32")
    monkeypatch.setattr(fluency, "_model", lambda: loaded)


def oracle(text: str) -> np.ndarray:
    import torch

    tokenizer, model, _ = fluency._model()
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    with torch.inference_mode():
        logps = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
    return logps.gather(1, ids[0, 1:, None])[:, 0].numpy()


@pytest.mark.parametrize("tokens_at_once", [1, 40, 4_000])
def test_batches_of_any_size_give_the_models_log_probabilities(
    tokens_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fluency, "TOKENS_AT_ONCE", tokens_at_once)
    texts = ["The battery is great.", "No.", "", "A screen that is so bright that nobody needs a lamp."]
    found = fluency.token_logps(texts)
    assert [len(one) for one in found] == [len(text) for text in texts]  # the tiny model's tokens are bytes
    for text, logps in zip(texts, found, strict=True):
        if text:
            np.testing.assert_allclose(logps, oracle(text), atol=1e-4)


def test_the_mean_and_its_worst_tenth() -> None:
    text = "The battery is great, really."
    row = measure([SummaryItem(("Good.",), text)], NAMES)[0]
    logps = oracle(text)
    assert row["fluency"] == pytest.approx(logps.mean(), abs=1e-4)
    assert row["fluency-worst"] == pytest.approx(np.sort(logps)[:3].mean(), abs=1e-4)


def test_an_empty_summary_is_worse_than_any_text() -> None:
    rows = measure([SummaryItem(("Good.",), ""), SummaryItem(("Good.",), "~~~ qx\ud800 zzz")], NAMES)
    assert rows[0]["fluency"] == fluency.NO_TOKENS < rows[1]["fluency"]


def test_reviews_do_not_matter_to_fluency_and_long_texts_are_cut() -> None:
    same = [SummaryItem((review,), "It is good. " * 400) for review in ("Good.", "Bad.")]
    first, second = measure(same, ["fluency"])
    assert first == second
    assert len(fluency.token_logps([same[0].summary])[0]) <= fluency.MOST_TOKENS
