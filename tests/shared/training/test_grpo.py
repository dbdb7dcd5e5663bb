"""GRPO on a toy reward: it rises, resumes to the same curve, and reads rewards of every kind."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from shared.data.record_files import write_records
from shared.errors import UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.ranking import rank_table
from shared.training.checkpoints import latest_complete_checkpoint
from shared.training.config import LoraConfig
from shared.training.grpo import grpo_arguments, grpo_trainer, reward_of
from shared.training.grpo_config import GrpoConfig
from shared.training.grpo_job import GrpoJob


def letters(prompts: Sequence[Any], responses: Sequence[str]) -> list[float]:
    """A toy reward: the share of a response's characters that are lower-case letters a to m."""
    return [sum("a" <= one <= "m" for one in text) / max(1, len(text)) for text in responses]


def make_job(folder: Path, model: Path, records: Sequence[PreferenceRecord], **config: Any) -> GrpoJob:
    write_records(folder / "train.arrow", records)
    settings: dict[str, Any] = {
        "learning_rate": 1e-2,
        "max_steps": 30,
        "prompts_per_step": 2,
        "group_size": 6,
        "micro_batch_size": 6,
        "max_new_tokens": 8,
        "max_length": 128,
        "beta": 0.01,
        "lora": LoraConfig(rank=4),
        "save_steps": 4,
    }
    return GrpoJob(
        model=model,
        records=[folder / "train.arrow"],
        output=folder / "out",
        reward=folder / "reward",
        seed=1,
        precision="float32",
        config=GrpoConfig(**(settings | config)),
    )


class Log(TrainerCallback):
    """Keeps what is logged, and stops after a number of steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.rows: list[dict[str, float]] = []
        self._stop_after = stop_after

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self.rows.append({"step": state.global_step, **logs})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if state.global_step == self._stop_after:
            control.should_save = control.should_training_stop = True
        return control


@pytest.fixture(autouse=True)
def _one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


@pytest.mark.slow
def test_the_reward_rises(tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]) -> None:
    # All weights: the tiny model is random and its logits are flat, which adapters of rank 4 change little.
    job, log = make_job(tmp_path, tiny_model, toy_pairs, lora=None, max_steps=20), Log()
    trainer, truncated, _ = grpo_trainer(job, toy_pairs, tmp_path / "work", [log], letters)
    trainer.train()
    rewards = [row["reward"] for row in log.rows]
    assert len(rewards) == 20
    assert truncated == 0
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.15
    assert log.rows[-1]["kl"] > 0
    assert "step_time" not in log.rows[0]


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_curve(
    tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]
) -> None:
    job = make_job(tmp_path, tiny_model, toy_pairs, max_steps=8, micro_batch_size=3)
    whole, first, second = Log(), Log(stop_after=5), Log()
    trainer, _, _ = grpo_trainer(job, toy_pairs, tmp_path / "whole", [whole], letters)
    trainer.train()
    stopped, _, _ = grpo_trainer(job, toy_pairs, tmp_path / "work", [first], letters)
    stopped.train()
    at = latest_complete_checkpoint(tmp_path / "work")
    assert at is not None
    assert at.name == "checkpoint-5"
    torch.manual_seed(99)
    resumed, _, _ = grpo_trainer(job, toy_pairs, tmp_path / "work", [second], letters)
    resumed.train(resume_from_checkpoint=str(at))
    assert [row["step"] for row in second.rows] == [6, 7, 8]
    assert [row["reward"] for row in first.rows + second.rows] == [row["reward"] for row in whole.rows]
    assert [row["loss"] for row in first.rows + second.rows] == [row["loss"] for row in whole.rows]
    weights = [
        {name: value for name, value in one.model.state_dict().items() if "lora" in name} for one in (trainer, resumed)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert not list((tmp_path / "work").rglob("training_args.bin"))


def worker_knows_grpo() -> bool:
    """Whether the training child takes GRPO jobs."""
    source = Path(str(find_spec("shared.training.worker").origin)).read_text()  # pyright: ignore
    return "ChildJob" in source


@pytest.mark.slow
@pytest.mark.skipif(not worker_knows_grpo(), reason="the training child does not read GRPO jobs yet")
def test_the_training_child_runs_it_and_saves_an_adapter(
    tmp_path: Path,
    tiny_model: Path,
    tiny_encoder: Path,
    toy_pairs: list[PreferenceRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from shared.rewards.bradley_terry import load_scorer, scorer_tokenizer
    from shared.training.launch import launch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job: Any = make_job(tmp_path, tiny_model, toy_pairs[:6], max_steps=3, group_size=2, micro_batch_size=2)
    tokenizer = scorer_tokenizer(tiny_encoder)
    torch.manual_seed(0)
    load_scorer(tiny_encoder, tokenizer).save_pretrained(job.reward)
    tokenizer.save_pretrained(job.reward)
    settings = {"kind": "bradley-terry", "body": "encoder", "prompt": {}, "max_length": 64}
    (job.reward / "reward.json").write_text(json.dumps(settings))
    result = launch(job, tmp_path / "work")
    assert (result.steps, result.pairs) == (3, 6)
    assert "reward" in result.metrics
    assert {"adapter_model.safetensors", "tokenizer.json"} <= {path.name for path in job.output.iterdir()}
    assert not list(tmp_path.rglob("training_args.bin"))


class Table:
    """A preference model without a score: longer responses win, by a table."""

    def rank(self, prompt: Any, responses: Sequence[str]) -> Any:
        lengths = np.array([float(len(one)) for one in responses])
        return rank_table(np.sign(lengths[:, None] - lengths[None, :]))

    def compare(self, prompts: Any, a: Any, b: Any) -> Any:
        raise AssertionError

    def compare_records(self, records: Any) -> Any:
        raise AssertionError


def test_a_model_that_only_compares_rewards_against_the_group() -> None:
    one, other = (Message("user", "one"),), (Message("user", "other"),)
    found = reward_of(Table())([one, other, one, one], ["aa", "b", "aaaa", "a"])
    assert found == pytest.approx([0.0, 0.0, 2 / 3, -2 / 3])


def test_micro_batches_divide_a_step(tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]) -> None:
    job = make_job(tmp_path, tiny_model, toy_pairs, prompts_per_step=3, group_size=4, micro_batch_size=5)
    found = grpo_arguments(job, tmp_path)
    assert found["per_device_train_batch_size"] * found["gradient_accumulation_steps"] == 12


def test_a_step_that_cannot_be_shared_by_the_devices_is_refused(
    tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(UsageError, match="change prompts_per_step"):
        grpo_arguments(make_job(tmp_path, tiny_model, toy_pairs), tmp_path)


class Sentences:
    """Stands for sampling: the same texts every time, so that their sentences are known."""

    def __init__(self, tokenizer: Any, texts: Sequence[str]) -> None:
        self.ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]

    def __call__(self, prompt_ids: Any, *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        return [self.ids[row % len(self.ids)] for row in range(len(prompt_ids))], None


TEXTS = ("abc. xyz. yy", "zz", "bb. zz", "abc.")


@pytest.mark.parametrize("scaled", ["group", "none"])
def test_shaping_gives_every_sentence_its_advantage(
    scaled: Any, tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]
) -> None:
    """Beside TRL's own: those are the group's, over its standard deviation; ours differ by each sentence's state."""
    told: dict[str, Any] = {"prompts_per_step": 1, "group_size": 4, "micro_batch_size": 4, "scale_rewards": scaled}
    found = []
    for number, shaping in enumerate((None, {"weight": 0.0}, {})):
        job = make_job(tmp_path, tiny_model, toy_pairs, max_new_tokens=16, shaping=shaping, **told)
        trainer, _, _ = grpo_trainer(job, toy_pairs, tmp_path / str(number), [], letters)
        trainer._generate_single_turn = Sentences(trainer.processing_class, TEXTS)  # pyright: ignore
        trainer.model.train()  # pyright: ignore[reportOptionalMemberAccess]
        found.append((trainer, trainer._generate_and_score_completions([{"prompt": "0"}] * 4)))
    plain, unweighted, shaped = (rollout["advantages"] for _, rollout in found)
    mask = found[0][1]["completion_mask"]
    assert plain.shape == (4,)
    assert unweighted.shape == shaped.shape == mask.shape
    assert torch.allclose(unweighted, plain[:, None] * mask, atol=1e-5)
    rewards = np.array(letters([], TEXTS))
    # Potential of the state before each sentence; a text that ended is taken at its last sentence.
    before = np.array([[0.0, 3 / 4, 3 / 9], [0.0, 0.0, 0.0], [0.0, 2 / 3, 2 / 3], [0.0, 0.0, 0.0]])
    returns = rewards[:, None] - before
    advantages = returns - returns.mean(0)
    rows = [advantages[0], advantages[1, :1], advantages[2, :2], advantages[3, :1]]
    scale = 1.0
    if scaled == "group":
        scale = np.sqrt(sum((row**2).mean() for row in rows) / 3) + 1e-4
    # "abc." and the space that shows it ended, "xyz." and the space, "yy" with the end token.
    expected = [[rows[0][0]] * 5 + [rows[0][1]] * 5 + [rows[0][2]] * 3, [rows[1][0]] * 3, [], [rows[3][0]] * 5]
    expected[2] = [rows[2][0]] * 4 + [rows[2][1]] * 3
    for row, wanted in enumerate(expected):
        assert shaped[row, : len(wanted)].tolist() == pytest.approx([one / scale for one in wanted], abs=1e-5)
        assert not shaped[row, len(wanted) :].any()
    metrics = found[2][0]._metrics["train"]
    assert metrics["shaping/sentences"] == [pytest.approx(7 / 4)]
    assert metrics["shaping/variance"][0] > 0
    # TRL's loss takes a number a token: while the policy is its own reference, it is the mean of what they are.
    trainer, rollout = found[2]
    trainer.current_gradient_accumulation_steps = 1  # pyright: ignore[reportAttributeAccessIssue]
    loss = trainer._compute_loss(trainer.model, rollout)
    assert float(loss.detach()) == pytest.approx(-np.mean([np.mean(one) for one in expected]) / scale, abs=1e-5)
    gradients = []
    for advantages_of in (shaped, plain):
        trainer.model.zero_grad()  # pyright: ignore[reportOptionalMemberAccess]
        trainer._compute_loss(trainer.model, {**rollout, "advantages": advantages_of}).backward()
        found_in = [one.grad for one in trainer.model.parameters() if one.grad is not None]  # pyright: ignore
        gradients.append(torch.cat([one.flatten() for one in found_in]))
    assert float((gradients[0] - gradients[1]).norm()) > 0.1 * float(gradients[1].norm()) > 0


@pytest.mark.slow
def test_a_shaped_training_resumes_to_the_same_curve(
    tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord]
) -> None:
    settings: dict[str, Any] = {"max_steps": 4, "max_new_tokens": 16, "save_steps": 2, "shaping": {"gamma": 0.9}}
    job = make_job(tmp_path, tiny_model, toy_pairs, **settings)
    whole, first, second = Log(), Log(stop_after=2), Log()
    grpo_trainer(job, toy_pairs, tmp_path / "whole", [whole], letters)[0].train()
    grpo_trainer(job, toy_pairs, tmp_path / "work", [first], letters)[0].train()
    at = latest_complete_checkpoint(tmp_path / "work")
    grpo_trainer(job, toy_pairs, tmp_path / "work", [second], letters)[0].train(resume_from_checkpoint=str(at))
    for name in ("loss", "reward", "shaping/sentences", "shaping/variance"):
        assert [row[name] for row in first.rows + second.rows] == [row[name] for row in whole.rows]


def test_shaping_asks_for_a_score(
    tmp_path: Path, tiny_model: Path, toy_pairs: list[PreferenceRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path, tiny_model, toy_pairs, shaping={})
    monkeypatch.setattr("shared.training.grpo.load_reward", lambda *_: Table())
    with pytest.raises(UsageError, match=r"grpo\.shaping asks for a reward model with a score"):
        grpo_trainer(job, toy_pairs, tmp_path / "work", [])
