"""Trainings that start from a supervised policy: their plan, their reference, and what comes of them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.data.record_files import read_records, write_records
from shared.evaluation.policy_stage import measure_policy
from shared.executor import Executor, StageResult
from shared.models import load_causal_lm, load_policy, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.stages import Stage, StageContext
from shared.store import Store
from shared.training.iterative_plan import PolicyTraining, policy_stages, supervised_stage
from shared.training.iterative_policies import policy_of_base
from shared.training.iterative_recipe import AlignRecipe
from shared.training.progress import read_metrics
from shared.training.sft_config import SftConfig
from tests.shared.training.test_iterative import ROUND, adapter, recipe

PROMPT = PromptFormat().model_dump(mode="json")


def training(align: AlignRecipe, base: str = "base", body: str = "body", start: str | None = "sft") -> PolicyTraining:
    return PolicyTraining(align, base, PROMPT, "float32", body, start)


def planned(align: AlignRecipe) -> dict[str, Stage]:
    return {stage.name: stage for stage in policy_stages(training(align))[0]}


def test_one_training_refers_to_the_policy_it_starts_from() -> None:
    stages = planned(recipe(seeds=[0, 1]))
    assert list(stages) == ["reference", "align/seed-0", "align/seed-1"]
    assert stages["reference"].inputs == {"data": "data", "policy": "sft"}
    assert stages["align/seed-1"].inputs == {"data": "data", "reference": "reference", "policy": "sft"}


def test_rounds_share_the_first_sample_and_refer_to_the_start() -> None:
    stages = planned(recipe(rounds=2, seeds=[0, 1]))
    assert [name for name in stages if name.startswith("sample/")] == [
        "sample/round-1",
        "sample/round-2/seed-0",
        "sample/round-2/seed-1",
    ]
    assert stages["sample/round-1"].inputs["policy"] == "sft"
    assert stages["reference/round-1"].inputs["policy"] == "sft"
    assert stages["align/round-1/seed-1"].inputs["policy"] == "sft"
    assert stages["sample/round-2/seed-1"].inputs["policy"] == "align/round-1/seed-1"
    assert stages["reference/round-2/seed-1"].inputs["policy"] == "sft"
    assert stages["align/seed-1"].inputs["policy"] == "align/round-1/seed-1"
    previous = planned(recipe(rounds=2, on_policy={**ROUND, "reference": "previous"}))
    assert previous["reference/round-2/seed-0"].inputs["policy"] == "align/round-1/seed-0"
    given = planned(recipe(rounds=1, on_policy={**ROUND, "start": "given"}))
    assert given["align/round-0/seed-0"].inputs["policy"] == "sft"
    assert given["sample/round-1/seed-0"].inputs["policy"] == "align/round-0/seed-0"
    assert given["reference/round-1/seed-0"].inputs["policy"] == "sft"


def test_grpo_starts_there_too() -> None:
    stages = planned(recipe(method="grpo"))
    assert stages["align/seed-0"].inputs == {"data": "data", "reward": "reward", "policy": "sft"}


def test_an_adapter_over_a_whole_policy_becomes_a_whole_policy(tiny_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(4)
    start = load_causal_lm(tiny_model)
    for parameter in start.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    start.save_pretrained(tmp_path / "start")
    load_tokenizer(tiny_model).save_pretrained(tmp_path / "start")
    trained = adapter(tmp_path / "start", tmp_path / "model", 1, rank=2, alpha=6)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = load_policy(tmp_path / "start", trained)(ids).logits
        policy_of_base(tmp_path / "start", tmp_path / "start", trained)
        assert torch.allclose(load_policy(tiny_model, trained)(ids).logits, expected, atol=1e-5)
        assert not torch.allclose(load_causal_lm(tiny_model)(ids).logits, expected, atol=1e-2)
    load_tokenizer(trained)
    assert {path.name for path in tmp_path.iterdir()} == {"start", "model"}


def given_data(context: StageContext) -> dict[str, float]:
    records = read_records(context.files["pairs"])
    for name, part in (("train", records[:14]), ("validation", records[14:18]), ("test", records[18:])):
        write_records(context.out / f"{name}.arrow", part)
    return {}


@pytest.fixture
def data(tmp_path: Path, toy_pairs: list[PreferenceRecord], monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    write_records(tmp_path / "pairs.arrow", toy_pairs)
    return Stage("data", given_data, files={"pairs": tmp_path / "pairs.arrow"})


def run(stages: list[Stage], store: Store) -> Mapping[str, StageResult]:
    executor, done = Executor(store), {}
    for stage in stages:
        done[stage.name] = executor.run(stage, done)
    return done


SFT = {"learning_rate": 2e-2, "epochs": 6, "batch_size": 4, "max_length": 128, "scheduler": "constant"}
WATCHED = {"evaluate_steps": 1, "kl_budget": 5.0, "kl_prompts": 3, "kl_tokens": 6, "metric": "loss"}


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, {"rank": 3, "targets": ["q_proj", "v_proj"]}], ids=["whole", "adapter"])
def test_dpo_from_a_supervised_policy(
    lora: Any, tmp_path: Path, tiny_model: Path, data: Stage, toy_pairs: list[PreferenceRecord]
) -> None:
    """Its reference is the policy it starts from: the first loss is log 2 and the divergence begins at 0."""
    align = recipe(stopping=WATCHED, warmup_ratio=0.0, learning_rate=1e-3)
    base = str(tiny_model)
    plan = training(align, base)
    measured = Stage(
        "policy/sft",
        measure_policy,
        config={
            "sampling": {"max_new_tokens": 6},
            "prompts": 2,
            "kl_prompts": 2,
            "kl_tokens": 6,
            "max_length": 128,
            "prompt": PROMPT,
            "precision": "float32",
        },
        inputs={"data": "data", "model": "sft"},
        models={"base": base},
    )
    first = supervised_stage(plan, SftConfig.model_validate({**SFT, "lora": lora}))
    done = run([data, first, measured, *policy_stages(plan)[0]], Store(tmp_path / "store"))
    started, aligned = (done[name].artifact.path / "model" for name in ("sft", "align/seed-0"))
    rows = read_metrics(done["align/seed-0"].artifact.path / "curves.jsonl")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert rows[0]["rewards/chosen"] == pytest.approx(0.0, abs=1e-4)
    assert 0 < rows[0]["eval/kl"] < 0.05  # after one small step
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        of_base = load_causal_lm(tiny_model)(ids).logits
        of_start, of_end = (load_policy(tiny_model, folder)(ids).logits for folder in (started, aligned))
    assert (of_start - of_base).abs().max() > 10 * (of_end - of_start).abs().max() > 0
    if lora is None:
        assert (aligned / "model.safetensors").is_file()
    else:
        assert json.loads((aligned / "adapter_config.json").read_text())["r"] == 5
    kl = json.loads((done["policy/sft"].artifact.path / "kl.json").read_text())
    assert len(kl) == 2


@pytest.mark.slow
def test_a_kl_budget_is_kept_from_the_start_and_not_from_the_base(
    tmp_path: Path, tiny_model: Path, data: Stage
) -> None:
    """The supervised policy is farther from the base than the budget allows; what counts is the way from it."""
    align = recipe(stopping={**WATCHED, "kl_budget": 0.02}, warmup_ratio=0.0, learning_rate=3e-2, epochs=4)
    plan = training(align, str(tiny_model))
    first = supervised_stage(plan, SftConfig.model_validate({**SFT, "lora": None}))
    done = run([data, first, *policy_stages(plan)[0]], Store(tmp_path / "store"))
    rows = [row for row in read_metrics(done["align/seed-0"].artifact.path / "curves.jsonl") if "eval/kl" in row]
    assert rows[-1]["eval/kl"] > 0.02
    assert all(row["eval/kl"] <= 0.02 for row in rows[:-1])
    assert len(rows) > 1


@pytest.mark.slow
def test_rounds_and_grpo_from_a_supervised_policy(
    tmp_path: Path, tiny_model: Path, tiny_encoder: Path, data: Stage
) -> None:
    from shared.training.config import RewardConfig
    from shared.training.reward_stage import train_reward

    reward = RewardConfig(epochs=1, batch_size=8, max_length=96, lora=None, learning_rate=1e-3)
    base, body = str(tiny_model), str(tiny_encoder)
    scorer = Stage(
        "reward",
        train_reward,
        config={
            "reward": reward.model_dump(mode="json"),
            "seed": 0,
            "split": "train",
            "prompt": PROMPT,
            "precision": "float32",
            "body": body,
        },
        inputs={"data": "data"},
        models={"body": body},
    )
    plan = training(recipe(rounds=1), base, body)
    first = supervised_stage(plan, SftConfig.model_validate({**SFT, "lora": {"rank": 3}}))
    store = Store(tmp_path / "store")
    done = run([data, scorer, first, *policy_stages(plan)[0]], store)
    assert done["sample/round-1"].metrics["sample/kl_per_response"] != 0  # sampled from the policy, not from the base
    folder = done["align/seed-0"].artifact.path / "model"
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 5
    grpo = {
        "max_steps": 2,
        "prompts_per_step": 2,
        "group_size": 2,
        "micro_batch_size": 2,
        "max_new_tokens": 12,
        "max_length": 128,
        "lora": {"rank": 2},
        "shaping": {"kind": "potential"},
    }
    online = training(recipe(method="grpo", grpo=grpo), base, body)
    done = run([data, scorer, first, *policy_stages(online)[0]], store)
    assert done["align/seed-0"].metrics["align/shaping/sentences"] >= 1
    rows = read_metrics(done["align/seed-0"].artifact.path / "curves.jsonl")
    assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6)  # the start is the reference
    folder = done["align/seed-0"].artifact.path / "model"
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 5
