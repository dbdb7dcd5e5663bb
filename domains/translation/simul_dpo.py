"""Training a simultaneous policy on pairs of translations with their paths."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainingArguments

from domains.translation.expected_latency import Measure, expected_latency, lattice_of, path_latency
from domains.translation.pair_files import read_pairs
from domains.translation.path_logps import PathLogps, path_logps
from domains.translation.path_pairs import PathPair, path_pairs
from domains.translation.path_reference import PathReference, read_path_reference, reference_for
from domains.translation.policy import SimulPolicy
from domains.translation.policy_training import PolicyStepTrainer, continued_policy
from domains.translation.settings import read_format
from domains.translation.simul_dpo_config import SimulDpoConfig
from domains.translation.simul_dpo_loss import path_terms, simul_dpo
from domains.translation.streams import Stream, pack_streams
from shared.device import pick_device
from shared.errors import StageError
from shared.models import load_tokenizer
from shared.training.arguments import batch_size, common_arguments, ranks
from shared.training.custom_job import CustomJob, CustomTraining
from shared.training.step_order import Steps
from shared.training.step_trainer import Losses
from shared.training.trees import cut_by_tokens


@dataclass(frozen=True, slots=True)
class SimulDpoExample:
    """One pair as it is trained on.

    Attributes:
        pair: its tokens.
        reference: log-probabilities of its paths under the supervised policy.
        latency_chosen: Lat(g_w), a share of the source.
        latency_rejected: Lat(g_l).
        latency_least: latency of the chosen translation written after the first unit.
    """

    pair: PathPair
    reference: PathReference
    latency_chosen: float
    latency_rejected: float
    latency_least: float


def simul_dpo_examples(
    pairs: Sequence[PathPair], references: Sequence[PathReference], measure: Measure
) -> list[SimulDpoExample]:
    """Pairs with what is constant of them; the chosen translation is LAAL's reference.

    Args:
        pairs: of `domains.translation.path_pairs.path_pairs`.
        references: of each.
        measure: of latency.
    """
    found = []
    for pair, reference in zip(pairs, references, strict=True):
        units, length = pair.stream.source.units, len(pair.chosen_path)
        paths = (pair.chosen_path, pair.rejected_path, (1,) * length)
        latencies = (path_latency(path, units, length, measure) for path in paths)
        found.append(SimulDpoExample(pair, reference, *latencies))
    return found


class SimulDpoTrainer(PolicyStepTrainer):
    """Trains a `SimulPolicy` that was fine-tuned.

    Attributes:
        config: the recipe's part.
    """

    config: SimulDpoConfig
    _first_latency: float | None = None  # expected latency above the least, when first measured
    _before_step: dict[str, float]

    def cost(self, example: SimulDpoExample) -> int:
        """Rows of the example's stream."""
        return self._stream(example).tokens

    def _stream(self, example: SimulDpoExample) -> Stream:
        return example.pair.with_probes("grid", "path") if self.config.needs_grid else example.pair.stream

    def before_step(self, model: SimulPolicy, examples: Sequence[SimulDpoExample]) -> None:
        """Measures the expected latency of the step's chosen translations where it is time; every rank takes part."""
        every = self.config.latency_steps
        self._before_step = {}
        if self.config.needs_grid or every is None or self.state.global_step % every:
            return
        sums = [0.0, 0.0, 0.0]
        grids = [example.pair.chosen_grid() for example in examples]
        with torch.no_grad():
            for group in cut_by_tokens([grid.tokens for grid in grids], 2 * self.budget):
                with self.choice.autocast():
                    found = self._expected(
                        model, [grids[index] for index in group], [examples[index] for index in group]
                    )
                sums[0] += float(found.sum())
                sums[1] += sum(examples[index].latency_least for index in group)
                sums[2] += len(group)
        if self.args.world_size > 1:
            gathered: list[Any] = [None] * self.args.world_size
            torch.distributed.all_gather_object(gathered, sums)
            sums = [sum(one[place] for one in gathered) for place in range(3)]
        self._before_step = {"latency/expected": sums[0] / sums[2], "latency/least": sums[1] / sums[2]}

    def _expected(self, model: SimulPolicy, grids: Sequence[Stream], examples: Sequence[SimulDpoExample]) -> Tensor:
        """Of streams with the chosen branch alone."""
        terms = model.terms(pack_streams(grids, model.format.target_position))
        lengths = [len(example.pair.chosen_path) for example in examples]
        return expected_latency(lattice_of(terms, grids, range(len(grids)), lengths), self.config.measure)

    def losses(self, model: SimulPolicy, examples: Sequence[SimulDpoExample]) -> Losses:
        """SimulDPO on a micro-batch."""
        config = self.config
        streams = [self._stream(example) for example in examples]
        terms = model.terms(pack_streams(streams, model.format.target_position))
        logps = path_logps(terms, streams)
        sides = torch.arange(2 * len(examples), device=logps.policy.device).view(-1, 2).unbind(1)
        chosen, rejected = logps.of(sides[0]), logps.of(sides[1])

        def column(values: Sequence[float]) -> Tensor:
            return logps.policy.new_tensor(values)

        references = [example.reference for example in examples]
        latency_chosen = column([example.latency_chosen for example in examples])
        latency_rejected = column([example.latency_rejected for example in examples])
        of_paths = path_terms(
            chosen,
            rejected,
            column([one.chosen for one in references]),
            column([one.rejected for one in references]),
            latency_chosen,
            latency_rejected,
            column([example.pair.weight for example in examples]),
        )
        metrics = _parts(chosen, rejected, references, config.beta)
        metrics |= {"latency/chosen": latency_chosen, "latency/rejected": latency_rejected}
        expected = None
        if config.needs_grid:
            lengths = [len(example.pair.chosen_path) for example in examples]
            lattice = lattice_of(terms, streams, range(0, 2 * len(examples), 2), lengths)
            expected = expected_latency(lattice, config.measure)
            metrics["latency/expected"] = expected.detach()
            metrics["latency/least"] = column([example.latency_least for example in examples])
        losses, more = simul_dpo(
            of_paths,
            form=config.form,
            beta=config.beta,
            alpha=config.alpha,
            sft_weight=config.sft_weight,
            expected=expected,
        )
        return losses, {**metrics, **more}

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """A step; ends the training where it diverges, before the optimizer moves anything."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._metrics |= self._before_step
        self._check(float(loss))
        return loss

    def _check(self, loss: float) -> None:
        """Raises StageError where the training has diverged; all ranks have the same metrics."""
        config, found = self.config, self._metrics
        problem = None
        fall = -found.get("logps/chosen_gain_per_token", 0.0)
        if not math.isfinite(loss):
            problem = f"the loss is {loss}"
        elif config.most_fall is not None and not fall <= config.most_fall:
            problem = (
                f"the chosen paths have become less likely by {fall:.2f} nats a token (align.most_fall is "
                f"{config.most_fall:g})"
            )
        elif "latency/expected" in found:
            above = found["latency/expected"] - found["latency/least"]
            if self._first_latency is None:
                self._first_latency = above
            if config.least_latency is not None and above < config.least_latency * self._first_latency:
                problem = (
                    f"the expected latency fell to {found['latency/expected']:.3f} of the source, and everything is "
                    "written after its first unit"
                )
        if problem is not None:
            raise StageError(
                f"SimulDPO diverged at step {self.state.global_step + 1}: {problem}; nothing is kept of it. Lower "
                f"align.alpha ({config.alpha:g}) or align.learning_rate ({config.learning_rate:g}), or raise "
                f"align.sft_weight ({config.sft_weight:g})."
            )


def trainer(job: CustomJob, work: Path, callbacks: list[Any]) -> CustomTraining:
    """The builder of a SimulDPO training.

    Args:
        job: files ``pairs`` and ``reference`` (Arrow) and ``sft`` (folder of the supervised policy); config a
            `SimulDpoConfig`.
        work: folder of checkpoints.
        callbacks: for the trainer.

    Raises:
        DataError: a pair cannot be used, or the reference does not fit.
    """
    config = SimulDpoConfig.model_validate(job.config.model_dump())
    tokenizer = load_tokenizer(job.model)
    format = read_format(job.files["sft"])
    pairs, left_out = path_pairs(read_pairs(job.files["pairs"]), format, tokenizer, config.max_length)
    where = job.files["reference"]
    references = reference_for(pairs, read_path_reference(where), format.target_position, where)
    examples = simul_dpo_examples(pairs, references, config.measure)
    general: Any = job
    found = SimulDpoTrainer(
        model=continued_policy(job, job.files["sft"]),
        args=TrainingArguments(**common_arguments(general, len(examples), work)),
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    rank, world = ranks()
    found.steps = Steps(examples, batch_size(general, len(examples)), config.epochs, job.seed, rank, world)
    found.config, found.choice, found.budget = config, pick_device(job.precision), config.micro_batch_tokens
    found.base = job.model_name or str(job.model)
    return CustomTraining(found, len(examples), left_out, sum(found.cost(example) for example in examples))


def _parts(
    chosen: PathLogps, rejected: PathLogps, references: Sequence[PathReference], beta: float
) -> dict[str, Tensor]:
    """Both parts of both paths, and of the reward's margin, [pairs]."""
    found: dict[str, Tensor] = {}
    for part in ("translation", "policy"):
        gains = []
        for side, logps in (("chosen", chosen), ("rejected", rejected)):
            values = getattr(logps, part).detach()
            found[f"logps/{side}_{part}"] = values
            gains.append(values - values.new_tensor([getattr(one, f"{side}_{part}") for one in references]))
        found[f"rewards/margins_{part}"] = beta * (gains[0] - gains[1])
    gained = chosen.total.detach() - chosen.policy.new_tensor([one.chosen for one in references])
    found["logps/chosen_gain_per_token"] = gained / chosen.tokens
    return found
