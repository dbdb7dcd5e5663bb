"""Logs in SimulEval's format: read, written, refused with a sentence, and scored again by SimulEval."""

import gzip
import json
from argparse import Namespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation.latency import Delays, LoggedSentence, read_log, summarise, write_log
from shared.errors import DataError

ROW = {
    "index": 0,
    "prediction": "Der Hund </s>",
    "delays": [1, 2, 2],
    "elapsed": [0, 0, 0],
    "prediction_length": 3,
    "reference": "Der Hund bellt.\n",
    "source": "The dog barks .",
    "source_length": 4,
}


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="instances.log"):
        lines = [row if isinstance(row, str) else json.dumps({**ROW, "index": n, **row}) for n, row in enumerate(rows)]
        path = tmp_path / name
        data = "".join(line + "\n" for line in lines).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.mark.parametrize("name", ["instances.log", "instances.log.gz"])
def test_a_log_is_read_as_simuleval_scores_it(write, name):
    (one,) = read_log(write({}, name=name))
    assert one == LoggedSentence(
        0, "Der Hund </s>", "Der Hund bellt.", Delays((1, 2, 2), 4, 3, 3, (0, 0, 0)), ROW["source"]
    )


def test_a_folder_stands_for_the_log_in_it_and_references_replace_those_logged(write, tmp_path):
    write({"index": 1}, {"index": 0, "prediction": "", "delays": [], "elapsed": []})
    references = tmp_path / "references.txt"
    references.write_text("eins\nzwei drei  vier\r\n")
    first, second = read_log(tmp_path, references=references)
    assert (first.index, first.reference, first.delays.delays) == (0, "eins", ())
    assert (second.reference, second.delays.reference_length) == ("zwei drei  vier", 4)


def test_characters(write):
    row = {"prediction": "狗 叫 AB", "delays": [1, 2, 2, 3], "elapsed": [], "reference": "狗在叫。"}
    (one,) = read_log(write(row), "char")
    assert one.delays == Delays((1, 2, 2, 3), 4, 4, 4)
    wide = {**row, "prediction": "狗\u3000叫 AB"}
    assert read_log(write(wide), "char")[0].delays.prediction_length == 4


FAULTS = [
    (['{"index": 0, "prediction": '], "instances.log:1: is broken JSON"),
    (["[]"], "instances.log:1: is a JSON list, not an object"),
    ([{}, json.dumps({"index": 1, "prediction": "a"})], "instances.log:2: has no key 'delays' and 'source_length'"),
    ([{"reference": 3}], "instances.log:1: 'reference' is not a text"),
    ([{"prediction": 3}], "'prediction' is not a text"),
    ([{"delays": [1, "2", 3]}], "'delays' is not a list of numbers"),
    ([{"delays": [1, True, 3]}], "'delays' is not a list of numbers"),
    ([{"source_length": "4"}], "'source_length' is not a number"),
    ([{"index": 1.5}], "'index' is not a whole number"),
    ([{"delays": [1, 2, 2, 4]}], "instances.log:1: has 4 delays for a prediction of 3 words: give --unit"),
    ([{"prediction": "Der Hund"}], "has 3 delays for a prediction of 2 words"),
    ([{"delays": [2, 1, 2]}], "instances.log:1: holds delays that go back (2, then 1 at unit 2)"),
    ([{"delays": [1, 2, float("nan")]}], "instances.log:1: holds delay 3 is negative, too large or no number"),
    ([{"elapsed": [1.0]}], "holds 1 elapsed times for 3 delays"),
    ([{"source_length": 0}], "although source or reference is empty"),
    ([{"durations": [1.0]}], "is of speech output"),
    ([{}, {"index": 0}], "holds sentence 0 twice"),
    ([], "holds no sentence"),
]


@pytest.mark.parametrize(("rows", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_fault_is_one_sentence_with_its_place(write, rows, words):
    with pytest.raises(DataError) as raised:
        read_log(write(*rows))
    message = str(raised.value)
    assert words in message
    assert message.endswith(".")


def test_references_that_do_not_fit_are_refused(write, tmp_path):
    references = tmp_path / "references.txt"
    references.write_text("eins\n")
    with pytest.raises(DataError, match=r"references\.txt has 1 lines for the 2 sentences of instances.log"):
        read_log(write({}, {}), references=references)
    with pytest.raises(DataError, match=r"none\.txt is not there"):
        read_log(write({}), references=tmp_path / "none.txt")
    references.write_text("eins\nzwei\n")
    with pytest.raises(DataError, match="leaves out sentences"):
        read_log(write({"index": 3}, {"index": 7}), references=references)
    bare = {key: value for key, value in ROW.items() if key != "reference"}
    with pytest.raises(DataError, match=r"instances\.log:1: has no reference: give the file"):
        read_log(write(json.dumps(bare)))
    with pytest.raises(DataError, match="is not there: give SimulEval's"):
        read_log(tmp_path / "none.log")


WORDS = st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_written_is_read_again(tmp_path_factory, data):
    rows = []
    for _ in range(data.draw(st.integers(1, 4))):
        units, reference = data.draw(WORDS), data.draw(WORDS)
        if len(" ".join(units).split()) != len(units) or len(" ".join(reference).split()) != len(reference):
            continue
        delays = sorted(data.draw(st.lists(st.integers(0, 9), min_size=len(units), max_size=len(units))))
        timed = data.draw(st.booleans())
        elapsed = tuple(float(n + 1) for n in range(len(units))) if timed else None
        measured = Delays(tuple(delays), 9, len(reference), len(units), elapsed)
        rows.append(LoggedSentence(len(rows), " ".join(units), " ".join(reference), measured, "a b c"))
    if not rows:
        return
    path = tmp_path_factory.mktemp("log") / "instances.log"
    write_log(path, rows)
    assert read_log(path) == rows


def test_simuleval_scores_what_was_written(tmp_path):
    pytest.importorskip("simuleval")
    from simuleval.evaluator import SentenceLevelEvaluator

    rows = []
    for index in range(20):
        delays = tuple(min(1 + (index % 3) + n, 8) for n in range(5 + index % 6))
        text = " ".join(f"w{n}" for n in range(len(delays)))
        rows.append(LoggedSentence(index, text, "a b c d e f g", Delays(delays, 8, 7, len(delays)), "s " * 7 + "s"))
    write_log(tmp_path / "instances.log", rows)
    names = ["AL", "LAAL", "AP", "DAL"]
    args = Namespace(
        output=str(tmp_path), score_only=True, no_scoring=False, source_segment_size=1, source_type="text",
        target_type="text", eval_latency_unit="word", start_index=0, end_index=-1, no_progress_bar=True,
        latency_metrics=names, quality_metrics=[], computation_aware=False, no_use_ref_len=False,
    )  # fmt: skip
    theirs = SentenceLevelEvaluator.from_args(args).latency
    ours = summarise([one.delays for one in read_log(tmp_path)], n_resamples=10).figures
    for name in names:
        assert ours[name].value == pytest.approx(theirs[name], rel=1e-12)
