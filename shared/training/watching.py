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
from shared.training.layouts import without_trees
from shared.training.trees import cut_by_tokens

log = logging.getLogger(__name__)

HISTORY_FILE = "evaluations.jsonl"
BEST_FILE = "best-{}.safetensors"
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
        self._saved = state.global_step
        if state.is_world_process_zero:
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(row) + "\n" for row in self._rows))
            self._drop_weights()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Weights that only an earlier checkpoint would have needed can go."""
        self._saved = state.global_step
        if state.is_world_process_zero:
            self._drop_weights()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluates where it is time, keeps the best weights, and ends the training where the rules say so."""
        every = self._config.evaluate_steps
        last = state.global_step >= state.max_steps
        if every is None or not (last or state.global_step % every == 0):
            return control
        row = self._of_all_ranks({"step": float(state.global_step), **self.evaluate()})
        self._rows.append(row)
        self._trainer.noted = {f"eval/{name}": value for name, value in row.items() if name != "step"}
        best, since = self._best(self._rows)
        if state.is_world_process_zero:
            if best == state.global_step:
                model = self._trainer.accelerator.unwrap_model(self._trainer.model)
                _write_weights(model, self._work / BEST_FILE.format(best))
                self._drop_weights()
            write_text(self._work / HISTORY_FILE, "".join(json.dumps(one) + "\n" for one in self._rows))
        reason = self._reason(row, since)
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

    def _allowed(self, row: dict[str, float]) -> bool:
        budget = self._config.kl_budget
        return budget is None or row["kl"] <= budget

    def _best(self, rows: Sequence[dict[str, float]]) -> tuple[int | None, int]:
        """(step of the best evaluation, evaluations since): a later one is better by `least_gain` at least."""
        best, value, since = None, -math.inf, 0
        for row in rows:
            if self._allowed(row) and self._value(row) > value + self._config.least_gain:
                best, value, since = int(row["step"]), self._value(row), 0
            else:
                since += 1
        return best, since

    def _of_all_ranks(self, row: dict[str, float]) -> dict[str, float]:
        """The first rank's row: sampling on a GPU need not agree to the last bit, and all ranks must stop together."""
        if self._trainer.args.world_size == 1:
            return row
        told = [row]
        torch.distributed.broadcast_object_list(told, src=0)
        return told[0]

    def _drop_weights(self) -> None:
        """Removes the weights that are no longer the best, nor would be once the last checkpoint is resumed."""
        kept = {self._best(self._rows)[0], self._best([row for row in self._rows if row["step"] <= self._saved])[0]}
        for step, path in _kept_weights(self._work).items():
            if step not in kept:
                path.unlink()

    def _value(self, row: dict[str, float]) -> float:
        sign = -1.0 if self._config.metric in SMALLER_IS_BETTER else 1.0
        return sign * row[self._config.metric]

    def _reason(self, row: dict[str, float], since: int) -> str | None:
        if not self._allowed(row):
            return f"the KL divergence is {row['kl']:.3f} nats a token, over the budget of {self._config.kl_budget:g}"
        patience = self._config.patience
        if patience is None or since < patience:
            return None
        return f"no better {self._config.metric} in {since} evaluations"


def keep_best(trainer: PolicyTrainer, work: Path) -> int:
    """Puts the best weights back into the model at the end of a training.

    Returns:
        Their step.

    Raises:
        StageError: no evaluation stayed within the KL budget.
    """
    kept = _kept_weights(work)
    if not kept:
        raise StageError(
            "no evaluation of the training stayed within stopping.kl_budget: lower `learning_rate`, raise `beta` or "
            "the budget, or evaluate earlier (stopping.evaluate_steps)."
        )
    from safetensors.torch import load_file

    step = max(kept)  # a later one was written because it is better
    trainer.accelerator.unwrap_model(trainer.model).load_state_dict(load_file(str(kept[step])), strict=False)
    return step


def _kept_weights(work: Path) -> dict[int, Path]:
    """Files of best weights by step."""
    return {int(path.stem.rpartition("-")[2]): path for path in work.glob(BEST_FILE.format("*"))}


def _write_weights(model: Any, path: Path) -> None:
    """The trained weights, whole or not at all."""
    from safetensors.torch import save_file

    wanted = {name: value.detach().contiguous() for name, value in model.named_parameters() if value.requires_grad}
    place = path.with_suffix(".writing")
    with disk_errors(path):
        save_file(wanted, str(place))
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
