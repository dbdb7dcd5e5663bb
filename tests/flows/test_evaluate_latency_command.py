"""`valign evaluate latency` as a user starts it, beside `valign evaluate DOMAIN`, which is as it was."""

import json

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from shared.errors import DataError, SystemStateError, UsageError


def evaluate(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def log(tmp_path):
    def row(index, prediction, delays, elapsed):
        return {
            "index": index, "prediction": prediction, "delays": delays, "elapsed": elapsed,
            "prediction_length": len(delays), "reference": "the old dog barks", "source": "der alte Hund bellt",
            "source_length": 4,
        }  # fmt: skip

    rows = [
        row(0, "the old dog barks", [1, 2, 3, 4], [5, 10, 15, 20]),
        row(1, "the dog barks", [2, 3, 4], [5, 10, 15]),
        row(2, "", [], []),
        row(3, "an old dog", [4, 4, 4], [9, 9, 9]),
    ]
    path = tmp_path / "instances.log"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def test_a_table_of_all_figures(log):
    result = evaluate("latency", log)
    assert result.exit_code == 0, result.output
    for name in ("AL", "LAAL", "YAAL", "AP", "DAL", "SWF", "EFSW", "BLEU", "chrF"):
        assert f"\n{name} " in result.stdout
    assert "computation-aware)" not in result.stdout
    assert "1 empty predictions (in no latency figure); 1 sentences left out by YAAL" in result.stdout
    assert "tok:13a" in result.stdout
    assert "--source-ms-per-unit" in result.stdout
    assert "egenerate" in result.stdout


def test_json_and_options(log, tmp_path):
    references = tmp_path / "references.txt"
    references.write_text("the old dog barks\n" * 4)
    result = evaluate(
        "latency", log, references, "--json", "--source-ms-per-unit", "300", "--tokenizer", "none", "--unit", "word"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["log"] == "instances.log"
    assert found["measure"] == "source units"
    assert found["latency"]["empty_predictions"] == 1
    assert found["latency"]["left_out_by_yaal"] == 1
    assert found["latency"]["figures"]["AL"]["value"] == pytest.approx((1 + (2 + 3 - 1 + 4 - 2) / 3 + 4) / 3)
    assert found["computation_aware"]["figures"]["AL"]["value"] > 300
    assert "tok:none" in found["quality"]["BLEU"]["signature"]
    assert found["quality"]["chrF"]["low"] <= found["quality"]["chrF"]["value"]


def test_the_published_scores_come_out_of_the_command(real_data):
    folder = real_data / "translation/latency_conformance"
    result = evaluate("latency", folder / "instances.log.gz", folder / "references.txt", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    expected = dict(
        line.split("\t")
        for line in (folder / "scores.tsv").read_text().splitlines()
        if line and not line.startswith("metric")
    )
    for name in ("YAAL", "AL", "LAAL", "AP", "DAL"):
        for part, kind in (("latency", "CU"), ("computation_aware", "CA")):
            value = found[part]["figures"][name]["value"]
            assert value == pytest.approx(float(expected[f"{name} ({kind})"]), abs=1e-3), (name, kind)
    for name in ("BLEU", "chrF"):
        assert found["quality"][name]["value"] == pytest.approx(float(expected[name]), abs=1e-3)
    shares = found["latency"]["figures"]
    assert shares["SWF"]["value"] == pytest.approx(float(expected["Simultaneous Words Fraction (%)"]), abs=1e-3)
    assert shares["EFSW"]["value"] == pytest.approx(float(expected["Expected Simul. Words Fraction (%)"]), abs=1e-3)
    assert found["latency"]["degenerate"] is (expected["Likely Degenerate Simultaneous Policy"] == "YES")


def test_faults_are_one_sentence_of_the_documented_kind(log, tmp_path):
    missing = evaluate("latency", tmp_path / "none.log").exception
    assert isinstance(missing, DataError)
    assert "none.log is not there" in str(missing)
    wrong = evaluate("latency", log, "--tokenizer", "13b").exception
    assert isinstance(wrong, UsageError)
    assert "'13b' is unknown here" in str(wrong)
    by_character = evaluate("latency", log, "--unit", "char").exception
    assert isinstance(by_character, DataError)
    assert "instances.log:1: has 4 delays for a prediction of 14 chars: give --unit" in str(by_character)
    comet = evaluate("latency", log, "--comet", tmp_path / "model.ckpt").exception
    assert isinstance(comet, SystemStateError | DataError)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["latency"], "Missing argument 'log'"),
        (["latency", "x", "--unit", "syllable"], "--unit"),
        (["latency", "x", "--model", "y"], "--model"),
        ([], "Missing argument 'domain'"),
        (["tiny"], "'--model'"),
        (["tiny", "latency", "--model", "x"], "unexpected extra argument"),
    ],
)
def test_what_is_not_understood_ends_with_code_2(arguments, words):
    result = evaluate(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_domain_is_evaluated_as_before(monkeypatch):
    started = []
    monkeypatch.setattr("flows.cli.run_command.start", lambda *given, **more: started.append((given, more)))
    given = ("--model", "latency", "counseling", "--recipe", "gpu", "--set", "align.beta=0.1", "--dry-run")
    assert evaluate(*given).exit_code == 0
    ((domain, request), more) = started[0]
    assert (domain, request.evaluate, request.recipe, request.overrides) == (
        "counseling", "latency", "gpu", ["align.beta=0.1"],
    )  # fmt: skip
    assert more == {"dry_run": True, "as_json": False}


def test_help_shows_both():
    shown = evaluate("--help").stdout
    assert "--model" in shown
    assert "valign evaluate latency LOG" in shown
    assert "--source-ms-per-unit" in evaluate("latency", "--help").stdout
