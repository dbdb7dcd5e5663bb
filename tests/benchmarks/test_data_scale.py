"""The data benchmark, and on its rows the recipe's `data.near_duplicates` from the file to what is written down."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.data_scale import RATES, STAGES, Clock, slope, synthetic_rows, write_rows
from domains.counseling.data import SPLITS, CounselingDataConfig, prepare
from shared.data.record_files import read_records
from shared.lint.config import LintConfig
from shared.lint.run import lint
from shared.stages import StageContext

PAIRS = 600


def run(data: Path, out: Path, **config: Any) -> tuple[dict[str, float], dict[str, Any]]:
    out.mkdir()
    values = CounselingDataConfig(**config, deidentify={"recognise_names": False}).model_dump(mode="json")  # pyright: ignore[reportArgumentType]
    metrics = prepare(StageContext(config=values, inputs={}, files={"data": data}, models={}, out=out, work=out))
    return metrics, json.loads((out / "summary.json").read_text(encoding="utf-8"))


def test_near_duplicates_are_dropped_with_their_reason_where_the_recipe_says_so(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    assert 600 < write_rows(data, synthetic_rows(PAIRS, seed=4)) < 1_000
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    planted = sum("again" in row["chosen"] for row in rows)
    assert planted > RATES.near_duplicate * PAIRS / 2
    kept = run(data, tmp_path / "keep", max_pairs_per_group=None)
    dropped = run(data, tmp_path / "drop", near_duplicates="drop", max_pairs_per_group=None)
    reason = "nearly repeats another pair"
    assert kept[1]["near_duplicates"] is None
    assert "data/near_duplicates" not in kept[0]
    count = dropped[1]["near_duplicates"]
    assert count == dropped[1]["dropped"][reason] == dropped[0]["data/near_duplicates"]
    assert 0.8 * planted <= count <= planted  # the rest repeat a copy word for word, or lost too many words
    lines = [json.loads(line) for line in (tmp_path / "drop/dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sum(line["reason"] == reason for line in lines) == count
    assert all(set(line) == {"source", "reason"} for line in lines)
    stored = sum(len(read_records(tmp_path / "drop" / f"{name}.arrow")) for name in SPLITS)
    assert stored == kept[0]["data/pairs"] - count == PAIRS - len(lines)


def test_lint_finds_fewer_near_leaks_after_that(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    write_rows(data, synthetic_rows(PAIRS, seed=4))
    leaks = []
    for setting in ("keep", "drop"):
        run(data, tmp_path / setting, near_duplicates=setting)
        paths = {name: tmp_path / setting / f"{name}.arrow" for name in ("train", "judge", "test")}
        report = lint(paths, LintConfig(languages=("en",)))
        leaks.append(sum(each.count for each in report.findings if each.check == "leak_near_text"))
    assert leaks[1] <= leaks[0]


@pytest.mark.parametrize("config", [{"near_duplicates": "merge"}, {"near_duplicate_similarity": 0.2}])
def test_other_settings_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CounselingDataConfig(**config)


def test_slope_of_linear_and_quadratic_time() -> None:
    sizes = [10, 100, 1_000]
    assert slope(sizes, [0.3 * size for size in sizes]) == pytest.approx(1)
    assert slope(sizes, [0.3 * size**2 for size in sizes]) == pytest.approx(2)


def test_a_stage_within_another_is_charged_to_itself_alone() -> None:
    clock = Clock()

    def slow() -> Any:
        for number in range(3):
            time.sleep(0.05)
            yield number

    with clock.stage("outer"):
        time.sleep(0.05)
        assert list(clock.stream("inner", slow())) == [0, 1, 2]
    assert clock.wall["inner"] >= 0.15
    assert 0.05 <= clock.wall["outer"] < clock.wall["inner"]


@pytest.mark.slow
def test_the_benchmark_prints_every_stage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.data_scale", "200", "400", "--json", str(tmp_path / "results.json")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert all(f"| {stage} |" in done.stdout for stage in (*STAGES, "all", "peak memory"))
    results = json.loads((tmp_path / "results.json").read_text())
    assert [each["pairs"] for each in results] == [200, 400]
    assert all(each["processor"][stage] > 0 for each in results for stage in STAGES)
    assert all(each["kept"] + sum(each["dropped"].values()) == each["pairs"] for each in results)
