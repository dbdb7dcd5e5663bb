"""What trainings of a `SimulPolicy` share: the policy to train, its checkpoints and what is kept of it."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

from pathlib import Path
from typing import Any

from domains.translation.policy import SimulPolicy, load_confidence, load_policy, save_policy
from domains.translation.settings import SimulFormat
from shared.device import pick_device
from shared.models import load_causal_lm
from shared.training.arguments import prepare_model
from shared.training.custom_job import CustomJob
from shared.training.step_trainer import StepTrainer


def new_policy(job: CustomJob, format: SimulFormat) -> SimulPolicy:
    """A policy over the job's base model, ready to train: adapters or all weights as `config.lora` says.

    Args:
        job: the training.
        format: how rows are made.

    Raises:
        UsageError: the architecture cannot take streams.
    """
    device = pick_device(job.precision).device
    model: Any = load_causal_lm(job.model).to(device)  # pyright: ignore[reportArgumentType]
    policy = SimulPolicy(model, format).to(device)
    policy.use_streams()
    policy.model = prepare_model(model, _any(job), "CAUSAL_LM").to(device)
    return policy


def continued_policy(job: CustomJob, folder: Path) -> SimulPolicy:
    """A saved policy to be trained on: its adapter where it has one, otherwise all its weights.

    Args:
        job: the training; `config.lora` is not read.
        folder: of the policy.
    """
    device = pick_device(job.precision).device
    policy = load_policy(job.model, folder)
    if hasattr(policy.model, "peft_config"):  # PEFT loads adapters frozen
        policy.model.set_adapter(policy.model.active_adapters[0])
    policy.to(device)
    policy.use_streams()
    whole = job.model_copy(update={"config": job.config.model_copy(update={"lora": None})})
    prepare_model(policy.model, _any(whole), "CAUSAL_LM")  # dropout off
    return policy


def _any(job: CustomJob) -> Any:
    """A job with the fields that all jobs have."""
    return job


class PolicyStepTrainer(StepTrainer):
    """A trainer whose model is a `SimulPolicy`.

    Attributes:
        base: what a saved adapter names as its base.
        head_rate: learning rate of the confidence head over that of all else. It starts at zero and has one weight a
            dimension: steps that suit a language model's weights leave it where it was.
    """

    base: str
    head_rate: float = 1.0

    def create_optimizer(self, *arguments: Any, **named: Any) -> Any:
        """That of transformers, with the head in a group of its own."""
        optimizer: Any = super().create_optimizer(*arguments, **named)
        head = {id(parameter) for parameter in self._policy().confidence.parameters()}
        alone = [one for group in optimizer.param_groups for one in group["params"] if id(one) in head]
        if self.head_rate != 1 and alone:
            for group in optimizer.param_groups:
                group["params"] = [one for one in group["params"] if id(one) not in head]
            rate = self.args.learning_rate * self.head_rate
            optimizer.add_param_group({"params": alone, "lr": rate, "weight_decay": 0.0})
        return optimizer

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Adapter or model, confidence head, settings and tokenizer."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        save_policy(self._policy(), folder, self.base)
        tokenizer: Any = self.processing_class
        tokenizer.save_pretrained(str(folder))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Weights, adapter and confidence head of a checkpoint."""
        policy, folder = self._policy(), Path(resume_from_checkpoint)
        if hasattr(policy.model, "peft_config"):
            policy.model.load_adapter(str(folder), policy.model.active_adapters[0], is_trainable=True)
        else:
            policy.model.load_state_dict(load_causal_lm(folder).state_dict())
        load_confidence(policy, folder)

    def _policy(self) -> SimulPolicy:
        policy: Any = self.accelerator.unwrap_model(self.model)
        return policy

    def save_result(self, folder: str) -> None:
        """Writes what the training made, as `domains.translation.policy.load_policy` reads it; every rank calls it."""
        self.save_model(folder)
