"""DPO through a thin subclass of TRL's trainer.

TRL owns the arguments, the loop, mixed precision and distribution; ours are the batches (no attention mask, sorted
by length, our own tokens), the objective as a pure function, the stored reference and the checkpoints.
"""

# ruff: noqa: ARG002  (the signatures are those of transformers and TRL)

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from shared.errors import DataError
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import tokenize_pair
from shared.records import PreferenceRecord
from shared.training.arguments import adapters, common_arguments
from shared.training.batches import LengthSortedSampler, PolicyCollator
from shared.training.checkpoints import CompleteCheckpoints
from shared.training.config import DpoJob
from shared.training.objectives import dpo_loss
from shared.training.reference import PairLogps
from shared.training.token_logps import completion_logps

log = logging.getLogger(__name__)


class DpoTrainer(CompleteCheckpoints, DPOTrainer):
    """TRL's DPOTrainer on token ids and reference log-probabilities that are given."""

    lengths: list[int]

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # already token ids

    def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
        return dataset  # columns ref_chosen_logps and ref_rejected_logps are there

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSortedSampler:
        return LengthSortedSampler(self.lengths, self._pairs_a_step(), self.args.seed)

    def _pairs_a_step(self) -> int:
        return self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Mean over the pairs of weight times `dpo_loss`; the metrics' means go to the log."""
        if self.args.world_size > 1:
            # Gradients are averaged over ranks in hooks of the wrapper, so its own forward must run: TRL's fused head.
            labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
            output = model(input_ids=inputs["input_ids"], labels=labels, use_cache=False, fused_lm_head=True)
            sums = output.log_probs.sum(dim=1)
        else:
            sums = completion_logps(model, inputs["input_ids"], inputs["completion_mask"])
        chosen, rejected = sums.chunk(2)
        losses, metrics = dpo_loss(
            chosen, rejected, inputs["ref_chosen_logps"], inputs["ref_rejected_logps"], self.beta
        )
        for name, values in metrics.items():
            gathered: Any = self.accelerator.gather(values)
            self._metrics["train"][name].append(gathered.mean().item())
        return (losses * inputs["weight"]).mean()


def dpo_rows(
    records: Sequence[PreferenceRecord], reference: Mapping[str, PairLogps], job: DpoJob, tokenizer: Any
) -> tuple[list[dict[str, Any]], int]:
    """Token ids with the reference's log-probabilities of every pair.

    Returns:
        (rows, number of pairs that were cut to max_length).

    Raises:
        DataError: where the reference misses a record, or was computed on other tokens.
    """
    rows, truncated = [], 0
    for record in records:
        prompt, chosen, rejected, cut = tokenize_pair(job.prompt, record, tokenizer, job.config.max_length)
        truncated += cut
        known = reference.get(record.id)
        if known is None or (known.chosen_tokens, known.rejected_tokens) != (len(chosen), len(rejected)):
            state = "has no row for" if known is None else "was computed on other tokens of"
            raise DataError(
                f"{job.reference}: the reference {state} the record {record.id} ({record.source}); compute it with "
                "the same records, prompt format and max_length."
            )
        rows.append(
            {
                "prompt_ids": prompt,
                "chosen_ids": chosen,
                "rejected_ids": rejected,
                "weight": record.weight,
                "ref_chosen_logps": known.chosen_sum,
                "ref_rejected_logps": known.rejected_sum,
            }
        )
    return rows, truncated


def dpo_trainer(
    job: DpoJob,
    records: Sequence[PreferenceRecord],
    reference: Mapping[str, PairLogps],
    work: Path,
    callbacks: list[Any],
) -> tuple[DpoTrainer, int, int]:
    """The trainer of a job, ready to train.

    Returns:
        (trainer, pairs that were cut, tokens of an epoch).
    """
    tokenizer = load_tokenizer(job.model)
    rows, truncated = dpo_rows(records, reference, job, tokenizer)
    lengths = [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
    model = load_causal_lm(job.model)
    arguments = DPOConfig(
        **common_arguments(job, len(rows), work),
        beta=job.config.beta,
        loss_type=[job.config.loss],
        max_length=None,
        precompute_ref_log_probs=True,
    )
    trainer = DpoTrainer(
        model=model,
        args=arguments,
        data_collator=PolicyCollator(int(tokenizer.pad_token_id)),  # pyright: ignore
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=adapters(job, "CAUSAL_LM"),
    )
    trainer.lengths = lengths
    tokens = sum(2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
    return trainer, truncated, tokens
