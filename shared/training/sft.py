"""Supervised fine-tuning on demonstrations: the likelihood of responses, with the loss on their tokens only.

    L = sum_i w_i l_i / sum_i w_i n_i    with  l_i = sum_t -log pi(y_it | x_i, y_i<t)     (mean: tokens)
    L = sum_i w_i l_i / n_i / sum_i w_i                                                   (mean: responses)

over the responses i of a step on all ranks, n_i their tokens with the turn's end token, w_i their weights. With label
smoothing e a token's loss is ``-(1 - e) log pi(y) - e mean_v log pi(v)``. The layout is that of every training here:
the responses to one prompt share it in one tree (`shared.training.trees`).
"""

# ruff: noqa: ARG002  (the signatures are those of the step trainer)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from shared.data.record_files import read_records
from shared.device import pick_device
from shared.errors import DataError
from shared.models import load_causal_lm, load_tokenizer
from shared.prompts import PromptFormat, fit, tokenize_completion, tokenize_prompt
from shared.records import Message
from shared.training.arguments import batch_size, common_arguments, prepare_model, ranks
from shared.training.custom_job import CustomJob, CustomTraining
from shared.training.demonstrations import Demonstration, of_preferences, read_demonstrations
from shared.training.layouts import CompletionLogps, Layout, cost, set_layout, token_logps
from shared.training.sft_config import SftConfig
from shared.training.step_order import Steps
from shared.training.step_trainer import Losses, StepTrainer
from shared.training.trees import Tree, cut_by_tokens
from shared.training.watching import Watch, keep_best

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class SftExample:
    """A prompt with its responses, as it is trained on.

    Attributes:
        tree: token ids.
        weights: of the responses, in the tree's order.
        cut: how many responses lost something to fit, or have a prompt that did.
    """

    tree: Tree
    weights: tuple[float, ...]
    cut: int = 0


def sft_examples(
    demonstrations: Sequence[Demonstration],
    format: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    responses_per_prompt: int,
) -> list[SftExample]:
    """Demonstrations as trees, one a prompt (more where it has many responses), in the order of the prompts.

    Args:
        demonstrations: those of weight 0 are left out.
        format: how conversations are rendered.
        tokenizer: of the model.
        max_length: most tokens of prompt and response together (see `shared.prompts.fit`).
        responses_per_prompt: most responses of a tree.
    """
    by_prompt: dict[tuple[Message, ...], list[Demonstration]] = {}
    for one in demonstrations:
        if one.weight > 0:
            by_prompt.setdefault(one.prompt, []).append(one)
    found = []
    for turns, responses in by_prompt.items():
        prompt = tokenize_prompt(format, turns, tokenizer)
        for start in range(0, len(responses), responses_per_prompt):
            part = responses[start : start + responses_per_prompt]
            whole = [tokenize_completion(format, one.response, tokenizer) for one in part]
            kept, completions = fit(prompt, whole, max_length)
            shorter = [len(short) < len(full) for short, full in zip(completions, whole, strict=True)]
            cut = len(part) if len(kept) < len(prompt) else sum(shorter)
            found.append(SftExample(Tree(kept, tuple(completions)), tuple(one.weight for one in part), cut))
    return found


class SftTrainer(StepTrainer):
    """Trains a policy on `SftExample`."""

    config: SftConfig
    layout: Layout
    _weight: float  # what the present step is divided by, over all ranks

    def cost(self, example: SftExample) -> int:
        """Tokens of the example's tree."""
        return cost(example.tree, self.layout)

    def before_step(self, model: Any, examples: Sequence[SftExample]) -> None:
        """Adds up what the step is divided by; every rank takes part."""
        weight = self._weight_of(examples)
        if self.args.world_size > 1:
            gathered: list[Any] = [None] * self.args.world_size
            torch.distributed.all_gather_object(gathered, weight)
            weight = sum(gathered)
        self._weight = weight

    def items(self, examples: int) -> float:
        """What a step is divided by: the weights of its tokens, or of its responses."""
        return self._weight

    def losses(self, model: Any, examples: Sequence[SftExample]) -> Losses:
        """The weighted loss of every response, [C]; its sum over a step is divided by `items`."""
        smoothing = self.config.label_smoothing
        logps = token_logps(model, [one.tree for one in examples], self.layout, uniform=smoothing > 0)
        losses = -logps.tokens
        if logps.uniform is not None:
            losses = (1 - smoothing) * losses - smoothing * logps.uniform
        return self._weighted(logps, losses, examples), {"nll": -logps.tokens.detach()}

    def _weight_of(self, examples: Sequence[SftExample]) -> float:
        by_tokens = self.config.mean == "tokens"
        return sum(
            weight * (len(completion) if by_tokens else 1)
            for one in examples
            for weight, completion in zip(one.weights, one.tree.completions, strict=True)
        )

    def _weighted(self, logps: CompletionLogps, values: Tensor, examples: Sequence[SftExample]) -> Tensor:
        """What every response adds to the loss before it is divided, [C], from its tokens' losses [N]."""
        weights = torch.tensor([weight for one in examples for weight in one.weights], device=values.device)
        if self.config.mean == "responses":
            weights = weights / torch.bincount(logps.owner, minlength=logps.completions)
        return weights.to(values.dtype) * replace(logps, tokens=values).sums()

    def held_out(self, examples: Sequence[SftExample]) -> dict[str, float]:
        """``loss`` (the training's, without label smoothing) and ``nll`` (mean over tokens) of other demonstrations."""
        model = self.accelerator.unwrap_model(self.model)
        model.eval()
        loss = nll = 0.0
        tokens = 0
        with torch.no_grad():
            for group in cut_by_tokens([self.cost(one) for one in examples], 2 * self.budget):
                part = [examples[index] for index in group]
                with self.choice.autocast():
                    logps = token_logps(model, [one.tree for one in part], self.layout)
                loss += float(self._weighted(logps, -logps.tokens, part).double().sum())
                nll -= float(logps.tokens.double().sum())
                tokens += len(logps.tokens)
        return {"loss": loss / self._weight_of(examples), "nll": nll / tokens}

    def save_result(self, folder: str) -> None:
        """Writes adapter or model, and tokenizer; every rank calls it."""
        self.save_model(folder)


def trainer(job: CustomJob, work: Path, callbacks: list[Any]) -> CustomTraining:
    """The builder of the job (see `shared.training.custom_job`).

    Files: ``train``, and ``held_out`` where there are such demonstrations. Config: `SftConfig`, whose `examples` says
    what the files hold.

    Raises:
        DataError: no demonstration to train on, or none to evaluate on where that is asked for.
    """
    config, choice = SftConfig.model_validate(job.config.model_dump()), pick_device(job.precision)
    tokenizer = load_tokenizer(job.model)
    examples = _examples(job, config, "train", tokenizer)
    if not examples:
        raise DataError(f"{job.files['train']}: there is no demonstration to train on.")
    held_out = _examples(job, config, "held_out", tokenizer)
    every = config.stopping.evaluate_steps
    if every is not None and not held_out:
        raise DataError(
            "stopping.evaluate_steps asks for held-out demonstrations: set data.fractions.validation above 0."
        )
    model: Any = load_causal_lm(job.model).to(choice.device)  # pyright: ignore[reportArgumentType]
    layout = set_layout(model, config.layout)
    general: Any = job
    model = prepare_model(model, general, "CAUSAL_LM").to(choice.device)
    told = SftTrainer(
        model=model,
        args=TrainingArguments(**common_arguments(general, len(examples), work)),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    rank, world = ranks()
    told.steps = Steps(examples, batch_size(general, len(examples)), config.epochs, job.seed, rank, world)
    told.config, told.choice, told.budget, told.layout = config, choice, config.micro_batch_tokens, layout
    if every is not None:
        told.add_callback(Watch(told, partial(told.held_out, held_out), config.stopping.rules(), work))
    return CustomTraining(
        trainer=told,
        examples=sum(len(one.weights) for one in examples),
        truncated=sum(one.cut for one in examples),
        tokens=sum(one.tree.tokens for one in examples),
        before_saving=None if every is None else partial(keep_best, told, work),
    )


def _examples(job: CustomJob, config: SftConfig, name: str, tokenizer: Any) -> list[SftExample]:
    """The examples of one of the job's files; none where it names no such file."""
    path = job.files.get(name)
    if path is None:
        return []
    if config.examples == "demonstrations":
        found = read_demonstrations(path)
    else:
        found = of_preferences(read_records(path), config.examples)
    return sft_examples(found, job.prompt, tokenizer, config.max_length, config.responses_per_prompt)
