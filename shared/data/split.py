"""Splits by group: deterministic by content, pairs capped per group, and no text in two splits.

Groups that share any prompt or response text (Unicode form, case and white space aside) are one component and go to
one split together. Two ways of assigning components:

- ``quota``: components in the order of their hash fill the splits up to their fractions. Fractions are met within one
  component, which small data need; adding rows may move others.
- ``hash``: a component's hash alone says where it goes. Adding rows moves none (unless they join two components);
  fractions are met on average only.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from shared.data.text_keys import text_hash
from shared.records import PreferenceRecord

Mode = Literal["quota", "hash"]


class _Components:
    """Union-find over group ids."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        root = name
        while self._parent.setdefault(root, root) != root:
            root = self._parent[root]
        while self._parent[name] != root:
            self._parent[name], name = root, self._parent[name]
        return root

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.find(one), self.find(other)))
        self._parent[second] = first


def components_of(records: Sequence[PreferenceRecord]) -> dict[str, str]:
    """Component of each group id: groups that share a prompt or a response are one."""
    components = _Components()
    seen: dict[int, str] = {}
    for record in records:
        components.find(record.group_id)
        for text in (record.prompt_text(), record.chosen, record.rejected):
            key = text_hash(text)
            if key in seen:
                components.join(seen[key], record.group_id)
            else:
                seen[key] = record.group_id
    return {record.group_id: components.find(record.group_id) for record in records}


def _unit(text: str, salt: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{text}".encode()).digest()[:8], "big") / 2**64


def cap_per_group(records: Sequence[PreferenceRecord], most: int | None) -> list[PreferenceRecord]:
    """At most `most` pairs of each group: those whose content hashes lowest, in their given order."""
    if most is None:
        return list(records)
    by_group: dict[str, list[PreferenceRecord]] = defaultdict(list)
    for record in records:
        by_group[record.group_id].append(record)
    kept = {
        id(record)
        for members in by_group.values()
        for record in sorted(members, key=lambda one: _unit(one.id + one.chosen + one.rejected, "cap"))[:most]
    }
    return [record for record in records if id(record) in kept]


def assign_splits(
    records: Sequence[PreferenceRecord], fractions: Mapping[str, float], salt: str = "valign", mode: Mode = "quota"
) -> dict[str, list[PreferenceRecord]]:
    """Assigns every record to a split.

    Args:
        records: the pairs, capped already.
        fractions: share of the pairs by split name; they are scaled to sum to 1.
        salt: changes the assignment as a whole.
        mode: see the module.

    Returns:
        Records by split, in their given order; every name of `fractions` is there.

    Raises:
        ValueError: no fraction is above 0, or one is negative.
    """
    total = sum(fractions.values())
    if total <= 0 or min(fractions.values()) < 0:
        raise ValueError("split fractions must not be negative, and one must be above 0")
    shares = {name: value / total for name, value in fractions.items() if value > 0}
    component = components_of(records)
    # A component is named by its lowest text hash, so that neither ids nor the order of rows matter.
    label: dict[str, int] = {}
    size: dict[str, int] = defaultdict(int)
    for record in records:
        root = component[record.group_id]
        key = min(text_hash(text) for text in (record.prompt_text(), record.chosen, record.rejected))
        label[root] = min(label.get(root, key), key)
        size[root] += 1
    place = {root: _unit(str(key), salt) for root, key in label.items()}
    split_of: dict[str, str] = {}
    if mode == "hash":
        for root, unit in place.items():
            split_of[root] = _by_hash(unit, shares)
    else:
        filled = dict.fromkeys(shares, 0)
        # Large components first where they would not fit later: they go where most room is left.
        for root in sorted(place, key=lambda one: (-size[one] if size[one] > 1 else -1, place[one])):
            name = max(shares, key=lambda one: (shares[one] * len(records) - filled[one], shares[one]))
            split_of[root] = name
            filled[name] += size[root]
    splits: dict[str, list[PreferenceRecord]] = {name: [] for name in fractions}
    for record in records:
        splits[split_of[component[record.group_id]]].append(record)
    return splits


def _by_hash(unit: float, shares: Mapping[str, float]) -> str:
    reached = 0.0
    for name, share in shares.items():
        reached += share
        if unit < reached:
            return name
    return next(reversed(list(shares)))
