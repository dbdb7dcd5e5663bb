"""The whole e-commerce pipeline from the command line, with tiny random models on the packaged sample and own files."""

import json

import pytest

from domains.ecommerce.pipeline import SAMPLE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options(tmp_path_factory, tiny_model, tiny_encoder) -> tuple[str, ...]:
    """--data and --recipe: half of the packaged sample, tiny models."""
    folder = tmp_path_factory.mktemp("ecommerce")
    rows = SAMPLE.read_text(encoding="utf-8").splitlines()[:18]
    (folder / "reviews.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    training = {"epochs": 1, "batch_size": 4, "max_length": 512, "learning_rate": 1e-3, "lora": {"rank": 4, "alpha": 8}}
    sampling = {"max_new_tokens": 12, "engine": "transformers"}
    values = {
        "model": str(tiny_model),
        "precision": "float32",
        "data": {"summary_prompt": {"reviews_in_prompt": 2, "review_chars": 80}},
        "features": {"costs": ["lexical"]},
        "reward": {
            "body": str(tiny_encoder),
            "training": {
                "kind": "features",
                "lora": None,
                "features": {"inputs": ["scores.measured.*"], "l2": 0.1, "extractor": "ecommerce", "posterior": {}},
            },
        },
        "judge": {"body": str(tiny_encoder), "training": {**training, "lora": None, "max_length": 256}},
        "reward_study": {"folds": 3, "inner_folds": 2, "l2": [0.1, 1.0], "network": None, "curve": None},
        "sft": {**training, "learning_rate": 1e-2},
        "align": {
            **training,
            "seeds": [0, 1],
            "rounds": 1,
            "on_policy": {"given_share": 0.25, "kl_samples": 0, "sampling": {**sampling, "n": 3, "temperature": 1.0}},
        },
        "evaluate": {"products": 4, "sampling": {**sampling, "temperature": 0.0}, "factors": ["length", "copying"]},
    }
    (folder / "tiny.yaml").write_text(json.dumps(values))  # JSON is YAML
    return ("--data", str(folder / "reviews.jsonl"), "--recipe", str(folder / "tiny.yaml"))


@pytest.fixture(scope="module")
def record(tiny, options):
    """A finished run."""
    return tiny.json("run", "ecommerce", *options)


def test_every_stage_runs_and_the_report_shows_all_policies(tiny, record) -> None:
    assert record["status"] == "finished"
    stages = {one["stage"] for one in record["stages"]}
    assert {"features", "reward", "judge", "reward-study", "demonstrations", "sft", "eval", "gate", "card"} <= stages
    assert {"sample/round-1", "score/round-1", "align/seed-0", "align/seed-1", "summaries/sft"} <= stages
    report = (tiny.home / "runs" / record["run_id"] / "report.html").read_text(encoding="utf-8")
    for text in ("Reward study", "Reward hacking", "Faithful statements", "ROUGE-L", "supervised", "aligned, seed 1"):
        assert text in report
    card = (tiny.home / "runs" / record["run_id"] / "card.md").read_text(encoding="utf-8")
    assert "Support is similarity" in card
    assert "CC0" not in card  # the licence of the packaged sample is not that of a user's file


def test_the_policy_is_a_supervised_one_trained_further(tiny, record) -> None:
    metrics = {one["stage"]: one["metrics"] for one in record["stages"]}
    assert metrics["demonstrations"]["demonstrations/train"] > 0
    assert metrics["sft"]["sft/steps"] > 0
    curves = list((tiny.home / "store" / "objects").glob("align/*/curves.jsonl"))
    assert len(curves) >= 2
    for one in curves:
        # Policy and reference are one at the first step: both are the supervised policy, and the loss is a coin's.
        first = json.loads(one.read_text(encoding="utf-8").splitlines()[0])
        assert first["loss"] == pytest.approx(0.693147, abs=1e-4)


def test_another_reward_reuses_what_it_does_not_change(tiny, options, record) -> None:
    again = tiny.json("run", "ecommerce", *options, "--set", "reward.training.features.l2=0.5")
    hits = {one["stage"]: one["hit"] for one in again["stages"]}
    assert all(hits[stage] for stage in ("data", "features", "judge", "sft", "sample/round-1"))
    assert not hits["reward"]
    assert not hits["score/round-1"]


def test_a_registered_model_is_evaluated(tiny, options, record) -> None:
    found = tiny.json("evaluate", "ecommerce", "--model", record["registered"]["folder"], *options)
    stages = {one["stage"] for one in found["stages"]}
    assert "summaries/model" in stages
    assert not any(stage.startswith(("sft", "align")) for stage in stages)


def test_wrong_settings_and_data_are_one_sentence(tiny, options, tmp_path) -> None:
    line = tiny.error("run", "ecommerce", *options, "--set", "reward.training.features.extractor=null", code=2)
    assert "extractor" in line
    line = tiny.error("run", "ecommerce", *options, "--set", "evaluate.product=4", code=2)
    assert "products" in line
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"id": "a", "reviews": "one text, no list"}\n', encoding="utf-8")
    told = tiny("run", "ecommerce", *options[2:], "--data", str(path), code=3).stderr
    assert "reviews.jsonl:1" in told
    assert "Traceback" not in told
