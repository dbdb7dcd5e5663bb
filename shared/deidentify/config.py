"""The `deidentify` part of a recipe."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.deidentify.findings import ENTITIES
from shared.errors import UsageError

PERSON_FIELDS = (
    "name", "full_name", "fullname", "first_name", "last_name", "surname", "author", "author_name",
    "user_name", "username", "therapist", "therapist_name", "therapistinfo", "therapist_info",
    "reviewer", "reviewer_name", "reviewername", "patient", "patient_name", "doctor", "clinician",
    "signature", "contact",
)  # fmt: skip


class DeidentifyConfig(BaseModel):
    """What is masked before anything is stored.

    Attributes:
        enabled: mask at all; domains with sensitive data refuse False unless `accept_identifiable_data` says why.
        accept_identifiable_data: the reason why identifiable data may be stored; it stands in report and card.
        recognise_names: find person names by model and lists (hundreds of pairs a second and core). Patterns,
            with the names that a title, a signature or "my name is" gives away, always run.
        entities: what is masked; a domain's recogniser may add entities of its own.
        recognisers: names of registered recognisers that run beside the built-in ones.
        allow_list: values that stay: a phone number (its digits count), a host (with its subdomains), a name, an
            e-mail address; compared without regard to case.
        person_fields: metadata fields whose whole value is a person; compared without regard to case.
        placeholder: ``numbered`` writes [NAME_1], the same number for the same value within a group; ``plain`` [NAME].
        min_score: findings below this confidence are left alone.
        languages: languages of the data; names are recognised in English only, in others patterns alone run, and the
            report says so.
        batch_records: records held in memory at once.
        open_groups: groups whose numbering is kept in memory; one that returns after so many others starts at 1 again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    accept_identifiable_data: str = ""
    recognise_names: bool = True
    entities: tuple[str, ...] = ENTITIES
    recognisers: tuple[str, ...] = ()
    allow_list: tuple[str, ...] = ()
    person_fields: tuple[str, ...] = PERSON_FIELDS
    placeholder: Literal["numbered", "plain"] = "numbered"
    min_score: float = Field(default=0.5, ge=0.0, le=1.0)
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    batch_records: int = Field(default=256, ge=1, le=100_000)
    open_groups: int = Field(default=50_000, ge=1)

    @property
    def names_by_model(self) -> bool:
        """Whether the name model runs: asked for, names are among the entities, and English is among the languages."""
        return self.enabled and self.recognise_names and "NAME" in self.entities and "en" in self.languages


def require_deidentification(config: DeidentifyConfig, domain: str) -> None:
    """Refuses a recipe that would store sensitive data as they are without saying why.

    Args:
        config: the recipe's part.
        domain: name of the domain, for the message.

    Raises:
        UsageError: masking, or the masking of one of the built-in entities, is off and no reason is given.
    """
    missing = [entity for entity in ENTITIES if entity not in config.entities]
    if (config.enabled and not missing) or config.accept_identifiable_data.strip():
        return
    what = f"does not mask {', '.join(missing)}" if config.enabled else "is off"
    raise UsageError(
        f"`deidentify` {what}, but the domain {domain} holds sensitive data: switch it on, or give the reason why "
        "identifiable data may be stored in `deidentify.accept_identifiable_data` (it is shown in report and card)."
    )
