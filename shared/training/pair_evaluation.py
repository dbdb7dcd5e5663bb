"""Metrics of a policy on validation pairs, and its KL divergence from the reference, while it is trained."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from shared.records import PreferenceRecord
from shared.training.config import DpoJob, StoppingConfig
from shared.training.dpo import PairExample, PolicyTrainer
from shared.training.layouts import without_trees
from shared.training.trees import cut_by_tokens


class PairEvaluation:
    """What `shared.training.watching.Watch` calls in a training on pairs.

    Args:
        trainer: of the policy.
        examples: validation pairs.
        records: the same as records, for the prompts that are sampled.
        job: the training; the reference of the divergence is the model that it starts from.
    """

    def __init__(
        self,
        trainer: PolicyTrainer,
        examples: Sequence[PairExample],
        records: Sequence[PreferenceRecord],
        job: DpoJob,
    ) -> None:
        self._trainer, self._examples, self._records, self._job = trainer, examples, records, job
        self._base: Any = None

    @property
    def _config(self) -> StoppingConfig:
        return self._job.config.stopping

    def __call__(self) -> dict[str, float]:
        """Metrics on the validation pairs, and the KL divergence where a budget asks for it."""
        trainer = self._trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        model.eval()
        rows: list[tuple[float, float, float]] = []
        losses = 0.0
        with torch.no_grad():
            trainer.before_step(model, self._examples)
            costs = [trainer.cost(example) for example in self._examples]
            for group in cut_by_tokens(costs, 2 * trainer.budget):
                part = [self._examples[index] for index in group]
                with trainer.choice.autocast():
                    terms = trainer.terms(model, part)
                    loss, _ = trainer.losses_of(terms)
                losses += float(loss.double().sum())
                sides = terms.chosen.double().tolist(), terms.rejected.double().tolist()
                for example, chosen, rejected in zip(part, *sides, strict=True):
                    rows.append(_measured(example, chosen, rejected))
        margin, ranked, rewarded = (sum(values) / len(rows) for values in zip(*rows, strict=True))
        found = {
            "loss": losses / trainer.items(len(self._examples)),
            "margin_per_token": margin,
            "ranking_accuracy": ranked,
        }
        if trainer.objective.needs_reference:
            found["reward_accuracy"] = rewarded
        if self._config.kl_budget is not None:
            found["kl"] = self._divergence(model)
        return found

    def _divergence(self, model: Any) -> float:
        """KL(policy || reference) a token on responses sampled from the policy, nats.

        The estimator is ``r - 1 - log r`` with r = pi_ref / pi (k3 of http://joschu.net/blog/kl-approx.html): unbiased
        as the mean log-ratio is, and never negative.
        """
        from shared.evaluation.policy_stage import sample_token_logps
        from shared.generation import GenerationConfig, generate
        from shared.models import load_causal_lm

        tokenizer: Any = self._trainer.processing_class
        prompts = list(dict.fromkeys(record.prompt for record in self._records))[: self._config.kl_prompts]
        sampling = GenerationConfig(max_new_tokens=self._config.kl_tokens, temperature=1.0, seed=self._job.seed)
        adapted = hasattr(model, "disable_adapter")
        if not adapted and self._base is None:
            self._base = load_causal_lm(self._job.model)
        with torch.no_grad(), without_trees(model):
            texts = [
                one[0] for one in generate(model, tokenizer, prompts, self._job.prompt, sampling, self._job.precision)
            ]
            given = (tokenizer, prompts, texts, self._job.prompt, self._job.precision)
            policy = sample_token_logps(model, *given)
            with model.disable_adapter() if adapted else nullcontext():
                reference = sample_token_logps(model if adapted else self._base, *given)
        ratios = [b - a for one, other in zip(policy, reference, strict=True) for a, b in zip(one, other, strict=True)]
        return sum(math.expm1(min(ratio, 80.0)) - ratio for ratio in ratios) / max(1, len(ratios))


def _measured(example: PairExample, chosen: float, rejected: float) -> tuple[float, float, float]:
    """(margin a token, whether ranked right, whether the implicit reward is right)."""
    of_chosen, of_rejected = (len(completion) for completion in example.trees[0].completions)
    reward = 0.5
    if "chosen" in example.reference:
        gain = chosen - example.reference["chosen"] - rejected + example.reference["rejected"]
        reward = 0.5 * (1 + math.copysign(1, gain)) if gain else 0.5
    return chosen / of_chosen - rejected / of_rejected, float(chosen >= rejected), reward
