"""The recipe's part of preference construction."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from domains.translation.alignment import Method
from domains.translation.decoder.rules import parse_rule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.preferences import Weights
from shared.judges.endpoint_config import EndpointConfig
from shared.recipes import Component

Mode = Literal["auto", "sample", "endpoint", "given"]
Paths = Literal["alignment", "agreement"]
TextPreference = Literal["quality", "monotonicity", "key_points", "simplicity"]
Prompt = Literal["quality", "monotonicity", "key_points", "simplicity", "combined"]
# Of the five, those that a reader of the text can judge; latency is one of the path.
TEXT_PREFERENCES: tuple[TextPreference, ...] = ("quality", "monotonicity", "key_points", "simplicity")


class SamplingConfig(Component):
    """Renderings that the supervised policy writes of every source.

    Attributes:
        rules: read rules it is decoded under, as `domains.translation.decoder.rules.parse_rule` reads them: several
            latencies, an offline one among them. None: nothing is sampled, and an endpoint judges the given renderings.
        samples: renderings a rule and source; more than one needs a temperature above 0.
        decoding: temperature, nucleus, limits, batch. Its seed, the stage's seed and the rule together make the random
            numbers of a rule.
    """

    rules: tuple[str, ...] = ("offline", "wait-k:3", "wait-k:5", "threshold:0.3", "threshold:0.7")
    samples: int = Field(default=1, ge=1)
    decoding: DecodingConfig = DecodingConfig(temperature=0.7, top_p=0.95)

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        named = tuple(str(parse_rule(one)) for one in rules)
        if twice := sorted({one for one in named if named.count(one) > 1}):
            raise ValueError(f"the rule {twice[0]} stands there twice; raise `samples` for more of it")
        return named

    @model_validator(mode="after")
    def _different(self) -> "SamplingConfig":
        if self.samples > 1 and not self.decoding.temperature:
            raise ValueError("samples above 1 need a decoding.temperature above 0: greedy renderings are all the same")
        return self


class PairingConfig(Component):
    """Which two renderings of a source become its pair.

    Attributes:
        strategy: ``best-worst`` (highest against lowest score), ``best-random`` (highest against a random other), or
            ``margin`` (up to `max_pairs` pairs of largest difference, no rendering in two).
        min_margin: pairs whose scores differ by no more are ties and left out. Scores are weighted means of preferences
            from 0 to 1.
        max_pairs: pairs a source under ``margin``.
        given: which of the record's own renderings stand among the candidates: ``all``, the ``rejected`` one, or
            ``none`` (pairs of the policy's own writing only). A given target that is also the reference of the quality
            measure has the best quality there is.
        cut_may_win: whether a rendering that was cut at its most tokens may be the chosen one.
    """

    strategy: Literal["best-worst", "best-random", "margin"] = "best-worst"
    min_margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_pairs: int = Field(default=1, ge=1)
    given: Literal["all", "rejected", "none"] = "all"
    cut_may_win: bool = False


class WriterConfig(Component):
    """What a model at an endpoint does.

    Attributes:
        task: ``write``: it writes the preferred rendering, which is chosen over another; ``judge``: it picks between
            two renderings, asked in both orders for every preference of `preferences`.
        endpoint: where the model is.
        prompts: ``write`` only: what it is asked for; each prompt gives a rendering, and each different one a pair.
            ``combined`` asks for all four preferences at once.
        against: ``write`` only: what the written rendering is chosen over: the record's ``target``, its ``rejected``
            rendering, or the lowest-scoring rendering of the supervised ``policy``. A record without a rejected
            rendering gives no pair under ``rejected``.
        preferences: ``judge`` only: what it is asked about; latency is measured, never judged.
        max_failed_share: share of questions without a usable answer above which the stage fails.
    """

    task: Literal["write", "judge"] = "write"
    endpoint: EndpointConfig
    prompts: tuple[Prompt, ...] = Field(default=("combined",), min_length=1)
    against: Literal["target", "rejected", "policy"] = "target"
    preferences: tuple[TextPreference, ...] = Field(default=TEXT_PREFERENCES, min_length=1)
    max_failed_share: float = Field(default=0.2, ge=0, le=1)

    @field_validator("prompts", "preferences")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("every name once")
        return names


class ConstructionConfig(Component):
    """How preference pairs are made from the training data.

    Attributes:
        mode: ``sample``: candidates of the supervised policy at several latencies, scored by the five preferences;
            ``endpoint``: a language model writes or judges; ``given``: the data's own rejected renderings; ``auto``:
            ``given`` where the data have any, else ``sample``.
        paths: read/write paths of texts that have none: from a word ``alignment``, or from the ``agreement`` of the
            supervised policy's predictions from prefixes with those from the whole source.
        alignment: how words are aligned: ``auto`` (a statistical model trained on the records: ``hmm``, above 50,000
            ``fast_align``), one of these or ``ibm1``, or ``states`` (of the base model, which must be multilingual;
            each alignment then depends on its two sentences alone).
        weights: of the five preferences in a score; at least one above 0. ``latency: neutral`` prices latency so that
            renderings which waited longer do not score higher for that alone; not with a ``judge``.
        quality: sentence score against the reference: ``chrf``, ``bleu``, or the mean of both.
        sampling: what the policy writes (modes ``sample``, and ``endpoint`` where it needs renderings).
        pairing: which renderings become a pair.
        writer: the endpoint (mode ``endpoint`` only).
        sources: most training sources used, chosen by a hash of their id; null uses all.
        require_pairs: least number of pairs; fewer fail the stage.
    """

    mode: Mode = "auto"
    paths: Paths = "alignment"
    alignment: Method = "auto"
    weights: Weights = Weights()
    quality: Literal["chrf", "bleu", "both"] = "chrf"
    sampling: SamplingConfig = SamplingConfig()
    pairing: PairingConfig = PairingConfig()
    writer: WriterConfig | None = None
    sources: int | None = Field(default=None, ge=1)
    require_pairs: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> "ConstructionConfig":
        if self.mode == "endpoint" and self.writer is None:
            raise ValueError(
                "mode endpoint needs writer.endpoint.base_url and writer.endpoint.model; without an endpoint use "
                "mode sample"
            )
        judges = self.mode == "endpoint" and self.writer is not None and self.writer.task == "judge"
        if judges and self.weights.latency == "neutral":
            raise ValueError(
                "weights.latency: the neutral price is found from scores, which a judge does not give; write a number"
            )
        writes = self.mode == "endpoint" and self.writer is not None and self.writer.task == "write"
        from_policy = writes and self.writer is not None and self.writer.against == "policy"
        if not self.sampling.rules and (self.mode == "sample" or from_policy):
            raise ValueError("sampling.rules: the policy's renderings are wanted, so name at least one read rule")
        return self

    def needs_policy(self, mode: Mode) -> bool:
        """Whether the supervised policy is used in a mode (`auto` decided)."""
        if mode == "sample" or self.paths == "agreement":
            return True
        if mode == "given" or self.writer is None:
            return False
        return self.writer.against == "policy" if self.writer.task == "write" else bool(self.sampling.rules)
