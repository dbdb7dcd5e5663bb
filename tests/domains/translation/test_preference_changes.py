"""Preferences before and after: paired, also at equal latency; and what the report says of how pairs were scored."""

import json
import math

import numpy as np
import pytest

from domains.translation.data_config import PairLanguages
from domains.translation.latency.delays import Delays
from domains.translation.latency.logs import LoggedSentence, write_log
from domains.translation.pair_files import write_pairs
from domains.translation.preference_section import preference_changes
from domains.translation.preference_stage import KINDS, _changes, _nearest, measure_preferences
from domains.translation.records import SentencePair
from domains.translation.report import _pairs
from shared.digest import json_digest
from shared.durable import write_json
from shared.stages import StageContext


def test_the_threshold_of_nearest_latency_is_compared_with():
    latencies = {"offline": 4.4, "wait-k:3": 4.4, "threshold:0.5": 1.0, "threshold:0.75": 7.2, "threshold:0.65": 4.0}
    assert _nearest({**latencies, "threshold:0.75,2,4": 4.5}, 4.5) == "threshold:0.65"
    assert _nearest(latencies, 7.0) == "threshold:0.75"
    assert _nearest({"threshold:0.5": math.nan, "threshold:0.9": 9.0}, 1.0) == "threshold:0.9"


def test_changes_are_paired_over_the_sentences_that_have_both():
    before = [{"inversion_rate": 0.2, "quality": 0.5}, {"inversion_rate": 0.4, "quality": 0.5}, {"quality": 0.1}]
    after = [{"inversion_rate": 0.1, "quality": 0.5}, {"inversion_rate": 0.1, "quality": 0.6}, {"quality": 0.1}]
    found = _changes(before, after, ["a", "b", "c"])
    assert found["inversion_rate"]["sentences"] == 2
    assert found["inversion_rate"]["difference"]["difference"] == pytest.approx(-0.2)
    assert found["quality"]["sentences"] == 3
    assert found["quality"]["difference"]["difference"] == pytest.approx(np.mean([0, 0.1, 0]))
    assert found["number_recall"]["difference"]["difference"] is None
    assert found["number_recall"]["reason"]


@pytest.mark.parametrize(("mode", "told"), [("sample", True), ("endpoint", True), ("given", False)])
def test_weights_are_told_where_scores_decide(mode, told):
    summary = {"mode": mode, "weights": {"quality": 2.0, "latency": 1.24}, "origins": {"chosen": {"wait-k:1": 3}}}
    captions = [
        table.caption for table in _pairs({**summary, "origins": {**summary["origins"], "rejected": {}}}).tables
    ]
    assert ("What each preference counts in a score" in captions) == told
    assert "Where renderings came from" in captions


def _decoded(folder, pairs, by_rule):
    """A decode stage's folder: of each rule (text, delays) of every sentence."""
    for number, sentences in enumerate(by_rule.values()):
        place = folder / "logs" / str(number) / "instances.log"
        place.parent.mkdir(parents=True)
        rows = []
        for index, (pair, (text, delays)) in enumerate(zip(pairs, sentences, strict=True)):
            lengths = (float(len(pair.source_text.split())), len(pair.target_text.split()), len(text.split()))
            traced = Delays(tuple(map(float, delays)), *lengths, (0.0,) * len(delays))
            rows.append(LoggedSentence(index, text, pair.target_text, traced, pair.source_text))
        write_log(place, rows)
    write_json(folder / "decoding.json", {"rules": list(by_rule)})


def test_a_policy_that_only_reads_less_has_learned_no_other_words(tmp_path):
    """The fast threshold of the supervised policy is found, and what both write of the whole source is compared."""
    pairs = sorted(
        (
            SentencePair(
                f"p{n}", f"g{n}", f"f:{n}", f"eins zwei drei {word}", f"one two three {word}", f"{word} one two"
            )
            for n, word in enumerate(("haus", "baum", "hund"))
        ),
        key=lambda one: json_digest([one.source_text]),
    )
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "test"):
        write_pairs(data / f"{split}.arrow", pairs)
    exact = [(one.target_text, (4, 4, 4, 4)) for one in pairs]
    slow = [(one.target_text, (3, 4, 4, 4)) for one in pairs]
    fast = [(one.target_text, (1, 2, 3, 4)) for one in pairs]
    other = [(one.rejected_text, (1, 2, 3)) for one in pairs]
    _decoded(tmp_path / "before", pairs, {"threshold:0.5": fast, "threshold:0.8": slow, "offline": exact})
    _decoded(tmp_path / "after", pairs, {"threshold:0.8": other, "offline": exact})
    config = {
        "languages": PairLanguages(source="de", target="en", source_unit="word", target_unit="word").model_dump(),
        "shown": 0.8,
        "sentences": None,
        "alignment": "ibm1",
        "comparisons": KINDS,
    }
    inputs = {"data": data, "before": tmp_path / "before", "after": tmp_path / "after"}
    out = tmp_path / "out"
    out.mkdir()
    metrics = measure_preferences(StageContext(config, inputs, {}, {}, out, tmp_path))
    written = json.loads((out / "preferences.json").read_text(encoding="utf-8"))
    shown, equal, offline = written["comparisons"]
    assert (shown["before"], equal["before"], offline["before"]) == ("threshold:0.8", "threshold:0.5", "offline")
    assert equal["laal_before"] < 1.1 < shown["laal_before"]
    assert shown["measures"]["rejected_chrf"]["after"]["value"] == pytest.approx(1.0)
    assert equal["measures"]["quality"]["before"]["value"] == pytest.approx(1.0)
    assert metrics["preferences/quality_change"] < 0
    assert metrics["preferences/rejected_chrf_change"] > 0
    assert all(value == 0 for name, value in metrics.items() if name.endswith("_change_offline"))
    assert written["definitions"]["rejected_chrf"]["higher_is_better"] is None
    same = [
        {**one, "before": "threshold:0.8"} if one["kind"] == "equal-latency" else one for one in written["comparisons"]
    ]
    [first, *_] = preference_changes({**written, "comparisons": same}).tables
    assert first.caption.startswith("At one threshold, which is at about equal latency: SFT only at threshold:0.8")
    tables = preference_changes(written).tables
    assert [table.caption.split(":")[0] for table in tables[:3]] == [
        "At one threshold",
        "At about equal latency",
        "The whole source read",
    ]
