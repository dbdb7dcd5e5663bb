"""What was masked, as counts: never a text, never a value."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shared.deidentify.config import DeidentifyConfig

_MOST_FIELDS = 200  # metadata keys counted apart; a source with endless keys must not fill the memory


@dataclass
class DeidentifyReport:
    """Counts of one pass over the data.

    Attributes:
        config: what was asked for.
        records: records seen.
        records_touched: records in which something was replaced.
        texts: texts seen, empty ones too.
        characters: their length.
        by_entity: findings replaced, by entity.
        by_field: the same by field (``chosen``, ``metadata.topic``) and entity.
        by_recogniser: the same by the rule that found them.
        allowed: findings left because they stand in the allow list.
        ids_hashed: ids and group ids replaced by a hash.
        sources_masked: records whose source (file name) was masked.
        columns_masked: records with a masked column name.
    """

    config: DeidentifyConfig
    records: int = 0
    records_touched: int = 0
    texts: int = 0
    characters: int = 0
    by_entity: Counter[str] = field(default_factory=Counter)
    by_field: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_recogniser: Counter[str] = field(default_factory=Counter)
    allowed: int = 0
    ids_hashed: int = 0
    sources_masked: int = 0
    columns_masked: int = 0

    def count(self, field_name: str, entity: str, recogniser: str) -> None:
        """Adds one replaced finding."""
        self.by_entity[entity] += 1
        self.by_recogniser[recogniser] += 1
        if (field_name, entity) not in self.by_field and len(self.by_field) >= _MOST_FIELDS:
            field_name = field_name.split(".")[0] + ".*"
        self.by_field[field_name, entity] += 1

    def notes(self) -> list[str]:
        """Sentences that a reader of the report must know."""
        said: list[str] = []
        if not self.config.enabled:
            reason = self.config.accept_identifiable_data or "the recipe switched it off"
            said.append(f"De-identification was off ({reason}): the data are stored as they were given.")
            return said
        if not self.config.names_by_model:
            said.append("Names were found by patterns only (titles, signatures, `my name is`): most names remain.")
        others = [language for language in self.config.languages if language != "en"]
        if others:
            said.append(f"In {', '.join(others)} only patterns were applied: names in these languages remain.")
        said.append("Masking is incomplete by nature: see the measured recall. Masked data are not anonymous data.")
        return said

    def to_json(self) -> dict[str, Any]:
        """The counts and the measured quality as a JSON value, for the artifact, the report and the card."""
        from shared.deidentify.measured import measured_quality

        fields: dict[str, dict[str, int]] = {}
        for (name, entity), number in sorted(self.by_field.items()):
            fields.setdefault(name, {})[entity] = number
        return {
            "enabled": self.config.enabled,
            "names_by_model": self.config.names_by_model,
            "languages": list(self.config.languages),
            "records": self.records,
            "records_touched": self.records_touched,
            "texts": self.texts,
            "characters": self.characters,
            "by_entity": dict(sorted(self.by_entity.items())),
            "by_field": fields,
            "by_recogniser": dict(sorted(self.by_recogniser.items())),
            "allowed": self.allowed,
            "ids_hashed": self.ids_hashed,
            "sources_masked": self.sources_masked,
            "columns_masked": self.columns_masked,
            "notes": self.notes(),
            "quality": measured_quality(self.config.names_by_model),
        }

    def metrics(self) -> dict[str, float]:
        """Flat metrics of the data stage, ``data/deidentify/...``."""
        metrics = {
            "data/deidentify/records": float(self.records),
            "data/deidentify/records_touched": float(self.records_touched),
            "data/deidentify/findings": float(sum(self.by_entity.values())),
        }
        for entity, number in self.by_entity.items():
            metrics[f"data/deidentify/{entity.lower()}"] = float(number)
        return metrics
