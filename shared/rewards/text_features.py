"""Surface features of a response: cheap, readable inputs of a feature network, and a yardstick for every other scorer.

They measure no quality. A reward model that does not beat a network of these has learnt form.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from shared.records import Message

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SENTENCE_END = re.compile(r"[.!?。！？]+(?:\s|$)")
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)
_ADDRESSED = frozenset({"you", "your", "yours", "yourself", "you're", "you've", "you'll", "you'd"})


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _overlap(prompt: str, words: list[str]) -> float:
    known = set(_words(prompt))
    return _share(sum(word in known for word in words), len(words))


TEXT_FEATURES: Final[dict[str, Callable[[str, str, list[str]], float]]] = {
    # name: function of (prompt, response, words of the response)
    "words": lambda _, __, words: float(len(words)),
    "sentences": lambda _, text, __: float(len(_SENTENCE_END.findall(text))),
    "paragraphs": lambda _, text, __: float(sum(1 for part in text.split("\n\n") if part.strip())),
    "questions": lambda _, text, __: float(text.count("?") + text.count("？")),
    "list_items": lambda _, text, __: float(len(_LIST_ITEM.findall(text))),
    "letters_a_word": lambda _, __, words: _share(sum(map(len, words)), len(words)),
    "distinct_words": lambda _, __, words: _share(len(set(words)), len(words)),
    "addressed": lambda _, __, words: _share(sum(word in _ADDRESSED for word in words), len(words)),
    "prompt_overlap": lambda prompt, _, words: _overlap(prompt, words),
}
"""Each feature by name: counts (words, sentences, paragraphs, question marks, list items), letters a word, and shares
of the words that are distinct, address the reader in English, or stand in the prompt."""


def text_features(messages: Sequence[Message], response: str) -> dict[str, float]:
    """All features of a response under its conversation, by name."""
    prompt, words = "\n".join(message.content for message in messages), _words(response)
    return {name: feature(prompt, response, words) for name, feature in TEXT_FEATURES.items()}
