"""Looking at a policy while it is trained: validation metrics, the best weights, early stop and a KL budget."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

import json
import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from shared.durable import disk_errors, write_text
from shared.errors import StageError
from shared.records import PreferenceRecord
from shared.training.config import DpoJob, StoppingConfig
from shared.training.dpo import PairExample, PolicyTrainer
from shared.training.layouts import token_logps, without_trees
from shared.training.trees import cut_by_tokens

log = logging.getLogger(__name__)

HISTORY_FILE = "evaluations.jsonl"
BEST_FILE = "best.safetensors"
STEP = "valign.step"
SMALLER_IS_BETTER = ("loss",)


class Watch(TrainerCallback):
    """Evaluates every `evaluate_steps` steps and at the end.

    Args:
        trainer: of the policy.
        examples: validation pairs.
        records: the same as records, for the prompts that are sampled.
        job: the training.
        work: folder for the history and the best weights; both survive a crash, and what came after the checkpoint
            that is resumed is dropped and evaluated again.
    """

    def __init__(
        self,
        trainer: PolicyTrainer,
        examples: Sequence[PairExample],
        records: Sequence[PreferenceRecord],
        job: DpoJob,
        work: Path,
    ) -> None:
        self._trainer, self._examples, self._records, self._job, self._work = trainer, examples, records, job, work
        self._base: Any = None

    @property
    def _config(self) -> StoppingConfig:
        return self._job.config.stopping

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forgets evaluations of steps that will be trained again."""
        self._rows = [row for row in _history(self._work) if row["step"] <= state.global_step]
        if state.is_world_process_zero:
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(row) + "\n" for row in self._rows))
            if not self._rows:
                (self._work / BEST_FILE).unlink(missing_ok=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluates where it is time, keeps the best weights, and ends the training where the rules say so."""
        every = self._config.evaluate_steps
        last = state.global_step >= state.max_steps
        if every is None or not (last or state.global_step % every == 0):
            return control
        row = {"step": float(state.global_step), **self.evaluate()}
        better = self._allowed(row) and self._gain(row) > self._config.least_gain
        self._rows.append(row)
        self._trainer.noted = {f"eval/{name}": value for name, value in row.items() if name != "step"}
        if state.is_world_process_zero:
            if better:
                _write_weights(
                    self._trainer.accelerator.unwrap_model(self._trainer.model),
                    self._work / BEST_FILE,
                    state.global_step,
                )
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(one) + "\n" for one in self._rows))
        reason = self._reason(row)
        if reason and not last:
            log.info("step %d: the training ends early: %s", state.global_step, reason)
            control.should_training_stop = True
        return control

    def evaluate(self) -> dict[str, float]:
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
                    loss, _ = trainer.losses(model, part)
                    trees = [example.trees[0] for example in part]
                    sums = token_logps(model, trees, trainer.layout).sums().view(-1, 2).double().cpu()
                losses += float(loss.double().sum())
                for example, (chosen, rejected) in zip(part, sums.tolist(), strict=True):
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

    def _allowed(self, row: dict[str, float]) -> bool:
        budget = self._config.kl_budget
        return budget is None or row["kl"] <= budget

    def _gain(self, row: dict[str, float]) -> float:
        """How much better than the best before."""
        before = [self._value(one) for one in self._rows if self._allowed(one)]
        return self._value(row) - max(before) if before else math.inf

    def _value(self, row: dict[str, float]) -> float:
        sign = -1.0 if self._config.metric in SMALLER_IS_BETTER else 1.0
        return sign * row[self._config.metric]

    def _reason(self, row: dict[str, float]) -> str | None:
        if not self._allowed(row):
            return f"the KL divergence is {row['kl']:.3f} nats a token, over the budget of {self._config.kl_budget:g}"
        patience = self._config.patience
        if patience is None:
            return None
        best, since = -math.inf, 0
        for one in self._rows:
            if self._allowed(one) and self._value(one) > best + self._config.least_gain:
                best, since = self._value(one), 0
            else:
                since += 1
        return f"no better {self._config.metric} in {since} evaluations" if since >= patience else None


def keep_best(trainer: PolicyTrainer, work: Path) -> int:
    """Puts the best weights back into the model at the end of a training.

    Returns:
        Their step.

    Raises:
        StageError: no evaluation stayed within the KL budget.
    """
    path = work / BEST_FILE
    if not path.is_file():
        raise StageError(
            "no evaluation of the training stayed within stopping.kl_budget: lower `learning_rate`, raise `beta` or "
            "the budget, or evaluate earlier (stopping.evaluate_steps)."
        )
    from safetensors.torch import load_file

    state = load_file(str(path))
    step = int(state.pop(STEP).item())
    trainer.accelerator.unwrap_model(trainer.model).load_state_dict(state, strict=False)
    return step


def _write_weights(model: Any, path: Path, step: int) -> None:
    """The trained weights, whole or not at all."""
    from safetensors.torch import save_file

    wanted = {name: value.detach().contiguous() for name, value in model.named_parameters() if value.requires_grad}
    place = path.with_suffix(".writing")
    with disk_errors(path):
        save_file({**wanted, STEP: torch.tensor(step)}, str(place))
        place.replace(path)


def _measured(example: PairExample, chosen: float, rejected: float) -> tuple[float, float, float]:
    """(margin a token, whether ranked right, whether the implicit reward is right)."""
    of_chosen, of_rejected = (len(completion) for completion in example.trees[0].completions)
    reward = 0.5
    if "chosen" in example.reference:
        gain = chosen - example.reference["chosen"] - rejected + example.reference["rejected"]
        reward = 0.5 * (1 + math.copysign(1, gain)) if gain else 0.5
    return chosen / of_chosen - rejected / of_rejected, float(chosen >= rejected), reward


def _history(work: Path) -> list[dict[str, float]]:
    path = work / HISTORY_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
