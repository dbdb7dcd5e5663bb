"""Figures of whole logs: the published scores of a real system, intervals, what is left out, and notices."""

import math

import numpy as np
import pytest

from domains.translation.latency import Delays, LoggedSentence, sentence_latency, summarise
from domains.translation.latency.scoring import score_log, score_sentences
from shared.errors import DataError, UsageError

EXPECTED = {"YAAL": 1135.6097, "AL": 1803.9192, "LAAL": 1857.7128, "AP": 0.7948, "DAL": 3532.4812}
EXPECTED_SHARES = {"SWF": 32.9060, "EFSW": 81.1100}
EXPECTED_AWARE = {"YAAL": 1272.7485, "AL": 2021.1781, "LAAL": 2071.7031, "AP": 0.8903, "DAL": 3883.0303}


def test_the_published_scores_of_a_real_system(real_data):
    folder = real_data / "translation/latency_conformance"
    scores = score_log(folder / "instances.log.gz", folder / "references.txt", n_resamples=200)
    for name, value in (EXPECTED | EXPECTED_SHARES).items():
        assert scores.latency.figures[name].value == pytest.approx(value, abs=1e-3), name
    assert scores.aware is not None
    for name, value in EXPECTED_AWARE.items():
        assert scores.aware.figures[name].value == pytest.approx(value, abs=1e-3), name
    assert scores.quality["BLEU"][0].value == pytest.approx(18.2271, abs=1e-3)
    assert scores.quality["chrF"][0].value == pytest.approx(44.5324, abs=1e-3)
    assert scores.latency.degenerate is True
    assert (scores.latency.sentences, scores.latency.empty, scores.latency.left_out) == (2580, 0, 220)
    every = [
        *scores.latency.figures.values(),
        *scores.aware.figures.values(),
        *(one for one, _ in scores.quality.values()),
    ]
    assert all(one.low < one.value < one.high for one in every)
    assert any("2580 predictions end in `</s>`" in notice for notice in scores.notices)


def corpus(*rows):
    return [Delays(tuple(d), X, Y, len(d)) for d, X, Y in rows]


def test_what_is_left_out_is_counted():
    found = summarise(corpus(([1, 2, 3], 4, 3), ([4, 4], 4, 3), ([], 4, 3), ([2, 4], 4, 2)), n_resamples=50)
    assert (found.sentences, found.empty, found.left_out) == (4, 1, 1)
    assert found.figures["AL"].n == 3
    assert found.figures["YAAL"].n == 2
    assert found.figures["SWF"].value == pytest.approx(100 * 4 / 7)
    assert found.figures["AP"].value == pytest.approx(np.mean([6 / 12, 8 / 12, 6 / 8]))


def test_offline_and_empty_systems_have_no_yaal_and_say_so():
    offline = summarise(corpus(([4, 4], 4, 2), ([6] * 3, 6, 3)), n_resamples=50)
    assert offline.degenerate is None
    assert "does not translate simultaneously" in offline.verdict()
    assert offline.figures["YAAL"].method == "nothing was written before a source ended"
    assert offline.figures["SWF"].value == 0
    silent = summarise(corpus(([], 4, 2), ([], 6, 3)), n_resamples=50)
    assert silent.figures["AL"].method == "every prediction is empty"
    assert silent.to_json()["figures"]["AL"]["value"] is None
    assert summarise([], n_resamples=50).sentences == 0


def test_a_steady_system_is_not_degenerate_and_an_early_burst_is():
    steady = summarise(corpus(*[(list(range(1, 11)), 10, 10)] * 5), n_resamples=50)
    assert steady.degenerate is False
    assert steady.verdict().startswith("Not degenerate: 90.0 %")
    burst = summarise(corpus(*[([1] + [10] * 9, 10, 10)] * 5), n_resamples=50)
    assert burst.degenerate is True
    assert "10.0 % of the words" in burst.verdict()


def test_documents_are_resampled_together():
    rng = np.random.default_rng(0)
    rows, groups = [], []
    for document in range(12):
        start = int(rng.integers(1, 6))
        for _ in range(10):
            rows.append(([min(start + n, 10) for n in range(10)], 10, 10))
            groups.append(document)
    apart, together = summarise(corpus(*rows)), summarise(corpus(*rows), groups)
    widths = [one.figures["AL"].high - one.figures["AL"].low for one in (apart, together)]
    assert widths[1] > 2 * widths[0]
    with pytest.raises(ValueError, match="2 group ids for 120"):
        summarise(corpus(*rows), [1, 2])


def test_a_corpus_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    rows = [(np.sort(rng.integers(1, 9, rng.integers(0, 12))).tolist(), 8, 6) for _ in range(40)]
    whole = sentence_latency(corpus(*rows))
    monkeypatch.setattr("domains.translation.latency.summary._CELLS_AT_ONCE", 20)
    blocks = sentence_latency(corpus(*rows))
    for name, values in whole.lags.items():
        np.testing.assert_allclose(values, blocks.lags[name], rtol=1e-12)


def text(index, prediction, reference, delays, elapsed=None, source="a b c d"):
    return LoggedSentence(
        index, prediction, reference, Delays(tuple(delays), 4, len(reference.split(" ")), len(delays), elapsed), source
    )


TEXTS = [
    text(0, "the dog barks", "the dog is barking", [1, 2, 4], (10.0, 30.0, 90.0)),
    text(1, "a cat", "one cat", [2, 4], (15.0, 60.0)),
    text(2, "", "so it goes", []),
]


def test_a_text_needs_a_clock_for_computation_aware_figures():
    plain = score_sentences(TEXTS, n_resamples=50)
    assert plain.aware is None
    assert "--source-ms-per-unit" in plain.notices[0]
    timed = score_sentences(TEXTS, source_ms_per_unit=100, n_resamples=50)
    # (1/3)(110 + 230 - 400/4 + 490 - 2 * 400/4), (1/2)(215 + 460 - 400/2)
    assert timed.aware.figures["AL"].value == pytest.approx(np.mean([530 / 3, 475 / 2]))
    assert timed.aware.empty == 1
    with pytest.raises(UsageError, match="--source-ms-per-unit: a source unit cannot take -1"):
        score_sentences(TEXTS, source_ms_per_unit=-1, n_resamples=50)


def test_times_that_are_missing_or_on_another_clock():
    def notice(*rows, **more):
        return score_sentences(rows, n_resamples=20, **more).notices[0]

    assert "the log has no times of computing" in notice(text(0, "a b", "a b", [1, 2], (0, 0)))
    assert "1 sentences have no times of computing" in notice(TEXTS[0], text(1, "a b", "a b", [1, 2]))
    speech = text(0, "a b", "a b", [1000, 2000], (5.0, 9.0), source=None)
    assert "in 1 sentences `elapsed` lies before `delays`" in notice(speech)
    with pytest.raises(UsageError, match="leave out --source-ms-per-unit"):
        notice(speech, source_ms_per_unit=100)


def test_notices_of_texts_that_mislead():
    def notices(*rows, **more):
        return " ".join(score_sentences(rows, n_resamples=20, **more).notices)

    chinese = text(0, "狗在叫", "狗 在叫", [3], None)
    assert "give --unit char" in notices(chinese)
    by_character = LoggedSentence(0, "狗在叫", "狗在叫", Delays((1, 2, 4), 4, 3, 3), "the dog barks loudly")
    found = score_sentences([by_character], unit="char", n_resamples=20)
    assert "tok:zh" in found.quality["BLEU"][1]
    assert not any("--unit" in one for one in found.notices)
    assert "tokenizer 13a" in notices(by_character, unit="char", tokenizer="13a")
    assert "1 references hold double spaces" in notices(text(0, "a b", "a  b", [1, 2]))
    with pytest.raises(DataError, match="every reference is empty"):
        notices(LoggedSentence(0, "", "", Delays((), 4, 1, 0), "a"))


def test_json_holds_every_figure_and_no_nan():
    row = score_sentences(TEXTS, source_ms_per_unit=100, n_resamples=20).to_json()
    assert set(row["latency"]["figures"]) == {"AL", "LAAL", "YAAL", "AP", "DAL", "SWF", "EFSW"}
    assert set(row["quality"]) == {"BLEU", "chrF"}
    numbers = [value for part in row["latency"]["figures"].values() for value in part.values()]
    assert not any(isinstance(value, float) and math.isnan(value) for value in numbers)
