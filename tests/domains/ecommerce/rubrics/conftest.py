"""The judges' scripted server, records of summaries, and the stage over them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domains.ecommerce.rubrics.config import RubricFeaturesConfig
from domains.ecommerce.rubrics.stage import rubric_features, rubric_stage
from shared.data.record_files import write_records
from shared.records import Message, PreferenceRecord
from shared.stages import StageContext
from tests.shared.judges.conftest import Reply, completion, endpoint, server  # noqa: F401 - fixtures


def criteria_of(body: dict[str, Any]) -> list[str]:
    """The criteria that a request asks about."""
    return list(body["response_format"]["json_schema"]["schema"]["properties"])


def summary_of(body: dict[str, Any]) -> str:
    """The summary that a request shows."""
    return body["messages"][1]["content"].split("-response>\n")[1].split("\n</")[0]


def scores(body: dict[str, Any], score: int) -> Reply:
    """An answer that gives one score by every criterion asked about."""
    return completion(json.dumps({name: {"reason": "so", "score": score} for name in criteria_of(body)}))


@pytest.fixture
def summaries() -> Callable[..., list[PreferenceRecord]]:
    """Pairs whose preferred summary is `good N`, the other `bad N`."""

    def make(count: int = 4) -> list[PreferenceRecord]:
        return [
            PreferenceRecord(
                id=f"pair-{number}",
                group_id=f"product-{number}",
                source=f"toy.jsonl:{number + 1}",
                prompt=(Message("user", f"Reviews:\n- kettle {number} boils fast\n- its lid is loose\n\nSummarise."),),
                chosen=f"good {number}",
                rejected=f"bad {number}",
                scores_chosen={"given.relevance": 4.0 + number / 10},
                scores_rejected={"given.relevance": 2.0 + number / 10},
            )
            for number in range(count)
        ]

    return make


@pytest.fixture
def judged(endpoint: Any, tmp_path: Path) -> Callable[..., tuple[dict[str, float], Path]]:  # noqa: F811
    """(records by split, changes) to (metrics, folder of the artifact)."""
    made = 0

    def run(splits: dict[str, list[PreferenceRecord]], **changes: Any) -> tuple[dict[str, float], Path]:
        nonlocal made
        made += 1
        features, out = tmp_path / f"features-{made}", tmp_path / f"out-{made}"
        for folder in (features, out):
            folder.mkdir()
        for name, records in splits.items():
            write_records(features / f"{name}.arrow", records)
        told = {"answer_format": "json_schema", "answer_retries": 0, **changes.pop("endpoint", {})}
        config = RubricFeaturesConfig(endpoint=endpoint(**told), **changes)
        stage = rubric_stage("judge-features", config, features="features")
        return rubric_features(StageContext(stage.config, {"features": features}, {}, {}, out, tmp_path / "work")), out

    return run
