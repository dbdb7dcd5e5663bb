"""Training a simultaneous policy on sentence pairs: under the whole source and under several prefixes in one pass."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from domains.translation.msft_config import MsftConfig
from domains.translation.msft_losses import (
    acceptance,
    confidence_losses,
    decision_losses,
    full_losses,
    prefix_losses,
)
from domains.translation.pair_files import read_pairs
from domains.translation.path_logps import check_path
from domains.translation.policy import SimulPolicy, StreamTerms
from domains.translation.policy_training import PolicyStepTrainer, continued_policy, new_policy
from domains.translation.prefix_sampling import LAGS, DrawnSentence, MsftExample, PrefixSteps
from domains.translation.records import SentencePair
from domains.translation.settings import LatencyWord, SimulFormat, read_format
from domains.translation.streams import pack_streams
from domains.translation.supervised_pairs import supervised_pairs
from shared.device import pick_device
from shared.errors import DataError, UsageError
from shared.models import load_tokenizer
from shared.training.arguments import batch_size, common_arguments, ranks
from shared.training.custom_job import CustomJob, CustomTraining
from shared.training.step_trainer import Losses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)


class MsftSettings(BaseModel):
    """What the job tells the builder beside its config.

    Attributes:
        format: how rows are made; that of the policy that is continued where the job names one (file ``start``).
    """

    model_config = ConfigDict(extra="forbid")

    format: SimulFormat


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a micro-batch's branches lie; a branch's tokens and states are consecutive.

    Attributes:
        sentence: number of the sentence of every branch, [B].
        share: what each branch's losses are multiplied by: 1 / paths of its sentence, times its weight; [B].
        whole: the branch of the same sentence that has the whole source, [B]; itself where it has none.
        is_whole: whether it is that branch, [B].
        guided: whether its decisions have a target (acceptance or path), [B].
        needed: source units that each segment waits for on that path, the branches' one after the other; of a branch
            without one, 0.
        first_needed: where a branch's own begin, [B].
    """

    sentence: Tensor
    share: Tensor
    whole: Tensor
    is_whole: Tensor
    guided: Tensor
    needed: Tensor
    first_needed: Tensor


class MsftTrainer(PolicyStepTrainer):
    """Trains a `SimulPolicy` on `DrawnSentence`; a step's loss is divided by its target tokens."""

    config: MsftConfig
    _step_tokens: int  # target tokens of the step, over all ranks

    def cost(self, example: DrawnSentence) -> int:
        """Rows of the example's streams."""
        return example.tokens

    def before_step(self, model: SimulPolicy, examples: Sequence[DrawnSentence]) -> None:
        """Counts the step's target tokens; every rank takes part."""
        count = sum(len(example.example.target.tokens) for example in examples)
        if self.args.world_size > 1:
            gathered: list[Any] = [None] * self.args.world_size
            torch.distributed.all_gather_object(gathered, count)
            count = sum(gathered)
        self._step_tokens = count

    def items(self, examples: int) -> int:
        """What a step's loss is divided by: its target tokens."""
        return self._step_tokens

    def losses(self, model: SimulPolicy, examples: Sequence[DrawnSentence]) -> Losses:
        """The loss of every sentence, summed over its target tokens."""
        config = self.config
        streams = [stream for example in examples for stream in example.streams]
        packed = pack_streams(streams, model.format.target_position)
        terms = model.terms(packed, uniform=config.label_smoothing > 0)
        places = _places(examples, terms.logps, config)
        if config.policy == "simul":
            return self._simul(terms, places, len(examples))
        owner = terms.packed.owner
        nll = full_losses(terms.logps, terms.uniform, config.label_smoothing)
        losses = _per_sentence(nll, owner, places, len(examples))
        metrics = {"nll_path": -terms.logps.detach()}
        if config.policy == "latency-prompt":
            decided, writes = _decisions(terms)
            of_decisions = decision_losses(terms.write_logits, writes.to(terms.write_logits.dtype), decided)
            losses = losses + _per_sentence(of_decisions, terms.packed.state_branch, places, len(examples))
            metrics["nll_decision"] = of_decisions.detach()[decided]
        return losses, metrics

    def _simul(self, terms: StreamTerms, places: _Places, sentences: int) -> Losses:
        """L_full + L_prefix, and L_decision or lambda L_conf, of every sentence."""
        config, packed = self.config, terms.packed
        owner, smoothing, uniform = packed.owner, config.label_smoothing, terms.uniform
        of_whole = places.is_whole[owner]
        full = full_losses(terms.logps, uniform, smoothing)[of_whole]
        losses = _per_sentence(full, owner[of_whole], places, sentences)
        tokens = (~of_whole).nonzero().squeeze(-1)
        branch = owner[tokens]
        # A sentence's branches have the same tokens: the same token is as far from its branch's first.
        same = tokens - _firsts(owner)[branch] + _firsts(owner)[places.whole[branch]]
        decided, writes = _decisions(terms)
        written = writes.nonzero().squeeze(-1)  # one state a segment: that in which it is written
        states = written[_firsts(packed.state_branch[written])[branch] + packed.segment[tokens]]
        guided = places.guided[packed.state_branch]
        odds = terms.write_logits
        prefix = prefix_losses(
            terms.logps[tokens],
            terms.logps[same],
            odds.where(~guided, odds.detach())[states],
            decided[states],
            None if uniform is None else (uniform[tokens], uniform[same]),
            smoothing,
        )
        losses = losses + _per_sentence(prefix, branch, places, sentences)
        of_prefixes = writes & ~places.is_whole[packed.state_branch] & ~guided
        confidence = confidence_losses(odds[of_prefixes], decided[of_prefixes])
        of_states = _per_sentence(confidence, packed.state_branch[of_prefixes], places, sentences)
        if config.decisions == "acceptance":
            target = acceptance(terms.logps[tokens], terms.logps[same], states, len(odds))
        else:
            target = torch.ones_like(odds)
        needed = places.needed[places.first_needed[packed.state_branch] + packed.state_segment]
        target = target.to(odds.dtype).where(packed.state_read >= needed, odds.new_zeros(()))[guided]
        of_decisions = decision_losses(odds[guided], target, decided[guided])
        of_targets = _per_sentence(of_decisions, packed.state_branch[guided], places, sentences)
        losses = losses + config.confidence_weight * of_states + config.decision_weight * of_targets
        chosen = decided & ~places.is_whole[packed.state_branch]
        return losses, {
            "nll_full": -terms.logps.detach()[of_whole],
            "nll_prefix": -terms.logps.detach()[tokens],
            "loss_full": full.detach(),
            "loss_prefix": prefix.detach(),
            "loss_confidence": confidence.detach()[decided[of_prefixes]],
            "confidence": odds.detach()[chosen].sigmoid(),
            "decision_target": target[decided[guided]],
            "nll_decision": of_decisions.detach()[decided[guided]],
        }


def _firsts(branch: Tensor) -> Tensor:
    """Place of every branch's first token (or state), [B]; `branch` rises from 0 and leaves none out."""
    counts = torch.bincount(branch)
    return counts.cumsum(0) - counts


def _decisions(terms: StreamTerms) -> tuple[Tensor, Tensor]:
    """(whether there is a decision, whether the path writes there) of every state, bool, [M]."""
    packed = terms.packed
    ends = torch.ones_like(
        packed.state_read, dtype=torch.bool
    )  # a segment's last state on its path is where it is written
    ends[:-1] = (packed.state_segment[1:] != packed.state_segment[:-1]) | (
        packed.state_branch[1:] != packed.state_branch[:-1]
    )
    return packed.state_read < packed.source_units[packed.state_branch], ends


def _places(examples: Sequence[DrawnSentence], like: Tensor, config: MsftConfig) -> _Places:
    simul = config.policy == "simul"
    sentence: list[int] = []
    share: list[float] = []
    whole: list[int] = []
    guided: list[bool] = []
    needed: list[int] = []
    first_needed: list[int] = []
    for number, example in enumerate(examples):
        first, weight, gold = len(sentence), example.example.weight, example.example.gold
        count = sum(len(stream.branches) for stream in example.streams)
        sentence += [number] * count
        first_needed += [len(needed)] * count
        needed += gold or [0] * example.example.target.segments
        if simul:
            share += [weight] + [weight / (count - 1)] * (count - 1)
            whole += [first] * count
            with_target = config.decisions == "acceptance" or (config.decisions == "path" and gold is not None)
            guided += [False] + [with_target] * (count - 1)
        else:
            share += [weight / count] * count
            whole += range(first, first + count)
            guided += [False] * count
    of_branches = torch.tensor(whole, device=like.device)
    own = torch.arange(len(whole), device=like.device)
    return _Places(
        torch.tensor(sentence, device=like.device),
        like.new_tensor(share),
        of_branches,
        of_branches == own,
        torch.tensor(guided, device=like.device),
        torch.tensor(needed, device=like.device),
        torch.tensor(first_needed, device=like.device),
    )


def _per_sentence(values: Tensor, branch: Tensor, places: _Places, sentences: int) -> Tensor:
    """Sums over each sentence of what belongs to its branches, by each branch's share, [sentences]."""
    shared = values.to(places.share.dtype) * places.share[branch]
    return shared.new_zeros(sentences).index_add(0, places.sentence[branch], shared)


def msft_examples(
    pairs: Sequence[SentencePair], format: SimulFormat, tokenizer: "PreTrainedTokenizerBase", config: MsftConfig
) -> tuple[list[MsftExample], int]:
    """Pairs as tokens, in their order.

    Args:
        pairs: the training pairs.
        format: how rows are made.
        tokenizer: of the model.
        config: its `max_length` bounds prompt, source, marker and target together; longer pairs are left out, since a
            sentence that is cut has no end to be translated to.

    Returns:
        (the examples, how many pairs were left out: too long, or empty on a side).

    Raises:
        DataError: a path is asked for and a record has none, or one that does not fit; no pair is left.
        UsageError: the kind ``latency-prompt`` with a format that has no latency word.
    """
    if config.policy == "latency-prompt" and format.latency_word is None:
        raise UsageError("policy: latency-prompt asks for a format with a latency_word.")
    prompts: dict[LatencyWord, tuple[int, ...]] = {}
    found: list[MsftExample] = []
    for pair in pairs:
        source, target = format.source(tokenizer, pair.source_text), format.target(tokenizer, pair.target_text)
        if not source.units or target.segments < 2:
            continue
        if config.policy == "latency-prompt" and not prompts:
            prompts = {word: format.source(tokenizer, pair.source_text, word).prompt for word in LAGS}
        gold = _gold(pair, source.units, target, config)
        example = MsftExample(pair.id, source, target, gold, pair.weight, prompts)
        if _row_tokens(example) <= config.max_length:
            found.append(example)
    left_out = len(pairs) - len(found)
    if left_out:
        log.info("%d of %d pairs are empty or longer than max_length %d.", left_out, len(pairs), config.max_length)
    if not found:
        raise DataError(f"no training pair is left: all {len(pairs)} are empty or longer than max_length.")
    return found, left_out


def _row_tokens(example: MsftExample) -> int:
    """Prompt, source, marker and target, once each."""
    source = example.source
    return len(source.prompt) + len(source.tokens) + len(source.marker) + len(example.target.tokens)


def _gold(pair: SentencePair, units: int, target: Any, config: MsftConfig) -> tuple[int, ...] | None:
    if pair.target_path is None:
        if config.policy == "simul" and config.prefixes.shape == "gold":
            raise DataError(
                f"{pair.source}: prefixes.shape gold asks for a path, and this pair has none: set `paths` to an "
                "alignment, or another shape."
            )
        return None
    if len(pair.target_path) != target.units[-1]:
        raise DataError(
            f"{pair.source}: the path has {len(pair.target_path)} entries and the translation {target.units[-1]} units."
        )
    try:
        check_path(pair.target_path, units)
    except ValueError as error:
        raise DataError(f"{pair.source}: {error}") from error
    return target.reads_of_path(pair.target_path, units)


def trainer(job: CustomJob, work: Path, callbacks: list[Any]) -> CustomTraining:
    """The builder of the job (see `shared.training.custom_job`).

    Files: ``pairs`` (of `domains.translation.pair_files`), and ``start``, the folder of a policy to be trained on,
    where there is one. Settings: `MsftSettings`. Config: `MsftConfig`.

    Raises:
        DataError: pairs that do not fit.
        UsageError: a model that cannot take streams.
    """
    from transformers import TrainingArguments

    config = MsftConfig.model_validate(job.config.model_dump())
    format = MsftSettings.model_validate(job.settings).format
    start = job.files.get("start")
    if start is not None and read_format(start) != format:
        raise UsageError(f"the policy {start} was trained with another format: state the same languages and prompt.")
    tokenizer = load_tokenizer(job.model)
    pairs = supervised_pairs(read_pairs(job.files["pairs"]), config.rendering)
    examples, left_out = msft_examples(pairs, format, tokenizer, config)
    policy = new_policy(job, format) if start is None else continued_policy(job, start)
    general: Any = job
    told = MsftTrainer(
        model=policy,
        args=TrainingArguments(**common_arguments(general, len(examples), work)),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    rank, world = ranks()
    told.steps = PrefixSteps(examples, batch_size(general, len(examples)), config.epochs, job.seed, rank, world, config)
    told.config, told.choice, told.budget = config, pick_device(job.precision), config.micro_batch_tokens
    told.head_rate = config.head_rate
    told.base = job.model_name or str(job.model)
    tokens = sum(_row_tokens(example) for example in examples)
    return CustomTraining(told, len(examples), left_out, tokens)
