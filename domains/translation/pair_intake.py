"""Sentence pairs as they stream by: which are stored, and what is remembered of them for the splits."""

from array import array
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domains.translation.data_config import SPLITS, PairLanguages, TranslationDataConfig
from domains.translation.pair_splits import GivenSplits, pair_keys
from domains.translation.records import SentencePair
from domains.translation.target_marks import unmarked_pair
from domains.translation.units import split_units
from shared.data.near_duplicates import PairSignatures
from shared.data.rows import RowTally
from shared.data.split import Labels, PairIndex
from shared.deidentify.findings import PLACEHOLDER
from shared.records import content_id

ONE_SIDED = "personal data were found on one side only"


class PairIntake:
    """Chooses pairs as they stream by; keeps hashes, lengths and given splits of those that stay, no text.

    Args:
        config: limits, and what is masked.
        languages: with their units.
        tally: gets the pairs left out, with the reason.

    Attributes:
        index: hashes of the pairs that stay, in their order.
        given: their given splits.
        signatures: for near-duplicates, where those are dropped.
        read: pairs that came in.
        renamed: pairs whose id stood in an earlier row already, and was extended by a hash.
        paths_dropped: read paths given up because a placeholder changed the units of their texts.
    """

    def __init__(self, config: TranslationDataConfig, languages: PairLanguages, tally: RowTally) -> None:
        self.index, self.given = PairIndex(), GivenSplits()
        self.signatures = PairSignatures() if config.near_duplicates == "drop" else None
        self.read = self.renamed = self.paths_dropped = 0
        self._config, self._languages, self._tally = config, languages, tally
        self._entities = frozenset(config.deidentify.entities if config.deidentify.enabled else ())
        self._units, self._paths = array("i"), array("b")
        self._seen: set[tuple[int, int]] = set()
        self._ids: set[str] = set()

    def take(self, pair: SentencePair, given: str | None) -> SentencePair | None:
        """The (masked) pair as it is to be stored, or None where it is left out.

        Raises:
            DataError: `given` is no split.
        """
        self.read += 1
        split = self.given.number(given, pair.source)
        if self._config.target_marks == "drop":
            pair = unmarked_pair(pair, self._languages.target_unit)
        units = self._units_of(pair)
        keys = pair_keys(pair)
        reason = self._too_long(*units)
        if reason is None and self._one_sided(pair):
            reason = ONE_SIDED
        # A pair of the training split that repeats a held-out one is a leak, whichever came first.
        if reason is None and (split, keys.pair) in self._seen:
            reason = "repeats an earlier pair"
        if reason is not None:
            self._tally.leave_out(pair.source, reason)
            return None
        self._seen.add((split, keys.pair))
        pair = self._with_fitting_paths(pair, units)
        if pair.id in self._ids:
            self.renamed += 1
            unique = content_id(pair.source_text, pair.target_text, pair.rejected_text or "")
            pair = replace(pair, id=f"{pair.id}-{unique}")
        self._ids.add(pair.id)
        self.index.add(pair.group_id, keys)
        self.given.add(split)
        self._units.extend(units)
        self._paths.append(pair.target_path is not None)
        if self.signatures is not None:
            self.signatures.add(pair.source_text, pair.target_text, pair.rejected_text or "")
        return pair

    def _units_of(self, pair: SentencePair) -> tuple[int, int, int]:
        """Units of source, translation and rejected translation; 0 where there is none."""
        unit = self._languages.target_unit
        rejected = 0 if pair.rejected_text is None else len(split_units(pair.rejected_text, unit))
        source = len(split_units(pair.source_text, self._languages.source_unit))
        return source, len(split_units(pair.target_text, unit)), rejected

    def _too_long(self, source: int, target: int, rejected: int) -> str | None:
        config = self._config
        if min(source, target, rejected or target) < config.min_units:
            return f"fewer than {config.min_units} units"
        if config.max_source_units is not None and source > config.max_source_units:
            return f"source of more than {config.max_source_units} units"
        if config.max_target_units is not None and max(target, rejected) > config.max_target_units:
            return f"translation of more than {config.max_target_units} units"
        return None

    def _placeholders(self, text: str) -> set[str]:
        if "[" not in text:
            return set()
        return {match[0] for match in PLACEHOLDER.finditer(text) if match[1] in self._entities}

    def _one_sided(self, pair: SentencePair) -> bool:
        """Whether a placeholder stands in one text and not in another, where what it replaced may still be read."""
        first, *others = (self._placeholders(text) for _, text in pair.texts())
        return any(one != first for one in others)

    def _with_fitting_paths(self, pair: SentencePair, units: tuple[int, int, int]) -> SentencePair:
        """Without the paths whose units a placeholder has changed: they fitted the texts as read."""
        changes: dict[str, Any] = {}
        masked = bool(self._placeholders(pair.source_text))
        for name, path, length in (
            ("target_path", pair.target_path, units[1]),
            ("rejected_path", pair.rejected_path, units[2]),
        ):
            if path is not None and (masked or len(path) != length or path[-1] > units[0]):
                changes[name] = None
                self.paths_dropped += 1
        return replace(pair, **changes) if changes else pair

    def counts(self, split_of: Labels) -> dict[str, dict[str, Any]]:
        """By split: pairs, groups, preferences, paths, and units of the texts (mean and most).

        Args:
            split_of: number of each pair's split, -1 for none. [pairs]
        """
        units = np.array(self._units, dtype=np.int32).reshape(-1, 3)
        paths = np.array(self._paths, dtype=bool)
        groups = self.index.groups
        inside = {name: split_of == number for number, name in enumerate(SPLITS)}
        return {name: _counts(groups[rows], units[rows], paths[rows]) for name, rows in inside.items()}


def _counts(groups: Labels, units: NDArray[np.int32], paths: NDArray[np.bool_]) -> dict[str, Any]:
    preferred = units[:, 2] > 0
    found: dict[str, Any] = {
        "pairs": len(groups),
        "groups": len(np.unique(groups)),
        "preferences": int(preferred.sum()),
        "paths": int(paths.sum()),
    }
    for side, lengths in (("source", units[:, 0]), ("target", units[:, 1]), ("rejected", units[preferred, 2])):
        found[f"units_{side}"] = round(float(lengths.mean()), 1) if len(lengths) else None
        found[f"most_units_{side}"] = int(lengths.max()) if len(lengths) else None
    return found
