"""Which placeholder stands for a value within one group of records; the mapping lives in memory only."""

import re
from collections import OrderedDict
from collections.abc import Callable

from shared.deidentify.findings import PLACEHOLDER

_DIGITS = re.compile(r"\D+")
_SPACES = re.compile(r"\s+")
_NAME_SEPARATORS = re.compile(r"[\s._-]+")


def normalise(entity: str, value: str) -> str:
    """One spelling for all ways of writing a value: digits of a number, a name without case and possessive."""
    if entity in {"PHONE", "CARD"} and any(character.isdigit() for character in value):
        digits = _DIGITS.sub("", value)
        return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
    value = _SPACES.sub(" ", value).strip().casefold()
    if entity == "NAME":
        value = _NAME_SEPARATORS.sub(" ", value).strip()
        return re.sub(r"['’]s?$", "", value)
    return value.rstrip("/.") if entity == "URL" else value


class PlaceholderBook:
    """Numbers values within one scope, by order of appearance; part of a known name gets that name's number."""

    __slots__ = ("_by_part", "_counts", "_numbers", "names")

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        self._by_part: dict[str, int] = {}  # part of a name -> its number; 0 where two people share the part
        self.names: list[str] = []

    def reserve(self, text: str) -> None:
        """Leaves out numbers of placeholders that stand in a text already."""
        if "[" in text:
            for match in PLACEHOLDER.finditer(text):
                if match[2]:
                    self._counts[match[1]] = max(self._counts.get(match[1], 0), int(match[2][:6]))

    def number(self, entity: str, value: str) -> int:
        """The number of a value, new or known."""
        key = (entity, normalise(entity, value))
        known = self._numbers.get(key)
        if known is not None:
            return known
        number = self._number_of_name(key[1]) if entity == "NAME" else 0
        if not number:
            number = self._counts[entity] = self._counts.get(entity, 0) + 1
        self._numbers[key] = number
        if entity == "NAME":
            self.names.append(key[1])
            for part in key[1].split():
                if len(part) > 1:
                    self._by_part[part] = number if self._by_part.get(part, number) == number else 0
        return number

    def _number_of_name(self, name: str) -> int:
        """Number of a known name that this one shortens or completes, else 0."""
        parts = name.split()
        if len(parts) == 1:
            return self._by_part.get(name, 0)
        # "Sherry" was met first and "Sherry Katz" follows: the same, unless "Sherry" belongs to a full name already.
        if ("NAME", parts[0]) in self._numbers:
            number = self._numbers["NAME", parts[0]]
            shared = [known for known in self.names if self._numbers["NAME", known] == number]
            if all(len(known.split()) == 1 for known in shared):
                return number
        return 0


class OpenGroups:
    """Books of the groups met last.

    Args:
        capacity: groups kept; the one not used for longest is forgotten first.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._books: OrderedDict[str, PlaceholderBook] = OrderedDict()

    def known(self, group: str) -> bool:
        """Whether something was found in this group before."""
        return group in self._books

    def book(self, group: str) -> PlaceholderBook:
        """The book of a group."""
        found = self._books.get(group)
        if found is None:
            found = self._books[group] = PlaceholderBook()
            if len(self._books) > self.capacity:
                self._books.popitem(last=False)
        else:
            self._books.move_to_end(group)
        return found


def known_names_expression(names: list[str], distinctive: Callable[[str], bool]) -> re.Pattern[str] | None:
    """An expression for every way in which names of a group may be written again, also joined as in a slug.

    Args:
        names: normalised names.
        distinctive: whether a lower-case part may be searched on its own.
    """
    wanted: set[str] = set()
    for name in names:
        parts = [part for part in name.split() if part]
        if len(parts) > 1 and sum(map(len, parts)) > 5:
            wanted.add(r"[\s._+-]{0,3}".join(map(re.escape, parts)))
        wanted.update(re.escape(part) for part in parts if len(part) > 2 and distinctive(part))
    if not wanted:
        return None
    longest_first = sorted(wanted, key=lambda item: (-len(item), item))
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(longest_first)})(?![^\W_])", re.IGNORECASE)
