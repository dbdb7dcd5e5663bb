"""Training a policy on preference pairs with any objective, and the reference's log-probabilities given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from shared.device import pick_device
from shared.errors import DataError
from shared.models import load_causal_lm, load_tokenizer
from shared.records import PreferenceRecord
from shared.training.arguments import batch_size, common_arguments, prepare_model, ranks
from shared.training.completion_roles import Parts
from shared.training.config import DpoJob
from shared.training.layouts import CompletionLogps, Layout, cost, set_layout, token_logps
from shared.training.objectives.objective import Objective, build_objective
from shared.training.objectives.terms import Losses, PairTerms, UnpairedTerms
from shared.training.pair_examples import PairTrees, pair_trees
from shared.training.reference import read_token_logps
from shared.training.step_order import Steps
from shared.training.step_trainer import StepTrainer
from shared.training.trees import Tree, cut_by_tokens


@dataclass(frozen=True, slots=True)
class PairExample:
    """One pair as it is trained on.

    Attributes:
        trees: what goes through the policy with gradients.
        mismatched: the tree of the mismatched response, or None.
        reference: summed log-probability of every role under the reference, nats; with ``_common`` for the sum over
            the first min(|y_w|, |y_l|) tokens. Empty for objectives without a reference.
        columns: what the record brings (weight, margin, soft_label).
    """

    trees: tuple[Tree, ...]
    mismatched: Tree | None
    reference: Mapping[str, float]
    columns: Mapping[str, float]


class PolicyTrainer(StepTrainer):
    """Trains a policy; what its loss is, the objective says."""

    objective: Objective
    parts: Parts
    layout: Layout
    _outside: tuple[Tensor, Tensor]  # mismatched responses of the step, all ranks: (policy, reference)

    def cost(self, example: PairExample) -> int:
        """Tokens of the example's trees."""
        return sum(cost(tree, self.layout) for tree in example.trees)

    def items(self, examples: int) -> int:
        """KTO sees two responses in a pair."""
        return 2 * examples if self.objective.unpaired else examples

    def before_step(self, model: Any, examples: Sequence[PairExample]) -> None:
        """KTO's reference point: the mismatched responses of the whole step, over all ranks."""
        if not self.objective.unpaired:
            return
        device = next(model.parameters()).device
        policy = torch.zeros(len(examples), device=device)
        trees = [example.mismatched for example in examples if example.mismatched is not None]
        with torch.no_grad():
            for group in cut_by_tokens([cost(tree, self.layout) for tree in trees], 2 * self.budget):
                with self.choice.autocast():
                    sums = token_logps(model, [trees[index] for index in group], self.layout).sums()
                policy[group] = sums.float()
        reference = torch.tensor([example.reference["mismatched"] for example in examples], device=device)
        if self.args.world_size > 1:
            gathered: list[Any] = [None] * self.args.world_size
            torch.distributed.all_gather_object(gathered, (policy.cpu(), reference.cpu()))
            policy = torch.cat([one[0] for one in gathered]).to(device)
            reference = torch.cat([one[1] for one in gathered]).to(device)
        self._outside = policy, reference

    def losses(self, model: Any, examples: Sequence[PairExample]) -> Losses:
        """The objective on a micro-batch."""
        return self.losses_of(self.terms(model, examples))

    def terms(self, model: Any, examples: Sequence[PairExample]) -> PairTerms:
        """What the objective is a function of: one forward pass."""
        logps = token_logps(model, [tree for example in examples for tree in example.trees], self.layout)
        return pair_terms(logps, examples, self.parts, self.objective.needs_common_prefix)

    def losses_of(self, terms: PairTerms) -> Losses:
        """The objective of a micro-batch's terms, with the log-probabilities of both sides as metrics."""
        losses, metrics = self.objective(
            UnpairedTerms.of_pairs(terms, *self._outside) if self.objective.unpaired else terms
        )
        both = {"logps/chosen": terms.chosen.detach(), "logps/rejected": terms.rejected.detach()}
        return losses, {**both, **metrics}


def pair_terms(logps: CompletionLogps, examples: Sequence[PairExample], parts: Parts, common_prefix: bool) -> PairTerms:
    """What objectives are functions of, from a micro-batch's log-probabilities.

    Args:
        logps: of the examples' trees, in order.
        examples: P of them.
        parts: which completions an example has.
        common_prefix: whether sums over the first min(|y_w|, |y_l|) tokens are asked for.
    """
    device = logps.tokens.device
    roles = [role for role in parts.roles if role != "mismatched"]
    lengths = torch.tensor(
        [len(completion) for example in examples for tree in example.trees for completion in tree.completions],
        device=device,
    ).view(len(examples), len(roles))
    sums = dict(zip(roles, logps.sums().view(len(examples), len(roles)).unbind(1), strict=True))
    values: dict[str, Any] = dict(sums)
    values["chosen_tokens"], values["rejected_tokens"] = lengths[:, 0].float(), lengths[:, 1].float()
    if parts.rationale:
        values["rationale_tokens"] = lengths[:, roles.index("rationale")].float()
    if common_prefix:
        limits = torch.full_like(lengths, int(lengths.max()))
        limits[:, 0] = limits[:, 1] = lengths[:, :2].min(dim=1).values
        first = logps.sums(limits.view(-1)).view(len(examples), len(roles))
        values["chosen_common"], values["rejected_common"] = first[:, 0], first[:, 1]
    wide = logps.tokens.dtype
    for name in sorted({name for example in examples for name in example.reference if name != "mismatched"}):
        values[f"ref_{name}"] = torch.tensor([one.reference[name] for one in examples], dtype=wide, device=device)
    for name in sorted({name for example in examples for name in example.columns}):
        values[name] = torch.tensor([one.columns[name] for one in examples], dtype=wide, device=device)
    return PairTerms(**values)


def pair_examples(
    trees: Sequence[PairTrees],
    columns: Sequence[Mapping[str, float]],
    reference: Mapping[str, Mapping[str, Any]] | None,
    parts: Parts,
    where: Path | None,
) -> list[PairExample]:
    """Trees with the reference's sums.

    Args:
        trees: token ids of every record.
        columns: what the records bring.
        reference: of `read_token_logps`, or None for objectives without a reference.
        parts: which completions an example has.
        where: file of the reference, for messages.

    Raises:
        DataError: where the reference misses a record, or was computed on other tokens.
    """
    found = []
    for one, of_record in zip(trees, columns, strict=True):
        sums: dict[str, float] = {}
        if reference is not None:
            known = reference.get(one.id)
            lengths = dict(zip(parts.roles, one.lengths, strict=True))
            if known is None or any(len(known[role]) != lengths[role] for role in known):
                state = "has no row for" if known is None else "was computed on other tokens of"
                raise DataError(
                    f"{where}: the reference {state} the record {one.id}; compute it with the same records, prompt "
                    "format and max_length."
                )
            sums = {role: float(values.sum(dtype="float64")) for role, values in known.items()}
            common = min(lengths["chosen"], lengths["rejected"])
            for role in ("chosen", "rejected"):
                sums[f"{role}_common"] = float(known[role][:common].sum(dtype="float64"))
        own = one.trees[:-1] if parts.mismatched else one.trees
        found.append(PairExample(own, one.trees[-1] if parts.mismatched else None, sums, of_record))
    return found


def reference_roles(parts: Parts) -> list[str]:
    """Roles whose log-probabilities under the reference an objective is a function of."""
    return [role for role in parts.roles if role != "rationale"]


def dpo_trainer(
    job: DpoJob, records: Sequence[PreferenceRecord], work: Path, callbacks: list[Any]
) -> tuple[PolicyTrainer, int, int]:
    """The trainer of a job, ready to train.

    Returns:
        (trainer, pairs that were cut, tokens of an epoch: prompts count once a pair).

    Raises:
        DataError: a record lacks what the objective needs, or the reference does not fit.
    """
    config, choice = job.config, pick_device(job.precision)
    objective = build_objective(config.loss, config.beta, config.pair_weights)
    parts = Parts.of(objective)
    tokenizer = load_tokenizer(job.model)
    examples, truncated = job_examples(job, objective, tokenizer, records, job.reference)
    model: Any = load_causal_lm(job.model).to(choice.device)  # pyright: ignore[reportArgumentType]
    layout = set_layout(model, config.layout)
    model = prepare_model(model, job, "CAUSAL_LM").to(choice.device)
    trainer = PolicyTrainer(
        model=model,
        args=TrainingArguments(**common_arguments(job, len(examples), work)),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    rank, world = ranks()
    trainer.steps = Steps(examples, batch_size(job, len(examples)), config.epochs, job.seed, rank, world)
    trainer.objective, trainer.parts, trainer.choice = objective, parts, choice
    trainer.budget = config.micro_batch_tokens
    trainer.layout = layout
    tokens = sum(tree.tokens for example in examples for tree in example.trees)
    return trainer, truncated, tokens


def job_examples(
    job: DpoJob, objective: Objective, tokenizer: Any, records: Sequence[PreferenceRecord], reference: Path | None
) -> tuple[list[PairExample], int]:
    """Examples of a job's pairs, and how many of them were cut.

    Raises:
        DataError: a record lacks what the objective needs, or the reference does not fit.
    """
    parts = Parts.of(objective)
    columns = objective.columns_of(records)
    trees = pair_trees(records, job.prompt, tokenizer, job.config.max_length, parts)
    known = None
    if objective.needs_reference:
        if reference is None:
            raise DataError(f"the loss {objective.name} needs reference log-probabilities, and the job names none.")
        known = read_token_logps(reference, reference_roles(parts))
    return pair_examples(trees, columns, known, parts, reference), sum(one.truncated for one in trees)
