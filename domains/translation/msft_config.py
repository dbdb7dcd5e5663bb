"""What a recipe says of supervised fine-tuning."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domains.translation.supervised_pairs import Rendering
from shared.training.config import OptimisationConfig

Shape = Literal["constant", "staircase", "gold", "mixed"]
Decisions = Literal["acceptance", "path", "sm2"]
PolicyKind = Literal["simul", "wait-k", "latency-prompt"]


class PrefixConfig(BaseModel):
    """Which prefixes of a source its target is also learned under.

    Attributes:
        count: prefixes a sentence and step, in one pass with the whole source.
        shape: ``constant`` one number of units for the whole target, uniform in 1 .. |x| (SM2); ``staircase`` a random
            rising path as decoding has them (`domains.translation.prefix_sampling`); ``gold`` the pair's own path;
            ``mixed`` one of these at random for each prefix, ``gold`` where the pair has a path.
    """

    model_config = ConfigDict(extra="forbid")

    count: int = Field(default=2, ge=1)
    shape: Shape = "mixed"


class MsftConfig(OptimisationConfig):
    """Multi-task supervised fine-tuning, and the trained baselines beside it.

    `batch_size` counts sentences. A step's loss is divided by the number of its target tokens, the end tokens among
    them; the mean over a sentence's prefixes is taken, so that their count does not change the loss's size.

    Attributes:
        policy: ``simul`` learns translation and read/write policy (`domains.translation.msft_losses`); ``wait-k``
            translation alone, on wait-k paths; ``latency-prompt`` both on paths that the latency word of the prompt
            names (`domains.translation.prefix_sampling`).
        rendering: which rendering of a preference pair is learned: ``target``, the preferred one, or ``rejected``, so
            that what preferences add is seen apart: a policy of offline translations, then preferences for monotone
            ones. Pairs without a rejected rendering give their target.
        prefixes: of ``simul``; the other kinds do not read the shape, and ``wait-k`` no path.
        wait_k: k of the kind ``wait-k``; null draws it for every path, uniform in 1 .. |x| (multi-path wait-k,
            arXiv:2005.08595).
        confidence_weight: lambda, weight of the confidence's own loss.
        decisions: what the read/write policy learns: ``acceptance`` how probable it is that what a prefix lets the
            model write is what it would write under the whole source, and READ while what the pair's own path waits for
            is not read (ours); ``path`` only whether that is read, from the word alignment (ours; pairs without a path
            learn as ``sm2``); ``sm2`` the confidence's loss of SM2. See `domains.translation.msft_losses`.
        head_rate: learning rate of the confidence head over `learning_rate`.
        decision_weight: weight of the decisions' loss of ``acceptance`` and ``path``.
        label_smoothing: of both cross-entropies. SM2 has 0.1 for models trained from scratch; a pretrained model of a
            large vocabulary loses by it, so the default is 0.
    """

    policy: PolicyKind = "simul"
    rendering: Rendering = "target"
    prefixes: PrefixConfig = PrefixConfig()
    wait_k: int | None = Field(default=None, ge=1)
    confidence_weight: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    decisions: Decisions = "acceptance"
    head_rate: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    decision_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.layout == "plain":
            raise ValueError("layout: streams have a mask of their own, which the plain layout cannot have; use auto")
        if self.wait_k is not None and self.policy != "wait-k":
            raise ValueError("wait_k asks for policy: wait-k")
        return self
