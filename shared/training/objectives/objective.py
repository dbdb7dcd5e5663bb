"""From the recipe's losses to the one function that a trainer calls, and what it asks of trainer and records."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from shared.errors import DataError, UsageError
from shared.records import PreferenceRecord
from shared.rewards.pair_targets import vote_share
from shared.training.objectives.config import AnyLoss, LossSpec, Need, Offset, SoftLabels
from shared.training.objectives.terms import Losses, PairTerms, UnpairedTerms

log = logging.getLogger(__name__)

PairWeights = Literal["record", "votes", "none"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of losses.

    Attributes:
        parts: the losses.
        betas: beta of each part.
        pair_weights: ``record``: a pair counts its record's weight; ``votes``: the number of its raters over their
            mean, which together with soft labels is the likelihood of every single vote; ``none``: 1.
    """

    parts: tuple[AnyLoss, ...]
    betas: tuple[float, ...]
    pair_weights: PairWeights = "record"

    @property
    def name(self) -> str:
        """``sigmoid``, or ``sigmoid + 0.2 nll``."""
        return " + ".join(part.name if part.weight == 1 else f"{part.weight:g} {part.name}" for part in self.parts)

    @property
    def beta(self) -> float:
        """Beta of the first part, for what is reported beside the loss."""
        return self.betas[0]

    @property
    def needs_reference(self) -> bool:
        """Whether reference log-probabilities are asked for."""
        return self._need("reference")

    @property
    def reference_free(self) -> bool:
        """Whether the training does without a reference (SimPO, ORPO, NLL)."""
        return not self.needs_reference

    @property
    def needs_common_prefix(self) -> bool:
        """Whether sums over the first min(|y_w|, |y_l|) tokens are asked for."""
        return self._need("common_prefix")

    @property
    def needs_margin(self) -> bool:
        """Whether the record's margin is asked for."""
        return self._need("margin")

    @property
    def needs_votes(self) -> bool:
        """Whether soft labels from the raters' votes are asked for."""
        return self._need("votes")

    @property
    def needs_rationale(self) -> bool:
        """Whether the policy's log-probability of the rationale after `rationale_conversation` is asked for."""
        return self._need("rationale")

    @property
    def needs_context(self) -> bool:
        """Whether both responses are scored under both of `contrasting_prompts`; the pair's own prompt is the first."""
        return self._need("context")

    @property
    def unpaired(self) -> bool:
        """Whether it is a function of `UnpairedTerms` (KTO) and not of `PairTerms`."""
        return self._need("unpaired")

    def _need(self, need: Need) -> bool:
        return any(need in part.needs for part in self.parts)

    def __call__(self, terms: PairTerms | UnpairedTerms) -> Losses:
        """The losses of a batch.

        The trainer adds them up and divides by the number of pairs (unpaired: examples) of the optimizer step, over
        all its micro-batches and ranks.

        Args:
            terms: what the attributes ask for.

        Returns:
            (loss [pairs] with gradient, multiplied by the weights of parts and of records; metrics [pairs], detached,
            NaN where one is not defined: average them without those). A sum reports each part as ``loss/<name>``,
            before any weight; of metrics that several parts report, the first part's are kept.

        Raises:
            ValueError: where the trainer left out a tensor that is asked for.
        """
        if isinstance(terms, UnpairedTerms) != self.unpaired:
            raise ValueError(f"the objective {self.name} is not one of {type(terms).__name__}")
        total, metrics = None, {}
        for part, beta in zip(self.parts, self.betas, strict=True):
            given: Any = terms
            losses, more = part.losses(given, beta)
            metrics = more | metrics
            if len(self.parts) > 1:
                metrics[f"loss/{part.name}"] = losses.detach()
            weighted = part.weight * losses
            total = weighted if total is None else total + weighted
        assert total is not None
        return (total if terms.weight is None else total * terms.weight), metrics

    def columns_of(self, records: Sequence[PreferenceRecord]) -> list[dict[str, float]]:
        """What every record itself brings to `PairTerms`.

        Returns:
            ``weight``, and ``margin`` and ``soft_label`` where they are asked for, of each record.

        Raises:
            DataError: naming the first record that lacks what a loss needs (margin, votes, rationale, context), and
                how many do.
        """
        lacking = [(record, lack) for record in records if (lack := self._lacks(record))]
        if lacking:
            (record, (loss, what, remedy)), number = lacking[0], len(lacking)
            more = f" ({number} of {len(records)} records lack something)" if number > 1 else ""
            raise DataError(
                f"{record.source}: the record {record.id} has {what}, which {loss} cannot use{more}: {remedy}."
            )
        mean = sum(map(_raters, records)) / max(len(records), 1)
        return [{"weight": self._weight(record, mean), **self._targets(record)} for record in records]

    def _lacks(self, record: PreferenceRecord) -> tuple[str, str, str] | None:
        """(who asks, what the record has instead, what to do), or None where nothing is missing."""
        for part in self.parts:
            for need in sorted(part.needs):
                problem = _CHECKS[need](record, part) if need in _CHECKS else None
                if problem:
                    what, remedy = problem
                    return f"the loss {part.name}", what, f"{remedy}, or choose another align.loss"
        if self.pair_weights == "votes" and _raters(record) <= 0:
            return "align.pair_weights=votes", "no votes", "add the raters' votes, or set align.pair_weights=record"
        if self.pair_weights == "record" and not (math.isfinite(record.weight) and record.weight >= 0):
            return "a loss", f"the weight {record.weight:g}", "give it one that is 0 or more"
        return None

    def _weight(self, record: PreferenceRecord, mean_raters: float) -> float:
        if self.pair_weights == "votes":
            return _raters(record) / mean_raters
        return record.weight if self.pair_weights == "record" else 1.0

    def _targets(self, record: PreferenceRecord) -> dict[str, float]:
        values = {}
        if self.needs_margin and record.margin is not None:
            values["margin"] = record.margin
        for part in self.parts:
            if isinstance(part, SoftLabels) and record.votes is not None:
                values["soft_label"] = vote_share(record.votes, part.prior)
        return values


def build_objective(
    loss: "LossSpec | str | Mapping[str, Any] | Sequence[Any]",
    beta: float | None = None,
    pair_weights: PairWeights = "record",
) -> Objective:
    """The objective of a recipe.

    Args:
        loss: what `align.loss` holds, read or as written (``"sigmoid"``, ``{"name": "simpo"}``, a list of them).
        beta: `align.beta`, common to all parts; None takes each loss's own default.
        pair_weights: `align.pair_weights`, see `Objective`.

    Raises:
        UsageError: unknown name or parameter (naming the nearest), value out of range, losses that do not add up.
    """
    try:
        parts: tuple[AnyLoss, ...] = TypeAdapter(LossSpec).validate_python(loss)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f".{part}" for part in problem["loc"])
        raise UsageError(f"loss{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}.") from error
    if beta is not None and not (math.isfinite(beta) and beta > 0):
        raise UsageError(f"align.beta is {beta}: set it to a number above 0.")
    betas = tuple(part.default_beta if beta is None else beta for part in parts)
    for part, used in zip(parts, betas, strict=True):
        if part.default_beta >= 1 and used < 0.5:
            log.warning(
                "align.beta=%g with the loss %s, which scales log-probabilities a token and is published with %g or "
                "more: its gradient will hardly tell pairs apart",
                used,
                part.name,
                part.default_beta,
            )
    return Objective(parts, betas, pair_weights)


def _raters(record: PreferenceRecord) -> int:
    votes = record.votes
    return 0 if votes is None else votes.chosen + votes.rejected + votes.ties


def _margin(record: PreferenceRecord, part: AnyLoss) -> tuple[str, str] | None:
    if record.margin is None or not math.isfinite(record.margin):
        return "no margin", "add a margin (a difference of scores or votes)"
    if isinstance(part, Offset) and part.scale == "log" and record.margin <= 0:
        return f"the margin {record.margin:g}, whose logarithm does not exist", "drop ties or set scale: identity"
    return None


def _votes(record: PreferenceRecord, part: AnyLoss) -> tuple[str, str] | None:
    votes = record.votes
    if votes is None:
        return "no votes", "add the raters' votes for both responses"
    if min(votes.chosen, votes.rejected, votes.ties) < 0:
        return "a negative number of votes", "correct them"
    if isinstance(part, SoftLabels) and _raters(record) + part.prior <= 0:
        return "votes of nobody", "drop it or set a prior above 0"
    return None


def _rationale(record: PreferenceRecord, _: AnyLoss) -> tuple[str, str] | None:
    if not (record.rationale and record.rationale.strip()):
        return "no rationale", "add a text that says why the chosen response is better"
    return None


def _context(record: PreferenceRecord, _: AnyLoss) -> tuple[str, str] | None:
    if not (record.context and record.context.strip()):
        return "no context", "add the context under which its preference holds"
    if not any(message.role == "user" for message in record.prompt):
        return "no user turn that its context could stand in", "add one"
    return None


_CHECKS: dict[Need, Callable[[PreferenceRecord, AnyLoss], tuple[str, str] | None]] = {
    "margin": _margin,
    "votes": _votes,
    "rationale": _rationale,
    "context": _context,
}
