"""What latency is counted in: words, or characters where a language writes without spaces. Set once, used everywhere.

A text is split into units, and a language model's tokens are made unit by unit, so that a source that grows by a unit
only ever adds tokens. Joining the units of a text gives the text back, but for runs of white space.
"""

from collections.abc import Sequence
from typing import Literal

from shared.errors import UsageError

Unit = Literal["word", "char"]

# ISO 639-1 codes; a language that is not here needs `unit` in the recipe.
_BY_UNIT: dict[Unit, str] = {
    "word": "ar bg bn ca cs da de el en es et fa fi fr gl he hi hr hu id is it ko lt lv mk ms nl no pl pt ro ru sk sl "
    "sq sr sv sw ta te tr uk ur vi",
    "char": "zh ja",
}
UNITS: dict[str, Unit] = {code: unit for unit, codes in _BY_UNIT.items() for code in codes.split()}


def unit_of(language: str, stated: Unit | None = None) -> Unit:
    """The latency unit of a language.

    Args:
        language: ISO 639-1 code, with or without a region (``zh-TW``).
        stated: the recipe's own, which goes first.

    Raises:
        UsageError: a language without a unit, and none stated.
    """
    if stated is not None:
        return stated
    code = language.lower().replace("_", "-").split("-")[0]
    if code not in UNITS:
        raise UsageError(
            f"the language {language!r} has no latency unit here: state it in the recipe, "
            "`data.source_unit` or `data.target_unit`, as word or char."
        )
    return UNITS[code]


def split_units(text: str, unit: Unit) -> list[str]:
    """The units of a text, in order; white space stands between them and is in none.

    Characters: every character but white space is one unit, so a Latin name inside Chinese counts its letters, as
    SimulEval's ``--eval-latency-unit char`` does.
    """
    return text.split() if unit == "word" else [character for character in text if not character.isspace()]


def join_units(units: Sequence[str], unit: Unit) -> str:
    """The text of units."""
    return (" " if unit == "word" else "").join(units)
