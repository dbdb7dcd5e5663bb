import csv
import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest

from shared.deidentify.measured import MEASURED

pytest.importorskip("spacy", reason="name recognition needs spaCy")

from shared.deidentify import name_lists
from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.deidentifier import Deidentifier
from shared.errors import SystemStateError

_FILE = Path(__file__).parents[3] / "benchmarks/deidentify_quality.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("deidentify_quality", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_set_is_large_and_its_spans_are_sound(benchmark):
    rows = benchmark.read_labelled()
    assert len(rows) >= 150
    for row in rows:
        assert all(row["text"][a:b].strip() == row["text"][a:b] != "" for a, b, _ in row["spans"])


def test_floors_with_names_on(benchmark):
    table = benchmark.measure(True)
    assert table["NAME cased"]["recall"] >= 0.9
    assert table["NAME lower"]["recall"] >= 0.75
    assert table["NAME"]["precision"] >= 0.85
    assert table["all"]["recall"] >= 0.9
    for entity in ("EMAIL", "PHONE", "URL", "ADDRESS", "ID", "CARD", "IP", "HANDLE", "SECRET"):
        assert table[entity]["recall"] >= 0.85
        assert table[entity]["precision"] >= 0.85


def test_floors_with_names_off_and_numbers_shown_are_the_measured_ones(benchmark):
    table = benchmark.measure(False)
    assert table["NAME"]["precision"] >= 0.9
    assert table["PHONE"]["recall"] >= 0.85
    assert MEASURED["names off"] == table


def test_crisis_lines_stay():
    from domains.counseling.deidentify import counseling_deidentify

    text = "Call 988 or 1-800-273-8255, text HOME to 741741, see https://988lifeline.org/chat, or dial 911."
    masker = Deidentifier(counseling_deidentify(DeidentifyConfig()))
    assert masker.mask_text(text)[0] == text
    assert masker.mask_text("call 555-201-3348")[0] == "call [PHONE_1]"


def test_names_link_within_a_text():
    masked, _ = Deidentifier().mask_text("Sherry Katz called. I like Sherry. My boss Tom Ruiz and sherry katz met.")
    assert masked == "[NAME_1] called. I like [NAME_1]. My boss [NAME_2] and [NAME_1] met."


def test_missing_package_is_named_with_the_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(SystemStateError, match="pip install"):
        name_lists.check_package("philter-lite")


def test_altered_package_is_refused(monkeypatch):
    monkeypatch.setitem(name_lists.PINNED["philter-lite"], "philter_lite/filters/set.toml", "0" * 64)
    with pytest.raises(SystemStateError, match="sha256"):
        name_lists.check_package("philter-lite")


def test_counsel_chat_is_masked_and_its_crisis_lines_stay():
    folder = os.environ.get("VALIGN_DATA_DIR")
    if not folder:
        pytest.skip("VALIGN_DATA_DIR is not set: the real counsel_chat file is not here")
    from domains.counseling.deidentify import counseling_deidentify

    with (Path(folder) / "counseling/counsel_chat.csv").open(encoding="utf-8", newline="") as file:
        answers = sorted({row["answerText"] for row in csv.DictReader(file)})
    masker = Deidentifier(counseling_deidentify(DeidentifyConfig(recognise_names=False)))
    found = [finding for text in answers for finding in masker.mask_text(text)[1]]
    counts = {entity: sum(f.entity == entity for f in found) for entity in ("URL", "PHONE", "NAME")}
    assert counts["URL"] > 100
    assert counts["PHONE"] > 15
    assert counts["NAME"] > 50
    assert masker.report.allowed > 5


def test_odd_texts_do_no_harm():
    masker = Deidentifier()
    for text in (
        "\ud800 Sarah said",
        "",
        " ",
        "\x00",
        "Sarah" * 5000,
        "\N{PERSON WITH FOLDED HANDS} sarah",
        "我叫李雷",
    ):
        masked, findings = masker.mask_text(text)
        assert bool(findings) == (masked != text)
