"""BLEU, chrF and COMET from counts: sacreBLEU's own scores on the corpus and on any resample of it."""

import os
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from domains.translation.quality import (
    bleu_of_sums,
    bleu_statistics,
    chrf_of_sums,
    chrf_statistics,
    comet_statistics,
    tokenizer_of,
)
from domains.translation.resampling import resample_weights
from shared.errors import DataError, SystemStateError, UsageError

WORDS = ["the", "a", "dog", "cat", "barks", "sleeps", ",", ".", "in", "house", "我", "在", "叫", "狗"]


def texts(rng, n, longest):
    return [" ".join(rng.choice(WORDS, rng.integers(0, longest))) for _ in range(n)]


@pytest.mark.parametrize("longest", [2, 4, 15])
@pytest.mark.parametrize("tokenizer", ["13a", "zh", "char", "none"])
def test_the_corpus_score_is_sacrebleus(longest, tokenizer):
    for seed in range(6):
        rng = np.random.default_rng([seed, longest])
        predictions, references = texts(rng, 12, longest), texts(rng, 12, longest)
        bleu = BLEU(tokenize=tokenizer)
        expected = bleu.corpus_score(predictions, [references]).score
        counted = bleu_statistics(predictions, references, tokenizer)
        assert counted.corpus() == pytest.approx(expected, abs=1e-9)
        assert counted.signature == str(bleu.get_signature())
        chrf = CHRF()
        counted = chrf_statistics(predictions, references)
        assert counted.corpus() == pytest.approx(chrf.corpus_score(predictions, [references]).score, abs=1e-9)
        assert counted.signature == str(chrf.get_signature())


def test_every_resample_has_the_score_of_its_sentences():
    rng = np.random.default_rng(0)
    predictions, references = texts(rng, 9, 8), texts(rng, 9, 8)
    weights = np.concatenate(list(resample_weights(9, None, 15, 3)))
    assert (weights.sum(axis=1) == 9).all()
    for counted, metric in (
        (bleu_statistics(predictions, references), BLEU()),
        (chrf_statistics(predictions, references), CHRF()),
    ):
        scores = counted.scores(weights @ counted.counts)
        for row, score in zip(weights, scores, strict=True):
            drawn = [n for n, times in enumerate(row) for _ in range(int(times))]
            expected = metric.corpus_score([predictions[n] for n in drawn], [[references[n] for n in drawn]]).score
            assert score == pytest.approx(expected, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=4, max_size=4), st.integers(0, 12), st.integers(0, 12))
def test_bleu_of_any_counts(matches, length, reference):
    total = [max(0, length - n) for n in range(4)]
    matches = [min(one, most) for one, most in zip(matches, total, strict=True)]
    expected = BLEU.compute_bleu(list(matches), list(total), length, reference, smooth_method="exp").score
    assert bleu_of_sums([length, reference, *matches, *total]) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=6, max_size=6), st.integers(0, 9))
def test_chrf_of_any_counts(orders, matched):
    counts = [one for p, r in orders for one in (p, r, min(p, r, matched))]
    assert chrf_of_sums(counts) == pytest.approx(CHRF()._compute_f_score(counts), abs=1e-9)


def test_interval_and_its_limits():
    rng = np.random.default_rng(1)
    references = texts(rng, 60, 15)
    predictions = [text if n % 2 else text[: len(text) // 2] for n, text in enumerate(references)]
    found = chrf_statistics(predictions, references).estimate(n_resamples=300)
    assert found.low < found.value < found.high
    assert found.high - found.low < 40
    one = chrf_statistics(["a dog"], ["a dog"]).estimate()
    assert one.value == pytest.approx(100)
    assert not one.has_interval()
    assert chrf_statistics([], []).estimate().method == "no sentences"
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        chrf_statistics(["a"], ["a", "b"])


def test_groups_are_drawn_together_and_blocks_do_not_matter(monkeypatch):
    groups = ["x", "x", "y", "y", "y", "z"]
    whole = np.concatenate(list(resample_weights(6, groups, 50, 0)))
    assert (whole[:, 0] == whole[:, 1]).all()
    assert (whole[:, 2] == whole[:, 4]).all()
    assert (whole[:, [0, 2, 5]].sum(axis=1) == 3).all()
    monkeypatch.setattr("domains.translation.resampling._CELLS_AT_ONCE", 20)
    np.testing.assert_array_equal(np.concatenate(list(resample_weights(6, groups, 50, 0))), whole)


def test_the_tokenizer_of_a_language(monkeypatch):
    assert [tokenizer_of(one) for one in ("zh", "zh-TW", "de", "EN")] == ["zh", "zh", "13a", "13a"]
    monkeypatch.setattr("domains.translation.quality._has_mecab", lambda language: False)
    assert tokenizer_of("ja") == "char"
    with pytest.raises(SystemStateError, match=r"pip install 'sacrebleu\[ja\]'"):
        bleu_statistics(["a"], ["a"], "ja-mecab")
    monkeypatch.setattr("domains.translation.quality._has_mecab", lambda language: True)
    assert tokenizer_of("ja-JP") == "ja-mecab"
    with pytest.raises(UsageError, match="'flores200' is unknown here: give one of 13a"):
        bleu_statistics(["a"], ["a"], "flores200")


def test_comet_is_asked_for_only_where_it_is(tmp_path, monkeypatch):
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "comet" else real(name))
    with pytest.raises(SystemStateError, match="pip install unbabel-comet"):
        comet_statistics(["a"], ["b"], ["c"], tmp_path / "model.ckpt")


def test_comet_reads_weights_only_and_scores_sentences(tmp_path, monkeypatch):
    """The package stands in here by its interface: it is no dependency."""
    seen = {}

    class Model:
        def predict(self, rows, batch_size, gpus, progress_bar):
            seen["rows"] = rows
            return types.SimpleNamespace(scores=[len(row["mt"]) / 10 for row in rows])

    def load(path, local_files_only):
        seen["weights only"] = os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        if "bad" in path:
            raise RuntimeError("bad magic")
        return Model()

    monkeypatch.setitem(sys.modules, "comet", types.SimpleNamespace(load_from_checkpoint=load, __spec__=object()))
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with pytest.raises(DataError, match="ckpt file of a COMET model"):
        comet_statistics(["a"], ["b"], ["c"], tmp_path / "model.ckpt")
    (tmp_path / "model.ckpt").touch()
    (tmp_path / "bad.ckpt").touch()
    found = comet_statistics(["s", "t"], ["ab", "abcd"], ["r", "q"], tmp_path / "model.ckpt")
    assert found.corpus() == pytest.approx(0.3)
    assert seen["rows"][1] == {"src": "t", "mt": "abcd", "ref": "q"}
    assert seen["weights only"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    with pytest.raises(DataError, match="no COMET checkpoint"):
        comet_statistics(["a"], ["b"], ["c"], tmp_path / "bad.ckpt")
