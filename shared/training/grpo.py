"""GRPO through a thin subclass of TRL's trainer.

TRL owns the advantages, the loss, the loop and distribution; ours are the prompts' tokens (the recipe's prompt format),
the sampler (`shared.sampling`: seeds a response, so that a resumed training samples what an uninterrupted one samples),
the reward models and the checkpoints.
"""

# ruff: noqa: ARG002  (the signatures are those of transformers and TRL)

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from shared.device import DeviceChoice, pick_device
from shared.errors import UsageError
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import stop_ids, tokenize_prompt
from shared.records import Message, PreferenceRecord
from shared.rewards.loading import load_reward
from shared.rewards.protocol import PreferenceModel, ScalarReward, candidate_scores
from shared.sampling.decoding import decode
from shared.sampling.settings import GenerationConfig, rows_of
from shared.sampling.weights import sampling_copy
from shared.training.arguments import adapters
from shared.training.checkpoints import CompleteCheckpoints
from shared.training.grpo_credit import RewardFunction, SentenceCredit
from shared.training.grpo_job import GrpoJob

# They differ between two equal trainings, and rows must not depend on where a training was resumed.
VARYING = ("step_time", "num_tokens")


class GrpoTrainer(CompleteCheckpoints, GRPOTrainer):
    """TRL's GRPOTrainer on prompts that are given as token ids; a row's prompt is the number of its record."""

    prompt_tokens: list[list[int]]
    sampling: GenerationConfig
    end_ids: list[int]
    choice: DeviceChoice
    credit: SentenceCredit | None = None

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.prompt_tokens[int(number)] for number in prompts], None, {}

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Any,
        num_generations: int,
        *rest: Any,
        **more: Any,
    ) -> tuple[list[list[int]], None]:
        """Token ids of one response a row; equal prompts stand beside each other and get different responses."""
        rank = int(os.environ.get("RANK", "0"))
        seed = (self.args.seed * 1_000_003 + self.state.global_step) * 1_009 + rank
        model = self.accelerator.unwrap_model(self.model)
        dtype = torch.bfloat16 if self.choice.autocast_bf16 else torch.float32
        asked: list[list[int]] = []
        place: dict[tuple[int, ...], int] = {}
        for ids in prompt_ids:
            place.setdefault(tuple(ids), len(place))
        asked = [list(ids) for ids in place]
        counts = [0] * len(asked)
        for ids in prompt_ids:
            counts[place[tuple(ids)]] += 1
        most = max(counts)
        every = rows_of(asked, most, seed)
        wanted = [every[number * most + sample] for number, count in enumerate(counts) for sample in range(count)]
        with torch.no_grad():
            copy = sampling_copy(model, dtype)
            written = decode(
                copy,
                asked,
                wanted,
                self.sampling.model_copy(update={"seed": seed, "n": most}),
                self.end_ids,
                int(self.processing_class.pad_token_id),  # pyright: ignore
            )
        waiting: dict[int, list[list[int]]] = {}
        for row, one in zip(wanted, written, strict=True):
            waiting.setdefault(row.prompt, []).append(one.tokens)
        return [waiting[place[tuple(ids)]].pop(0) for ids in prompt_ids], None

    def _calculate_rewards(
        self, inputs: Any, prompts: list[Any], completions: list[Any], completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        """TRL's rewards, [responses of all ranks, functions]; where sentences are credited, their potentials too."""
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self.credit is not None:
            self.credit.keep(rewards[:, 0].tolist(), prompts, completions, completion_ids_list)
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """TRL's rollout; its advantages, one a response [rows], become one a token [rows, time] where asked for.

        TRL's loss takes either (it says so where it unsqueezes them) and multiplies every token's ratio with its own.
        """
        rollout = super()._generate_and_score_completions(inputs)
        if self.credit is not None:
            place, rows = self.accelerator.process_index, len(rollout["advantages"])
            told = self.credit.advantages(self.num_generations or 1, self.scale_rewards != "none")
            padded = torch.zeros(rollout["completion_ids"].shape)
            for row, values in enumerate(told.tokens[place * rows : (place + 1) * rows]):
                padded[row, : len(values)] = torch.tensor(values)
            rollout["advantages"] = padded.to(rollout["advantages"])
            for name, value in told.metrics.items():
                self._metrics["train"][name].append(value)
        return rollout

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """TRL's metrics without those that vary."""
        for metrics in self._metrics.values():
            for name in [name for name in metrics if name in VARYING or name.startswith("profiling/")]:
                metrics.pop(name)
        super().log(logs, *args, **kwargs)


def reward_of(model: PreferenceModel) -> RewardFunction:
    """A reward model of any kind as a reward of (prompts, responses).

    One with a scalar score gives it. One that only compares gives each response's mean log-odds against the responses
    to the same prompt in the batch, its group.
    """

    def reward(prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> list[float]:
        groups: dict[tuple[Message, ...], list[int]] = {}
        for place, prompt in enumerate(prompts):
            groups.setdefault(prompt, []).append(place)
        found = candidate_scores(model, list(groups), [[responses[i] for i in places] for places in groups.values()])
        values = [0.0] * len(responses)
        for places, scores in zip(groups.values(), found, strict=True):
            for place, score in zip(places, scores.tolist(), strict=True):
                values[place] = score
        return values

    return reward


def _reward(job: GrpoJob) -> RewardFunction:
    """The job's reward model as a function.

    Raises:
        UsageError: sentences are to be credited and the model has no score of one text.
    """
    model = load_reward(job.reward, job.reward_base, job.precision)
    if job.config.shaping is not None and not isinstance(model, ScalarReward):
        raise UsageError(
            "grpo.shaping asks for a reward model with a score of its own, and this one only compares: set "
            "grpo.shaping=null, or another reward.kind."
        )
    return reward_of(model)


def grpo_arguments(job: GrpoJob, work: Path) -> dict[str, Any]:
    """TRL's arguments of a job.

    Raises:
        UsageError: where a step's responses cannot be cut into micro-batches on this number of devices.
    """
    config, choice = job.config, pick_device(job.precision)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    responses = config.prompts_per_step * config.group_size
    micro = math.gcd(min(config.micro_batch_size, max(1, responses // ranks)), max(1, responses // ranks))
    if responses % ranks:
        raise UsageError(
            f"grpo: {config.prompts_per_step} prompts of {config.group_size} responses cannot be shared by {ranks} "
            "devices: change prompts_per_step."
        )
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": responses // (micro * ranks),
        "max_steps": config.max_steps,
        "num_generations": config.group_size,
        "max_completion_length": config.max_new_tokens,
        "temperature": config.temperature,
        "beta": config.beta,
        "epsilon": config.epsilon,
        "loss_type": config.loss,
        "scale_rewards": config.scale_rewards,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": round(config.warmup_ratio * config.max_steps),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch",
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": choice.autocast_bf16,
        "use_cpu": choice.device == "cpu",
        "gradient_checkpointing": config.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "save_total_limit": None,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "log_completions": False,
        "disable_dropout": True,
    }


def grpo_trainer(
    job: GrpoJob,
    records: Sequence[PreferenceRecord],
    work: Path,
    callbacks: list[Any],
    reward: RewardFunction | None = None,
) -> tuple[GrpoTrainer, int, int]:
    """The trainer of a job, ready to train.

    Args:
        job: the job.
        records: their prompts are answered.
        work: folder of checkpoints.
        callbacks: of transformers' trainer.
        reward: (prompts, responses) -> rewards; the job's reward model where None.

    Returns:
        (trainer, prompts that were cut, tokens of the prompts).
    """
    tokenizer = load_tokenizer(job.model)
    choice = pick_device(job.precision)
    room = max(1, job.config.max_length - job.config.max_new_tokens)
    whole = [tokenize_prompt(job.prompt, record.prompt, tokenizer) for record in records]
    tokens = [ids[-room:] for ids in whole]
    given = reward or _reward(job)

    def score(prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
        asked = [records[int(number)].prompt for number in prompts]
        return list(given(asked, [text.strip() for text in completions]))

    trainer = GrpoTrainer(
        model=load_causal_lm(job.model),
        reward_funcs=[score],
        args=GRPOConfig(**grpo_arguments(job, work)),
        train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(len(records))]),
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=adapters(job, "CAUSAL_LM"),  # pyright: ignore[reportArgumentType]
    )
    trainer.prompt_tokens, trainer.choice = tokens, choice
    if job.config.shaping is not None:
        asked_of = [record.prompt for record in records]
        trainer.credit = SentenceCredit(job.config.shaping, given, asked_of, tokenizer)
    trainer.end_ids = stop_ids(job.prompt, tokenizer)
    trainer.sampling = GenerationConfig(
        max_new_tokens=job.config.max_new_tokens,
        temperature=job.config.temperature,
        batch_size=max(16, job.config.group_size),
        n=job.config.group_size,
    )
    truncated = sum(len(short) < len(full) for short, full in zip(tokens, whole, strict=True))
    return trainer, truncated, sum(len(ids) for ids in tokens)
