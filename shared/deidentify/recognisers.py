"""The recognisers that run, and how a domain adds its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from shared.deidentify.findings import Finding
from shared.deidentify.name_patterns import find_cued_names
from shared.deidentify.patterns import DIGIT_CONDITIONS, PATTERN_RULES, Contains, PatternRule, has_digit
from shared.deidentify.redaction import SECRET_RULES
from shared.errors import UsageError


class Recogniser(Protocol):
    """Finds personal data in a batch of texts."""

    name: str

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, in the order of `texts`; they may overlap."""
        ...


@dataclass(frozen=True)
class PatternRecogniser:
    """Runs pattern rules over each text.

    Attributes:
        name: shown in reports.
        rules: the rules.
        finders: functions of one text that yield findings, for what one expression cannot say.
    """

    name: str = "patterns"
    rules: tuple[PatternRule, ...] = SECRET_RULES + PATTERN_RULES
    finders: tuple[Callable[[str], Iterator[Finding]], ...] = (find_cued_names,)

    @cached_property
    def _by_condition(self) -> list[tuple[Callable[[str], object] | None, list[PatternRule]]]:
        grouped: dict[Callable[[str], object] | None, list[PatternRule]] = {}
        for rule in self.rules:
            grouped.setdefault(rule.needs, []).append(rule)
        return list(grouped.items())

    @cached_property
    def _without_digits(self) -> list[tuple[Callable[[str], object] | None, list[PatternRule]]]:
        return [(needs, rules) for needs, rules in self._by_condition if needs not in DIGIT_CONDITIONS]

    def find(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, in the order of `texts`."""
        return [self.find_one(text) for text in texts]

    def find_one(self, text: str) -> list[Finding]:
        """The findings of one text."""
        found: list[Finding] = []
        lower = text.lower()
        conditions = self._by_condition if has_digit(text) else self._without_digits
        for needs, rules in conditions:
            if needs is None or (needs.in_lower(lower) if type(needs) is Contains else needs(text)):
                for rule in rules:
                    found += rule.matches(text)
        for finder in self.finders:
            found += finder(text)
        return found


_ADDED: dict[str, Callable[[], Recogniser]] = {}


def register_recogniser(name: str, build: Callable[[], Recogniser]) -> None:
    """Makes a recogniser selectable by name in ``DeidentifyConfig.recognisers`` (call it when the domain is imported).

    Args:
        name: what recipes call it.
        build: makes the recogniser when it is first needed; heavy imports belong inside.

    Raises:
        UsageError: another recogniser has this name.
    """
    if name in _ADDED and _ADDED[name] is not build:
        raise UsageError(f"a recogniser named {name!r} is registered already: give yours another name.")
    _ADDED[name] = build


def build_recogniser(name: str) -> Recogniser:
    """The registered recogniser of this name.

    Raises:
        UsageError: unknown name; lists the known ones.
    """
    if name not in _ADDED:
        known = ", ".join(sorted(_ADDED)) or "none"
        raise UsageError(f"unknown recogniser {name!r} in `deidentify.recognisers`: registered are {known}.")
    return _ADDED[name]()
