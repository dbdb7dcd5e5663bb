"""AER by hand, gold files and their faults, and the gold alignments of Chinese and English."""

import math

import pytest

from domains.translation.alignment import align
from domains.translation.alignment.error_rate import (
    GoldAlignment,
    alignment_error_rate,
    alignment_quality,
    read_gold,
)
from shared.errors import DataError


def test_by_hand():
    # |A| = 3, |S| = 2, |A & S| = 1, |A & P| = 2
    found, sure, possible = {(0, 0), (1, 2), (2, 2)}, {(0, 0), (1, 1)}, {(0, 0), (1, 1), (1, 2)}
    assert alignment_error_rate([found], [sure], [possible]) == pytest.approx(1 - 3 / 5)
    assert alignment_error_rate([sure], [sure], [possible]) == 0
    assert alignment_error_rate([{(5, 5)}], [sure], [possible]) == 1
    assert math.isnan(alignment_error_rate([set()], [set()], [set()]))


def test_sure_links_are_possible_whether_listed_so_or_not():
    assert alignment_error_rate([{(0, 0)}], [{(0, 0)}], [set()]) == 0


def test_counts_are_summed_over_sentences():
    gold = GoldAlignment([["a"]] * 2, [["b"]] * 2, [{(0, 0)}, {(0, 0)}], [{(0, 0)}, {(0, 0)}])
    quality = alignment_quality([{(0, 0)}, set()], gold, resamples=200)
    assert quality.error_rate.value == pytest.approx(1 - 2 / 3)
    assert (quality.precision, quality.recall) == (1.0, 0.5)
    assert quality.error_rate.low <= 1 / 3 <= quality.error_rate.high


def gold_files(folder, links):
    for name, text in (("s", "a b c\nd\n"), ("t", "x y\nz w\n"), ("l", links)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "s", folder / "t", folder / "l"


def test_gold_files(tmp_path):
    gold = read_gold(*gold_files(tmp_path, "2-1-P 0-0 \n\n"))
    assert gold.sources == [["a", "b", "c"], ["d"]]
    assert gold.sure == [{(0, 0)}, set()]
    assert gold.possible == [{(0, 0), (2, 1)}, set()]


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ("0-0\n0-0 x-1\n", "l:2: 'x-1' is no link"),
        ("0-0\n1-0\n", "l:2: the link 1-0 points beyond its sentence of 1 and 2 words"),
        ("0-2\n0-0\n", "l:1: the link 0-2 points beyond"),
        ("0-0\n", "unequal numbers of lines .s 2, t 2, l 1."),
    ],
)
def test_faults_of_gold_files(tmp_path, links, message):
    with pytest.raises(DataError, match=message):
        read_gold(*gold_files(tmp_path, links))


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="nothing cannot be read"):
        read_gold(tmp_path / "nothing", tmp_path / "nothing", tmp_path / "nothing")


def test_real_gold_alignments_are_source_first_from_0(real_data):
    folder = real_data / "translation" / "zh_en_gold_alignment"
    files = [folder / f"train.{ending}" for ending in ("zh", "en", "align")]
    gold = read_gold(*files)
    assert len(gold.sources) == 150
    assert all(sure <= possible for sure, possible in zip(gold.sure, gold.possible, strict=True))
    with pytest.raises(DataError, match="points beyond its sentence"):
        read_gold(files[1], files[0], files[2])
    links = align(gold.sources, gold.targets, "ibm1", source_unit="word", target_unit="word")
    assert alignment_error_rate(links, gold.sure, gold.possible) < 0.6
