"""Bradley-Terry reward models through a thin subclass of TRL's trainer, on a causal body or an encoder."""

# ruff: noqa: ARG002  (the signatures are those of transformers and TRL)

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.reward_config import RewardConfig as TrlRewardConfig
from trl.trainer.reward_trainer import RewardTrainer as TrlRewardTrainer

from shared.records import PreferenceRecord
from shared.rewards.bradley_terry import ScorerSettings, is_encoder, load_scorer, scorer_tokenizer, tokens_to_score
from shared.training.arguments import adapters, common_arguments
from shared.training.batches import LengthSortedSampler, ScoreCollator
from shared.training.checkpoints import CompleteCheckpoints
from shared.training.config import RewardJob
from shared.training.objectives import bradley_terry_loss


class RewardTrainer(CompleteCheckpoints, TrlRewardTrainer):
    """TRL's RewardTrainer on token ids that are given: no pair is ever dropped for its length."""

    lengths: list[int]
    use_margin: bool
    centre: float

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # already token ids, cut to length

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSortedSampler:
        pairs = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return LengthSortedSampler(self.lengths, pairs, self.args.seed)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean over the pairs of weight times `bradley_terry_loss`, plus the pull of the scores to 0."""
        margin, weight = inputs.pop("margin"), inputs.pop("weight")
        chosen, rejected = model(**inputs).logits.squeeze(-1).float().chunk(2)
        losses, metrics = bradley_terry_loss(chosen, rejected, margin if self.use_margin else None)
        for name, values in metrics.items():
            gathered: Any = self.accelerator.gather(values)
            self._metrics["train"][name].append(gathered.mean().item())
        return (losses * weight).mean() + self.centre * ((chosen + rejected) ** 2).mean()


def reward_rows(
    records: Sequence[PreferenceRecord], settings: ScorerSettings, tokenizer: Any
) -> tuple[list[dict[str, Any]], int]:
    """Token ids of both sides of every pair; and how many pairs were cut to max_length."""
    rows, truncated = [], 0
    for record in records:
        row: dict[str, Any] = {"margin": record.margin or 0.0, "weight": record.weight}
        cut = False
        for side, response in (("chosen", record.chosen), ("rejected", record.rejected)):
            tokens, shorter = tokens_to_score(settings, record.prompt, response, tokenizer)
            row[f"{side}_ids"], row[f"{side}_types"] = tokens["ids"], tokens["types"]
            cut |= shorter
        truncated += cut
        rows.append(row)
    return rows, truncated


def reward_trainer(
    job: RewardJob, records: Sequence[PreferenceRecord], work: Path, callbacks: list[Any]
) -> tuple[RewardTrainer, ScorerSettings, int, int]:
    """The trainer of a job, ready to train.

    Returns:
        (trainer, settings to save with the model, pairs that were cut, tokens of an epoch).
    """
    from transformers import set_seed

    encoder = is_encoder(job.model)
    settings = ScorerSettings(
        body="encoder" if encoder else "causal-lm", prompt=job.prompt, max_length=job.config.max_length
    )
    tokenizer = scorer_tokenizer(job.model)
    rows, truncated = reward_rows(records, settings, tokenizer)
    lengths = [max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
    set_seed(job.seed)  # the head starts at random
    trainer = RewardTrainer(
        model=load_scorer(job.model, tokenizer),
        args=TrlRewardConfig(**common_arguments(job, len(rows), work), max_length=None),
        data_collator=ScoreCollator(int(tokenizer.pad_token_id), encoder),  # pyright: ignore
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=adapters(job, "SEQ_CLS"),
    )
    trainer.lengths = lengths
    trainer.use_margin, trainer.centre = job.config.use_margin, job.config.centre
    tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    return trainer, settings, truncated, tokens
