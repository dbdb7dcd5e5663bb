"""On-policy rounds as stages: their names and keys, a run on a tiny model, resuming, and the adapters of two rounds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from shared.data.record_files import read_records, write_records
from shared.errors import StageError
from shared.executor import Executor, StageResult
from shared.models import load_causal_lm, load_policy, load_tokenizer
from shared.prompts import PromptFormat
from shared.records import PreferenceRecord
from shared.stages import Stage, StageContext
from shared.store import Store
from shared.training.iterative_plan import PolicyTraining, policy_stages
from shared.training.iterative_policies import join_adapters, plain_policy
from shared.training.iterative_recipe import AlignRecipe
from shared.training.iterative_stages import pair_round, round_prompts

ROUND = {
    "sampling": {"n": 4, "temperature": 1.0, "max_new_tokens": 8, "batch_size": 8},
    "kl_samples": 4,
    "prompts": 8,
    "given_share": 0.25,
}


def recipe(**values: Any) -> AlignRecipe:
    return AlignRecipe.model_validate(
        {
            "epochs": 1,
            "batch_size": 4,
            "max_length": 128,
            "learning_rate": 1e-2,
            "lora": {"rank": 2, "alpha": 4},
            "seeds": [0],
            "on_policy": ROUND,
            **values,
        }
    )


def planned(align: AlignRecipe, base: str = "base", body: str = "body") -> tuple[list[Stage], dict[str, str]]:
    prompt = PromptFormat().model_dump(mode="json")
    return policy_stages(PolicyTraining(align, base, prompt, "float32", body))


def test_without_rounds_there_is_one_reference_for_all_seeds() -> None:
    stages, policies = planned(recipe(seeds=[0, 3]))
    assert [stage.name for stage in stages] == ["reference", "align/seed-0", "align/seed-3"]
    assert policies == {"seed-0": "align/seed-0", "seed-3": "align/seed-3"}


def test_rounds_from_the_base_share_what_no_seed_changes() -> None:
    stages, policies = planned(recipe(rounds=2, seeds=[0, 1]))
    names = [stage.name for stage in stages]
    first = ["sample/round-1", "score/round-1", "pairs/round-1", "reference/round-1"]
    assert names == [
        *first,
        "align/round-1/seed-0",
        *[f"{name}/round-2/seed-0" for name in ("sample", "score", "pairs", "reference")],
        "align/seed-0",
        "align/round-1/seed-1",
        *[f"{name}/round-2/seed-1" for name in ("sample", "score", "pairs", "reference")],
        "align/seed-1",
    ]
    assert policies == {"seed-0": "align/seed-0", "seed-1": "align/seed-1"}
    by_name = {stage.name: stage for stage in stages}
    assert by_name["sample/round-2/seed-1"].inputs == {"data": "data", "policy": "align/round-1/seed-1"}
    assert by_name["reference/round-2/seed-1"].inputs == {"data": "pairs/round-2/seed-1"}
    assert by_name["align/seed-1"].inputs["policy"] == "align/round-1/seed-1"
    seen = {"data", "reward"}
    for stage in stages:
        assert set(stage.inputs.values()) <= seen
        seen.add(stage.name)


def test_a_round_may_start_from_the_given_pairs_and_refer_to_its_start() -> None:
    stages, _ = planned(recipe(rounds=1, on_policy={**ROUND, "start": "given", "reference": "previous"}))
    by_name = {stage.name: stage for stage in stages}
    assert list(by_name)[:3] == ["reference", "align/round-0/seed-0", "sample/round-1/seed-0"]
    assert by_name["reference/round-1/seed-0"].inputs["policy"] == "align/round-0/seed-0"


def test_grpo_has_no_pairs_and_no_reference() -> None:
    stages, policies = planned(recipe(method="grpo", seeds=[2]))
    assert [stage.name for stage in stages] == ["align/seed-2"]
    assert stages[0].inputs == {"data": "data", "reward": "reward"}
    assert policies == {"seed-2": "align/seed-2"}


def test_rounds_go_through_the_prompts(toy_pairs: list[PreferenceRecord]) -> None:
    asked = [round_prompts([*toy_pairs, toy_pairs[0]], 10, number) for number in (1, 2, 3)]
    texts = [[record.prompt_text() for record in part] for part in asked]
    assert not set(texts[0]) & set(texts[1])
    distinct = {record.prompt_text() for record in toy_pairs}
    assert {text for part in texts for text in part} == distinct
    assert len(round_prompts(toy_pairs, None, 2)) == len(distinct)
    assert round_prompts(toy_pairs[::-1], 10, 1) == asked[0]


def adapter(
    base: Path,
    folder: Path,
    seed: int,
    rank: int,
    alpha: int,
    targets: Sequence[str] = ("q_proj", "down_proj"),
    layers: list[int] | None = None,
) -> Path:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(targets), layers_to_transform=layers, task_type="CAUSAL_LM"
    )
    model: Any = get_peft_model(load_causal_lm(base), config)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder)
    return folder


def test_two_rounds_adapters_are_one_of_the_base(tiny_model: Path, tmp_path: Path) -> None:
    first = adapter(tiny_model, tmp_path / "first", 1, rank=2, alpha=6)
    middle = plain_policy(tiny_model, first, tmp_path / "middle")
    second = adapter(middle, tmp_path / "second", 2, rank=3, alpha=3)
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = load_policy(middle, second)(ids).logits
        before = load_policy(tiny_model, second)(ids).logits
        join_adapters(first, second)
        joined = load_policy(tiny_model, second)
        assert torch.allclose(joined(ids).logits, expected, atol=1e-5)
        assert not torch.allclose(before, expected, atol=1e-2)
    assert json.loads((second / "adapter_config.json").read_text())["r"] == 5
    load_tokenizer(middle)  # the folder is whole
    assert plain_policy(tiny_model, middle, tmp_path / "unused") == middle


def test_adapters_of_other_layers_are_joined_too(tiny_model: Path, tmp_path: Path) -> None:
    first = adapter(tiny_model, tmp_path / "first", 1, 2, 6)
    middle = plain_policy(tiny_model, first, tmp_path / "middle")
    second = adapter(middle, tmp_path / "second", 2, 3, 3, ("down_proj", "up_proj"), layers=[1])
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        expected = load_policy(middle, second)(ids).logits
        join_adapters(first, second)
        assert torch.allclose(load_policy(tiny_model, second)(ids).logits, expected, atol=1e-5)
    joined = json.loads((second / "adapter_config.json").read_text())
    assert joined["r"] == 5
    assert {name.rpartition(".")[2] for name in joined["target_modules"]} == {"q_proj", "down_proj", "up_proj"}
    assert len(joined["target_modules"]) == 5


def test_an_adapter_with_whole_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    first = adapter(tiny_model, tmp_path / "first", 1, 2, 2)
    second = adapter(tiny_model, tmp_path / "second", 2, 2, 2)
    weights = load_file(second / "adapter_model.safetensors")
    save_file({**weights, "base_model.model.norm.weight": torch.ones(3)}, second / "adapter_model.safetensors")
    with pytest.raises(StageError, match=r"norm\.weight is no low-rank one"):
        join_adapters(first, second)


def test_samples_without_a_difference_say_what_to_change(tmp_path: Path, toy_pairs: list[PreferenceRecord]) -> None:
    data, samples, scores, out = (tmp_path / name for name in ("data", "samples", "scores", "out"))
    for folder in (data, samples, scores, out):
        folder.mkdir()
    write_records(data / "train.arrow", toy_pairs[:2])
    rows = [
        {
            "id": record.id,
            "group": record.group_id,
            "responses": [{"text": text, "finish_reason": "stop"} for text in ("a", "b")],
        }
        for record in toy_pairs[:2]
    ]
    (samples / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (scores / "scores.json").write_text(json.dumps({record.id: [1.0, 1.0] for record in toy_pairs[:2]}))
    context = StageContext(
        config={"pairing": {}, "given_share": 0.0, "round": 1},
        inputs={"data": data, "samples": samples, "scores": scores},
        files={},
        models={},
        out=out,
        work=tmp_path,
    )
    with pytest.raises(StageError, match=r"2 prompts give no pair \(ties: 2\); raise `on_policy"):
        pair_round(context)


def given_data(context: StageContext) -> dict[str, float]:
    records = read_records(context.files["pairs"])
    write_records(context.out / "train.arrow", records[:18])
    write_records(context.out / "validation.arrow", [])
    write_records(context.out / "test.arrow", records[18:])
    return {"data/pairs": float(len(records))}


@pytest.fixture
def start(tmp_path: Path, toy_pairs: list[PreferenceRecord], tiny_encoder: Path) -> list[Stage]:
    """The stages before the policy: data and a reward model on a tiny encoder."""
    from shared.training.config import RewardConfig
    from shared.training.reward_stage import train_reward

    write_records(tmp_path / "pairs.arrow", toy_pairs)
    reward = RewardConfig(epochs=1, batch_size=8, max_length=96, lora=None, learning_rate=1e-3)
    return [
        Stage("data", given_data, files={"pairs": tmp_path / "pairs.arrow"}),
        Stage(
            "reward",
            train_reward,
            config={
                "reward": reward.model_dump(mode="json"),
                "seed": 0,
                "split": "train",
                "prompt": PromptFormat().model_dump(mode="json"),
                "precision": "float32",
                "body": str(tiny_encoder),
            },
            inputs={"data": "data"},
            models={"body": str(tiny_encoder)},
        ),
    ]


def run(stages: list[Stage], store: Store) -> Mapping[str, StageResult]:
    executor, done = Executor(store), {}
    for stage in stages:
        done[stage.name] = executor.run(stage, done)
    return done


@pytest.mark.slow
def test_two_rounds_on_a_tiny_model(
    tmp_path: Path, tiny_model: Path, tiny_encoder: Path, start: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    align = recipe(rounds=2, on_policy={**ROUND, "reference": "previous"})
    store = Store(tmp_path / "store")
    stages = [*start, *planned(align, str(tiny_model), str(tiny_encoder))[0]]
    done = run(stages, store)
    first, second = done["sample/round-1"].metrics, done["sample/round-2/seed-0"].metrics
    assert first["sample/responses"] == second["sample/responses"] == 32
    assert "sample/kl_per_response" not in first  # it is the base
    assert second["sample/kl_per_response"] != 0
    assert 0 <= second["sample/self_bleu"] <= 1
    pairs = done["pairs/round-1"].metrics
    assert pairs["pairs/on_policy_share"] == pytest.approx(0.75, abs=0.06)
    records = read_records(done["pairs/round-1"].artifact.path / "train.arrow")
    assert {record.source.partition(":")[0] for record in records} >= {"round-1"}
    scores = done["score/round-1"].metrics
    assert scores["score/worst"] < scores["score/mean"] < scores["score/best"]
    # The policy of two rounds is an adapter of the base, of both rounds' rank.
    folder = done["align/seed-0"].artifact.path / "model"
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 4
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7]])
        before = load_policy(tiny_model, done["align/round-1/seed-0"].artifact.path / "model")(ids).logits
        after = load_policy(tiny_model, folder)(ids).logits
        base = load_causal_lm(tiny_model)(ids).logits
    assert (before - base).abs().max() > 1e-3
    assert (after - before).abs().max() > 1e-3
    # Done once: nothing runs again, and another pairing runs nothing before it.
    again = run(stages, store)
    assert all(result.hit for result in again.values())
    other = recipe(rounds=2, on_policy={**ROUND, "reference": "previous", "pairing": {"strategy": "best-random"}})
    plan = Executor(store).plan([*start, *planned(other, str(tiny_model), str(tiny_encoder))[0]])
    status = {one.name: one.status for one in plan}
    assert (status["sample/round-1"], status["score/round-1"], status["pairs/round-1"]) == ("hit", "hit", "miss")
