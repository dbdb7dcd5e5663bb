"""Words, stems and numbers of reviews and summaries, by expressions: no model, some million characters a second."""

import re
from functools import cache, lru_cache
from typing import Any

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
LEAST_LETTERS = 3  # of a word that carries content
# Function words, and words that stand in reviews of anything and tell nothing of the product.
FUNCTION_WORDS = frozenset(
    """
    a about above after again against all almost also although always am an and another any anyone anything are
    aren't around as at be became because been before being below between both but by can can't cannot could
    couldn't did didn't do does doesn't doing don't done down during each either else even ever every everyone
    everything for from further get gets getting give given go goes going gone got had hadn't has hasn't have
    haven't having he her here hers herself him himself his how however i i'd i'll i'm i've if in into is isn't it
    it's its itself just keep keeps kept let like made make makes making may maybe me might mine more most much must
    my myself need needs never no nor not nothing now of off often on once one ones only onto or other others our
    ours ourselves out over own per perhaps put quite rather really said same say says seem seemed seems several
    shall she should shouldn't since so some someone something still such take takes than that that's the their
    theirs them themselves then there there's these they they're they've this those though through thus to together
    too toward under until up upon us use used using very was wasn't we we've well were weren't what when where
    whether which while who whole whom whose why will with within without won't would wouldn't yet you you'd you'll
    you're you've your yours yourself im ive dont didnt doesnt cant wont isnt etc two three way thing things lot
    lots bit overall despite
    """.split()  # noqa: SIM905
)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, with straight apostrophes; digits count as words."""
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Porter's stem of a word in lower case (M. F. Porter 1980, with NLTK's extensions)."""
    return str(_stemmer().stem(word.removesuffix("'s")))


def carries_content(word: str) -> bool:
    """Whether a lower-case word is neither short nor a function word."""
    return len(word) >= LEAST_LETTERS and word not in FUNCTION_WORDS


def numbers_of(text: str) -> set[str]:
    """The numerals of a text: digits, with thousands separators taken out."""
    return {match.replace(",", "") for match in NUMBER.findall(text)}
