"""The record protocol that every domain's rows meet, and the preference record.

A record knows its id, the group that must never be torn across splits (a question, a patient, a product),
its source (file and row, for error messages and lineage) and its texts (for checks that read every text).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Role = Literal["system", "user", "assistant"]


@runtime_checkable
class Record(Protocol):
    """What every stage may rely on, whatever the domain."""

    @property
    def id(self) -> str: ...
    @property
    def group_id(self) -> str: ...
    @property
    def source(self) -> str: ...
    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) for every text of the record."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Votes:
    """How raters voted on a pair; `ties` are raters without a preference."""

    chosen: int
    rejected: int
    ties: int = 0


@dataclass(frozen=True, slots=True)
class PreferenceRecord:
    """One prompt with a preferred and a less preferred response.

    Attributes:
        id: stable id of the pair (content hash unless the source has one).
        group_id: rows of one group never stand in two splits.
        source: where it was read, e.g. ``pairs.csv:17``.
        prompt: the conversation before the response, oldest turn first.
        chosen: the preferred response.
        rejected: the other response.
        margin: strength of the preference in the source's own unit (vote or score difference).
        weight: factor of this pair's loss.
        votes: votes of human raters, if there are any.
        scores_chosen: factor or principle scores of the chosen side, by name.
        scores_rejected: the same names for the rejected side.
        covariates_chosen: what is known of the chosen side but is no judgement of it (views, position, source model).
        covariates_rejected: the same names for the rejected side.
        context: what a context-conditioned judge sees beside the prompt.
        rationale: why the chosen response was preferred.
        metadata: scalars of the source row kept for reports, never for training.
    """

    id: str
    group_id: str
    source: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    margin: float | None = None
    weight: float = 1.0
    votes: Votes | None = None
    scores_chosen: Mapping[str, float] = field(default_factory=dict)
    scores_rejected: Mapping[str, float] = field(default_factory=dict)
    covariates_chosen: Mapping[str, float] = field(default_factory=dict)
    covariates_rejected: Mapping[str, float] = field(default_factory=dict)
    context: str | None = None
    rationale: str | None = None
    metadata: Mapping[str, str | float | int | bool | None] = field(default_factory=dict)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yields (field name, text) of every text: prompt turns, both responses, context, rationale."""
        for index, message in enumerate(self.prompt):
            yield f"prompt[{index}]", message.content
        yield "chosen", self.chosen
        yield "rejected", self.rejected
        if self.context is not None:
            yield "context", self.context
        if self.rationale is not None:
            yield "rationale", self.rationale

    def prompt_text(self) -> str:
        """All turns of the prompt in one string, for hashing and display."""
        return "\n".join(message.content for message in self.prompt)

    def to_json(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary; `from_json` reads it back to an equal record."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "PreferenceRecord":
        """The inverse of `to_json`. Raises KeyError/TypeError where a field is missing or unknown."""
        values = dict(row)
        values["prompt"] = tuple(Message(**message) for message in values["prompt"])
        if values.get("votes") is not None:
            values["votes"] = Votes(**values["votes"])
        return cls(**values)


def content_id(*parts: str) -> str:
    """16 hex digits of the sha256 of the parts, unambiguous in their boundaries; the id of records without one."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]
