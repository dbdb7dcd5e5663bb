"""Training reward models with a body: Bradley-Terry and general preference models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from shared.device import pick_device
from shared.records import PreferenceRecord
from shared.rewards.bodies import is_encoder
from shared.rewards.bradley_terry import load_scorer
from shared.rewards.losses import bradley_terry_loss, centring_loss, general_preference_loss, preference_score
from shared.rewards.pair_targets import pair_targets
from shared.rewards.preference_network import HEADS, new_network
from shared.rewards.rows import RowBatcher, ScoreRow, alike, scorer_tokenizer, tokens_to_score
from shared.rewards.settings import GpmSettings, NetworkSettings, ScorerSettings
from shared.training.arguments import adapters, batch_size, common_arguments, prepare_model, ranks
from shared.training.config import RewardConfig, RewardJob
from shared.training.layouts import set_layout
from shared.training.step_order import Steps
from shared.training.step_trainer import Losses, StepTrainer
from shared.training.token_logps import packed_states, without_adapter_wrapper
from shared.training.trees import Tree, pack


@dataclass(frozen=True, slots=True)
class RewardPair:
    """One pair as it is trained on.

    Attributes:
        chosen: its row.
        rejected: its row.
        margin: log-odds that the chosen response is asked to be ahead.
        weight: factor of its loss.
        label: probability that the chosen response is preferred.
    """

    chosen: ScoreRow
    rejected: ScoreRow
    margin: float
    weight: float
    label: float


@dataclass(frozen=True, slots=True)
class PairLoss:
    """The loss of every pair of a micro-batch under the recipe's options; the loop around it is the trainer's.

    Attributes:
        config: the recipe's part.
        rows: makes the model's inputs.
        device: where the model is.
        shared: whether the two responses of a pair share their prompt (causal bodies, see
            `shared.training.layouts`).
    """

    config: RewardConfig
    rows: RowBatcher
    device: str
    shared: bool = False

    def __call__(self, model: Any, micro_batch: Sequence[RewardPair]) -> Losses:
        """Scores both sides of every pair.

        Args:
            model: a sequence-classification model with one output, or a `PreferenceNetwork`.
            micro_batch: pairs.

        Returns:
            (loss of each pair with its weight applied: an optimizer step's loss is their sum divided by its number of
            pairs, [pairs]; metrics by name, [pairs], detached).
        """
        margin, weight, label = (
            torch.tensor([getattr(pair, name) for pair in micro_batch], device=self.device)
            for name in ("margin", "weight", "label")
        )
        sides = [pair.chosen for pair in micro_batch] + [pair.rejected for pair in micro_batch]
        of_kind = self._gpm if self.config.kind == "gpm" else self._bradley_terry
        outputs = self._of_trees(model, micro_batch) if self.shared else self._outputs(model, sides)
        losses, metrics = of_kind(outputs, margin, weight, label)
        return losses, {name: values.detach() for name, values in metrics.items()}

    def _outputs(self, model: Any, rows: Sequence[ScoreRow]) -> tuple[Tensor, ...]:
        """What the model gives for rows, at least float32; rows of like length in one pass, for little padding."""
        groups = alike([len(row.ids) for row in rows])
        parts: list[tuple[Tensor, ...]] = []
        for group in groups:
            inputs = self.rows([rows[index] for index in group])
            found = model(**{name: values.to(self.device) for name, values in inputs.items()})
            parts.append(found if isinstance(found, tuple) else (found.logits.squeeze(-1),))
        places = torch.tensor([index for group in groups for index in group], device=self.device).argsort()
        return tuple(_wide(torch.cat(outputs))[places] for outputs in zip(*parts, strict=True))

    def _of_trees(self, model: Any, pairs: Sequence[RewardPair]) -> tuple[Tensor, ...]:
        """The same from packed trees: every conversation is computed once for both responses."""
        trees = pack([tree for pair in pairs for tree in pair_trees(pair)]).to(self.device)
        inner = without_adapter_wrapper(model)
        states = packed_states(inner, trees)
        at_end = states[trees.ends]
        if self.config.kind == "gpm":
            outputs = inner.heads(at_end, states[trees.prompt_ends])
        else:
            outputs = (inner.score(at_end).squeeze(-1),)
        # Trees hold the sides of one pair after the other; losses take all chosen ones first.
        return tuple(torch.cat([values[0::2], values[1::2]]) for values in map(_wide, outputs))

    def _bradley_terry(
        self, outputs: tuple[Tensor, ...], margin: Tensor, weight: Tensor, label: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected = outputs[0].chunk(2)
        losses = weight * bradley_terry_loss(chosen, rejected, margin, label, self.config.label_smoothing)
        if self.config.centre:
            losses = losses + self.config.centre * centring_loss(chosen, rejected)
        return losses, {
            "scores/chosen": chosen,
            "scores/rejected": rejected,
            "scores/margins": chosen - rejected,
            "accuracy": _ranked_right(chosen - rejected),
        }

    def _gpm(
        self, outputs: tuple[Tensor, ...], margin: Tensor, weight: Tensor, label: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        (chosen, rejected), (gate, other_gate) = outputs[0].chunk(2), outputs[1].chunk(2)
        score = preference_score(chosen, rejected, 0.5 * (gate + other_gate))
        tau, smoothing = self.config.gpm.tau, self.config.label_smoothing
        return weight * general_preference_loss(score, margin, label, tau, smoothing), {
            "log_odds": score / tau,
            "accuracy": _ranked_right(score),
            "embedding_norm": 0.5 * (chosen.norm(dim=-1) + rejected.norm(dim=-1)),
            "largest_gate": gate.max(dim=-1).values,
        }


def pair_trees(pair: RewardPair) -> list[Tree]:
    """One tree of a pair, or two where cutting to max_length left the sides different prompts."""
    prompts = pair.chosen.prompt_ids, pair.rejected.prompt_ids
    chosen, rejected = pair.chosen.ids[len(prompts[0]) :], pair.rejected.ids[len(prompts[1]) :]
    if prompts[0] == prompts[1]:
        return [Tree(prompts[0], (chosen, rejected))]
    return [Tree(prompts[0], (chosen,)), Tree(prompts[1], (rejected,))]


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _ranked_right(difference: Tensor) -> Tensor:
    return 0.5 * (torch.sign(difference) + 1.0)


class RewardTrainer(StepTrainer):
    """Trains a reward model; no pair is dropped for its length."""

    pair_loss: PairLoss

    def cost(self, example: RewardPair) -> int:
        """Tokens of both rows (the prompt once where they share it), and of the conversation where an encoder's gate
        reads it alone."""
        if self.pair_loss.shared:
            return sum(tree.tokens for tree in pair_trees(example))
        alone = len(example.chosen.prompt_ids) if self.pair_loss.rows.gate and self.pair_loss.rows.encoder else 0
        return len(example.chosen.ids) + len(example.rejected.ids) + alone

    def losses(self, model: Any, examples: Sequence[RewardPair]) -> Losses:
        """See `PairLoss`."""
        return self.pair_loss(model, examples)


def reward_pairs(
    records: Sequence[PreferenceRecord], settings: NetworkSettings, tokenizer: Any, config: RewardConfig
) -> list[RewardPair]:
    """Rows and targets of every pair."""
    targets = pair_targets(records, config)
    return [
        RewardPair(
            tokens_to_score(settings, record.prompt, record.chosen, tokenizer),
            tokens_to_score(settings, record.prompt, record.rejected, tokenizer),
            float(targets.margin[index]),
            float(targets.weight[index]),
            float(targets.label[index]),
        )
        for index, record in enumerate(records)
    ]


def _settings(job: RewardJob, encoder: bool) -> NetworkSettings:
    body, config = ("encoder" if encoder else "causal-lm"), job.config
    if config.kind == "gpm":
        return GpmSettings(body=body, prompt=job.prompt, max_length=config.max_length, gpm=config.gpm)
    return ScorerSettings(body=body, prompt=job.prompt, max_length=config.max_length)


def _prepared(job: RewardJob, tokenizer: Any) -> Any:
    """The model with a new head, and adapters where asked for; a new head is always trained whole."""
    if job.config.kind != "gpm":
        return prepare_model(load_scorer(job.model, tokenizer), job, "SEQ_CLS")
    whole = job.model_copy(update={"config": job.config.model_copy(update={"lora": None})})
    network = prepare_model(new_network(job.model, job.config.gpm), whole, "SEQ_CLS")
    configuration = adapters(job, "SEQ_CLS")
    if configuration is None:
        return network
    from peft import get_peft_model

    configuration.task_type = None  # the one for sequence classification expects logits
    configuration.modules_to_save = [name for name in HEADS if name != "gate_head" or job.config.gpm.gate]
    configuration.exclude_modules = list(HEADS)
    return get_peft_model(network, configuration)


def reward_trainer(
    job: RewardJob, records: Sequence[PreferenceRecord], work: Path, callbacks: list[Any]
) -> tuple[RewardTrainer, NetworkSettings, int, int]:
    """The trainer of a job, ready to train.

    Returns:
        (trainer, settings to save with the model, pairs that were cut, tokens of an epoch).
    """
    from transformers import set_seed

    config, choice = job.config, pick_device(job.precision)
    encoder, gpm = is_encoder(job.model), job.config.kind == "gpm"
    settings = _settings(job, encoder)
    tokenizer = scorer_tokenizer(job.model)
    pairs = reward_pairs(records, settings, tokenizer, config)
    set_seed(job.seed)  # the head starts at random
    model = _prepared(job, tokenizer)
    model.to(choice.device)
    shared = not encoder and set_layout(model, config.layout) == "shared"
    trainer = RewardTrainer(
        model=model,
        args=TrainingArguments(**common_arguments(job, len(pairs), work)),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    rank, world = ranks()
    trainer.steps = Steps(pairs, batch_size(job, len(pairs)), config.epochs, job.seed, rank, world)
    trainer.choice, trainer.budget = choice, config.micro_batch_tokens
    pad_id: Any = tokenizer.pad_token_id
    batcher = RowBatcher(pad_id, encoder, embeds=gpm, gate=gpm and config.gpm.gate)
    trainer.pair_loss = PairLoss(config, batcher, choice.device, shared)
    truncated = sum(pair.chosen.truncated or pair.rejected.truncated for pair in pairs)
    tokens = sum(len(pair.chosen.ids) + len(pair.rejected.ids) for pair in pairs)
    return trainer, settings, truncated, tokens
