"""How a recipe names objectives: `align.loss` is a name, a mapping with parameters, or a list of either.

    loss: sigmoid
    loss: {name: simpo, gamma: 1.4}
    loss: [sigmoid, {name: nll, weight: 0.2}]

All three become a tuple of the models below; a list is a weighted sum. `align.beta` is common to all parts.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from shared.training.objectives import context, hinge, ipo, kto, length, likelihood, offset, orpo, sigmoid, simpo
from shared.training.objectives import rationale as rationales
from shared.training.objectives.terms import Losses, PairTerms, UnpairedTerms

Need = Literal["reference", "common_prefix", "margin", "votes", "rationale", "context", "unpaired"]


class _Loss(BaseModel):
    """What every objective's config has.

    Attributes:
        name: of the loss.
        weight: factor of the loss in a sum.

    Class attributes:
        needs: what trainer and records must bring beyond the policy's sums and token counts.
        default_beta: used where the recipe sets no beta; the paper's or TRL's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    needs: ClassVar[frozenset[Need]] = frozenset({"reference"})
    default_beta: ClassVar[float] = 0.1


class Sigmoid(_Loss):
    """DPO; see `shared.training.objectives.sigmoid.sigmoid`."""

    name: Literal["sigmoid"] = "sigmoid"

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return sigmoid.sigmoid(terms, beta=beta)


class Conservative(_Loss):
    """cDPO; `label_smoothing` is the share of labels taken as flipped. See `sigmoid.conservative`."""

    name: Literal["cdpo"] = "cdpo"
    label_smoothing: float = Field(default=0.1, ge=0, lt=0.5)

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return sigmoid.conservative(terms, beta=beta, label_smoothing=self.label_smoothing)


class Robust(_Loss):
    """Robust DPO; `label_smoothing` is the share of labels taken as flipped. See `sigmoid.robust`."""

    name: Literal["robust"] = "robust"
    label_smoothing: float = Field(default=0.1, ge=0, lt=0.5)

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return sigmoid.robust(terms, beta=beta, label_smoothing=self.label_smoothing)


class SoftLabels(_Loss):
    """DPO under the raters' share; `prior` votes are added to each side. See `sigmoid.soft_labels`."""

    name: Literal["soft_labels"] = "soft_labels"
    prior: float = Field(default=1.0, ge=0, allow_inf_nan=False)

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "votes"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return sigmoid.soft_labels(terms, beta=beta)


class Ipo(_Loss):
    """IPO; `reduction` of the log-ratios over tokens. See `shared.training.objectives.ipo.ipo`."""

    name: Literal["ipo"] = "ipo"
    reduction: Literal["mean", "sum"] = "mean"

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return ipo.ipo(terms, beta=beta, reduction=self.reduction)


class Hinge(_Loss):
    """SLiC's hinge; see `shared.training.objectives.hinge.hinge`."""

    name: Literal["hinge"] = "hinge"

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return hinge.hinge(terms, beta=beta)


class SigmoidNorm(_Loss):
    """Length-normalised DPO; see `shared.training.objectives.length.sigmoid_norm`."""

    name: Literal["sigmoid_norm"] = "sigmoid_norm"

    default_beta: ClassVar[float] = 5.0

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return length.sigmoid_norm(terms, beta=beta)


class LengthDesensitised(_Loss):
    """LD-DPO; `ld_alpha` is what a token past the common length counts. See `length.ld_dpo`."""

    name: Literal["ld_dpo"] = "ld_dpo"
    ld_alpha: float = Field(default=0.5, ge=0, le=1)

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "common_prefix"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return length.ld_dpo(terms, beta=beta, ld_alpha=self.ld_alpha)


class Offset(_Loss):
    """ODPO; `alpha` weighs the offset, `scale` is its function of the margin. See `offset.odpo`."""

    name: Literal["odpo"] = "odpo"
    alpha: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    scale: Literal["log", "identity"] = "log"

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "margin"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return offset.odpo(terms, beta=beta, alpha=self.alpha, scale=self.scale)


class Simpo(_Loss):
    """SimPO; `gamma` is the margin asked for. See `shared.training.objectives.simpo.simpo`."""

    name: Literal["simpo"] = "simpo"
    gamma: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)

    needs: ClassVar[frozenset[Need]] = frozenset()
    default_beta: ClassVar[float] = 2.0

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return simpo.simpo(terms, beta=beta, gamma=self.gamma, label_smoothing=self.label_smoothing)


class Orpo(_Loss):
    """ORPO; its lambda is `align.beta`. See `shared.training.objectives.orpo.orpo`."""

    name: Literal["orpo"] = "orpo"

    needs: ClassVar[frozenset[Need]] = frozenset()

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return orpo.orpo(terms, beta=beta)


class Nll(_Loss):
    """Negative log-likelihood of the chosen response, a token; see `shared.training.objectives.likelihood.nll`."""

    name: Literal["nll"] = "nll"

    needs: ClassVar[frozenset[Need]] = frozenset()

    def losses(self, terms: PairTerms, beta: float) -> Losses:  # noqa: ARG002  (the others' signature)
        return likelihood.nll(terms)


class Rpo(_Loss):
    """DPO + NLL; `alpha` weighs the likelihood. See `shared.training.objectives.likelihood.rpo`."""

    name: Literal["rpo"] = "rpo"
    alpha: float = Field(default=1.0, ge=0, allow_inf_nan=False)

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return likelihood.rpo(terms, beta=beta, alpha=self.alpha)


class Rationale(_Loss):
    """The rationale's term alone, to be put beside any loss; see `shared.training.objectives.rationale.rationale`."""

    name: Literal["rationale"] = "rationale"
    gamma: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    form: rationales.RationaleForm = "nll"
    reduction: rationales.Reduction = "sum"

    needs: ClassVar[frozenset[Need]] = frozenset({"rationale"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:  # noqa: ARG002  (the others' signature)
        return rationales.rationale(terms, gamma=self.gamma, form=self.form, reduction=self.reduction)


class RationaleDpo(_Loss):
    """DPO + the rationale's term; see `shared.training.objectives.rationale.rationale_dpo`."""

    name: Literal["rationale_dpo"] = "rationale_dpo"
    gamma: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    form: rationales.RationaleForm = "nll"
    reduction: rationales.Reduction = "sum"

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "rationale"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return rationales.rationale_dpo(terms, beta=beta, gamma=self.gamma, form=self.form, reduction=self.reduction)


class Context(_Loss):
    """MAPL's inter-sample term, to be put beside any loss; see `shared.training.objectives.context.context`."""

    name: Literal["context"] = "context"

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "context"})

    def losses(self, terms: PairTerms, beta: float) -> Losses:
        return context.context(terms, beta=beta)


class Kto(_Loss):
    """KTO on single responses; see `shared.training.objectives.kto.kto`."""

    name: Literal["kto"] = "kto"
    desirable_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    undesirable_weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)

    needs: ClassVar[frozenset[Need]] = frozenset({"reference", "unpaired"})

    def losses(self, terms: UnpairedTerms, beta: float) -> Losses:
        return kto.kto(
            terms, beta=beta, desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight
        )


PairedLoss = (
    Sigmoid
    | Conservative
    | Robust
    | SoftLabels
    | Ipo
    | Hinge
    | SigmoidNorm
    | LengthDesensitised
    | Offset
    | Simpo
    | Orpo
    | Nll
    | Rpo
    | Rationale
    | RationaleDpo
    | Context
)
AnyLoss = PairedLoss | Kto

KNOWN: dict[str, type[_Loss]] = {kind.model_fields["name"].default: kind for kind in AnyLoss.__args__}

ELSEWHERE = {
    "dpo": "sigmoid",
    "ddpo": "sigmoid",
    "sft": "nll",
    "slic": "hinge",
    "ln_dpo": "sigmoid_norm",
    "dpo_norm": "sigmoid_norm",
    "rdpo": "rationale_dpo",
    "mapl": "context",
    "conservative": "cdpo",
    "cpo": "simpo",
    "votes": "soft_labels",
    "offset": "odpo",
}
"""What papers and other libraries call our losses, for a hint."""


def _as_parts(value: Any) -> Any:
    """A name, a mapping or a list of either, as a list of mappings (models pass)."""
    parts = list(value) if isinstance(value, list | tuple) else [value]
    if not parts:
        raise PydanticCustomError("loss", "an empty list trains nothing: name at least one loss")
    return [_as_mapping(part) for part in parts]


def _as_mapping(part: Any) -> Any:
    if isinstance(part, _Loss):
        return part
    values: Any = {"name": part} if isinstance(part, str) else part
    if not isinstance(values, Mapping):
        raise PydanticCustomError("loss", "a loss is a name or a mapping such as {name: simpo, gamma: 1.4}")
    name = values.get("name")
    if name is None:
        raise PydanticCustomError(
            "loss",
            "a loss given as a mapping needs its name, as in {name: simpo, gamma: 1.4}, one of {known}",
            _known(),
        )
    kind = KNOWN.get(str(name))
    if kind is None:
        asked = str(name).lower().replace("-", "_")
        nearest = ELSEWHERE.get(asked) or difflib.get_close_matches(asked, KNOWN, n=1, cutoff=0.0)[0]
        raise PydanticCustomError(
            "loss",
            "unknown loss '{asked}' (known: {known}): the nearest known one is '{nearest}'",
            {"asked": str(name), "nearest": nearest, **_known()},
        )
    for key in map(str, values):
        if key == "beta":
            raise PydanticCustomError("loss", "beta is one for all losses: set align.beta, not a loss's own")
        if key not in kind.model_fields:
            nearest = difflib.get_close_matches(key, kind.model_fields, n=1, cutoff=0.0)[0]
            raise PydanticCustomError(
                "loss",
                "the loss {name} has no parameter '{key}': the nearest known one is '{nearest}'",
                {"name": str(name), "key": key, "nearest": nearest},
            )
    return values


def _known() -> dict[str, Any]:
    return {"known": ", ".join(KNOWN)}


def _together(parts: tuple[AnyLoss, ...]) -> tuple[AnyLoss, ...]:
    names = [part.name for part in parts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise PydanticCustomError(
            "loss", "the loss {name} is listed twice: give it once with a weight", {"name": twice}
        )
    if len(parts) > 1 and "kto" in names:
        raise PydanticCustomError("loss", "kto learns from single responses and cannot be summed with losses of pairs")
    return parts


LossSpec = Annotated[
    tuple[Annotated[AnyLoss, Field(discriminator="name")], ...],
    BeforeValidator(_as_parts),
    AfterValidator(_together),
]
"""The type of `align.loss`; its default is ``(Sigmoid(),)``."""
