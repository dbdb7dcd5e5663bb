"""On-policy rounds and GRPO in the whole counseling pipeline, from the command line, with tiny random models."""

import json
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAIRS = 40


@pytest.fixture(scope="module")
def options(tmp_path_factory, tiny_model, tiny_encoder) -> tuple[str, ...]:
    """--data and --recipe: short pairs, tiny models."""
    folder = tmp_path_factory.mktemp("rounds")
    topics = ("sleep", "work", "grief", "exams")
    with (folder / "pairs.jsonl").open("w") as file:
        for number in range(PAIRS):
            topic = f"{topics[number % 4]} {number}"
            row = {"prompt": f"I worry about {topic}.", "chosen": f"good {topic} rest", "rejected": f"bad {topic}"}
            file.write(json.dumps(row) + "\n")
    training = {"epochs": 1, "batch_size": 4, "max_length": 128, "lora": None}
    values = {
        "model": str(tiny_model),
        "precision": "float32",
        "data": {"fractions": {"train": 0.4, "judge": 0.3, "test": 0.3}},
        "reward": {"body": str(tiny_encoder), "training": training},
        "judge": {"body": str(tiny_model), "training": training},
        "align": {
            **training,
            "learning_rate": 1e-2,
            "lora": {"rank": 4, "alpha": 8},
            "seeds": [0],
            "on_policy": {"sampling": {"n": 3, "temperature": 1.0, "max_new_tokens": 6}, "prompts": 10},
            "grpo": {"max_steps": 2, "prompts_per_step": 2, "group_size": 2, "max_new_tokens": 4, "max_length": 128},
        },
        "evaluate": {
            "prompts": 4,
            "kl_prompts": 2,
            "kl_tokens": 6,
            "max_length": 128,
            "best_of": 3,
            "examples": 1,
            "sampling": {"max_new_tokens": 6, "batch_size": 4},
        },
    }
    (folder / "tiny.yaml").write_text(json.dumps(values))  # JSON is YAML
    return ("--data", str(folder / "pairs.jsonl"), "--recipe", str(folder / "tiny.yaml"))


def test_a_killed_run_with_rounds_goes_on_and_reports_them(tiny, options) -> None:
    arguments = ("run", "counseling", *options, "--set", "align.rounds=1")
    process = tiny.start(*arguments)
    objects = tiny.home / "store" / "objects"
    end = time.monotonic() + 600
    try:
        while not list(objects.glob("score/*/manifest.json")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        process.kill()
        process.communicate()
    kept = {path: path.read_bytes() for path in objects.glob("sample/*/samples.jsonl")}
    assert len(kept) == 1
    record = tiny.json(*arguments)
    stages = {one["stage"]: one for one in record["stages"]}
    for name in ("sample/round-1", "score/round-1"):
        assert stages[name]["hit"], name
    assert {"pairs/round-1", "reference/round-1", "align/seed-0", "best-of-n"} <= set(stages)
    assert "reference" not in stages
    assert {path: path.read_bytes() for path in objects.glob("sample/*/samples.jsonl")} == kept
    report = (tiny.home / "runs" / record["run_id"] / "report.html").read_text()
    for text in (">On-policy rounds<", ">Best of n<", "distinct 2-grams", "base, best of 3"):
        assert text in report, text
    planned = tiny.json(*arguments, "--dry-run")  # a second start finds all of it
    assert [(one["stage"], one["status"]) for one in planned["stages"]] == [(name, "hit") for name in stages]


def test_grpo_by_one_setting(tiny, options) -> None:
    record = tiny.json("run", "counseling", *options, "--set", "align.method=grpo")
    stages = {one["stage"]: one for one in record["stages"]}
    assert "reference" not in stages
    folder = Path(stages["align/seed-0"]["path"])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["align/steps"] == 2
    assert "align/reward_last" in metrics
    assert (folder / "model" / "adapter_model.safetensors").is_file()


def test_rounds_and_grpo_together_are_refused(tiny, options) -> None:
    told = tiny("run", "counseling", *options, "--set", "align.method=grpo", "--set", "align.rounds=1", code=2)
    assert "set align.rounds=0" in told.stderr
