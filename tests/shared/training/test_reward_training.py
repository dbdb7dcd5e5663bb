"""Reward models with a body through the real training child: cycles, options, every body, whole and adapted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.data.record_files import write_records
from shared.records import Message, PreferenceRecord
from shared.rewards.general_preference import GeneralPreferenceModel
from shared.rewards.loading import load_reward
from shared.rewards.protocol import PreferenceModel, ScalarReward
from shared.training.config import LoraConfig, RewardConfig, RewardJob, TrainingResult
from shared.training.launch import launch

pytestmark = pytest.mark.slow

Train = Callable[..., tuple[PreferenceModel, TrainingResult]]
ANSWERS = {"A": "rest and sleep", "B": "go for a walk", "C": "talk to a friend"}
CYCLE = [("A", "B"), ("B", "C"), ("C", "A")]


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


@pytest.fixture
def train(request: pytest.FixtureRequest, tmp_path: Path) -> Train:
    def run(body: str, pairs: list[PreferenceRecord], **config: Any) -> tuple[PreferenceModel, TrainingResult]:
        base: Path = request.getfixturevalue(body)
        records = tmp_path / "train.arrow"
        write_records(records, pairs)
        settings = {"batch_size": 6, "micro_batch_tokens": 4096, "max_length": 64, "lora": None, "learning_rate": 5e-3}
        job = RewardJob(
            model=base,
            records=[records],
            output=tmp_path / "rm",
            precision="float32",
            config=RewardConfig(**(settings | config)),
        )
        result = launch(job, tmp_path / "work")
        return load_reward(job.output, base, "float32"), result

    return run


def cyclic_pairs() -> list[PreferenceRecord]:
    return [
        PreferenceRecord(
            id=f"{number}-{better}{worse}",
            group_id=str(number),
            source=f"cycle.csv:{number}",
            prompt=(Message("user", "how do i sleep?"),),
            chosen=ANSWERS[better],
            rejected=ANSWERS[worse],
        )
        for number in range(2)
        for better, worse in CYCLE
    ]


def learnt(model: PreferenceModel) -> int:
    pairs = cyclic_pairs()[: len(CYCLE)]
    return int((model.compare_records(pairs) > 0).sum())


@pytest.mark.parametrize("body", ["tiny_model", "tiny_encoder"])
def test_a_cycle_is_learnt_by_one_plane_and_reported(body: str, train: Train) -> None:
    model, _ = train(body, cyclic_pairs(), kind="gpm", gpm={"k": 1}, epochs=40, learning_rate=1e-3)
    assert learnt(model) == 3
    prompt = (Message("user", "how do i sleep?"),)
    ranking = model.rank(prompt, list(ANSWERS.values()))
    assert ranking.cycle == (0, 1, 2)
    assert ranking.condorcet_winner is None
    assert ranking.wins.tolist() == [1, 1, 1]


@pytest.mark.parametrize("body", ["tiny_model", "tiny_encoder"])
def test_a_scalar_reward_learns_two_of_three_at_most(body: str, train: Train) -> None:
    model, result = train(body, cyclic_pairs(), epochs=40)
    assert learnt(model) <= 2
    assert result.metrics["loss_last"] > 0.6  # a coin has log 2 = .693, and a cycle allows no less


LAST_BLOCK = LoraConfig(rank=8, targets=["query", "value", "q_proj", "v_proj"], last_blocks=1)


@pytest.mark.parametrize(
    ("lora", "gpm"),
    [
        (None, {"k": 2, "normalise": True, "tau": 0.5}),
        (LoraConfig(rank=4), {"k": 2, "tau": 1.0}),
        (LAST_BLOCK, {"k": 1, "gate": False, "tau": 1.0}),
    ],
    ids=["whole, normalised", "adapters", "adapters of the last block, no gate"],
)
@pytest.mark.parametrize("body", ["tiny_model", "tiny_encoder"])
def test_general_preference_models_learn_save_and_load(
    body: str,
    lora: LoraConfig | None,
    gpm: dict[str, Any],
    train: Train,
    toy_pairs: list[PreferenceRecord],
    tmp_path: Path,
) -> None:
    options = {"epochs": 6, "batch_size": 4, "micro_batch_tokens": 300, "lora": lora}
    model, result = train(body, toy_pairs, kind="gpm", gpm=gpm, **options)
    assert isinstance(model, GeneralPreferenceModel)
    assert not isinstance(model, ScalarReward)
    assert result.truncated > 0
    assert result.metrics["loss_last"] < result.metrics["loss_first"]
    files = {path.name for path in (tmp_path / "rm").iterdir()}
    assert "reward.json" in files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)
    prompts = [pair.prompt for pair in toy_pairs]
    chosen, rejected = [p.chosen for p in toy_pairs], [p.rejected for p in toy_pairs]
    odds = model.compare(prompts, chosen, rejected)
    assert (odds > 0).mean() > 0.9
    assert np.array_equal(odds, -model.compare(prompts, rejected, chosen))
    assert odds == pytest.approx(model.compare(prompts, chosen, rejected, batch_size=3), abs=1e-3)


def test_a_pair_weight_of_zero_teaches_nothing(train: Train, toy_pairs: list[PreferenceRecord]) -> None:
    """Half of the pairs are reversed and weigh 0: the model follows the others."""
    from dataclasses import replace

    reversed_pairs = [
        replace(pair, id=f"r-{pair.id}", chosen=pair.rejected, rejected=pair.chosen, weight=0.0) for pair in toy_pairs
    ]
    model, _ = train("tiny_encoder", [*toy_pairs, *reversed_pairs], epochs=5, batch_size=8, micro_batch_tokens=300)
    assert (model.compare_records(toy_pairs) > 0).mean() > 0.9


def test_soft_labels_from_votes_hold_the_log_odds_down(train: Train, toy_pairs: list[PreferenceRecord]) -> None:
    from dataclasses import replace

    from shared.records import Votes

    voted = [replace(pair, votes=Votes(chosen=3, rejected=1)) for pair in toy_pairs]
    model, _ = train("tiny_encoder", voted, epochs=12, batch_size=4, micro_batch_tokens=300, soft_labels=True)
    odds = model.compare_records(voted)
    assert float(odds.mean()) == pytest.approx(np.log(3), abs=0.5)  # three of four votes
