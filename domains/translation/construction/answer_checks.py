"""Whether what a model wrote is a translation: read from its JSON, not empty, not the source again, in the language."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from domains.translation.data_config import primary
from domains.translation.text_findings import clean_sentence
from shared.data.text_keys import text_key
from shared.judges.answers import json_objects, without_thoughts
from shared.judges.protocol import Failure

Problem = Failure | Literal["empty", "copied", "untranslated"]
PROBLEMS: tuple[Problem, ...] = (
    "refused", "malformed", "truncated", "rejected", "unreachable", "skipped", "empty", "copied", "untranslated",
)  # fmt: skip
LEAST_CHARACTERS = 25  # of fewer letters a language is not told; of a script without spaces a fifth
LEAST_CONFIDENCE = 0.9
_REFUSAL = re.compile(
    r"\bas an ai\b|\bi must decline\b"
    r"|\bi(?:['’]m| am)? (?:can['’]?t|cannot|can not|won['’]?t|will not|unable to|not able to) "
    r"(?:\w+ )?(?:help|assist|translate|comply|fulfil|provide|do that|continue)",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why an answer gives no rendering.

    Attributes:
        failure: how it is counted.
        problem: what was wrong, in words of ours only.
    """

    failure: Problem
    problem: str


def read_translation(text: str, finish: str, refusal: bool) -> str | Unusable:
    """The translation in an answer, on one line.

    Args:
        text: the answer.
        finish: the server's finish reason: ``stop``, ``length``, ``content_filter``.
        refusal: the server said that the model refused.
    """
    if refusal or finish == "content_filter":
        return Unusable("refused", "the model refused")
    for found in json_objects(text):
        if isinstance(translation := found.get("translation"), str):
            return clean_sentence(translation)
    if finish == "length":
        return Unusable("truncated", "the answer was cut at its token limit")
    if _REFUSAL.search(without_thoughts(text)[:300]):
        return Unusable("refused", "the model refused")
    return Unusable("malformed", "no JSON object with a translation was found")


def unusable(text: str, source: str, reference: str, source_language: str, target_language: str) -> Unusable | None:
    """Why a translation cannot be trained on, or None where it can.

    Args:
        text: of `read_translation`.
        source: the source sentence.
        reference: its given translation; a rendering that looks like a refusal where this does not is one.
        source_language: code of the source's language.
        target_language: code of the language it should be in.
    """
    words = _words(text)
    if not words:
        return Unusable("empty", "the translation is empty")
    if words == _words(source):
        return Unusable("copied", "the translation is the sentence itself")
    if _REFUSAL.search(text) and not _REFUSAL.search(reference):
        return Unusable("refused", "the model refused")
    if not _in_language(text, source_language, target_language):
        return Unusable("untranslated", "the translation is not in the language that was asked for")
    return None


def _words(text: str) -> str:
    return _PUNCTUATION.sub(" ", text_key(text)).strip()


def _in_language(text: str, source: str, target: str) -> bool:
    """Whether a text may be in the target language: told from the source's and from English, which models fall into.

    A text too short to tell, or a language that the identifier does not know, may be.
    """
    wanted, others = primary(target), {primary(source), "en"} - {primary(target)}
    identifier = _identifier(frozenset({wanted, *others}))
    if identifier is None:
        return True
    dense = sum(character >= "\u0e00" for character in text) * 2 > len(text)
    if len(text) * (5 if dense else 1) < LEAST_CHARACTERS:
        return True
    language, confidence = identifier.classify(text)
    return language == wanted or confidence < LEAST_CONFIDENCE


@lru_cache(maxsize=8)
def _identifier(languages: frozenset[str]) -> Any:
    """A language identifier among some; None where it lacks one of them."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if not languages <= set(identifier.labels):
        return None
    identifier.set_languages(sorted(languages))
    return identifier
