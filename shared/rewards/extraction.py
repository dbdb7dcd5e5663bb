"""Extractors by name: how a reward that reads scores of records scores texts that no record carries them for.

A name is that of an installed domain (an entry point, see `shared.domain`), never a path: a reward model's folder can
name what is installed, and cannot bring code.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache

from shared.code_digest import code_digests
from shared.digest import json_digest
from shared.domain import load_domain
from shared.errors import DataError, UsageError
from shared.records import Message, PreferenceRecord
from shared.rewards.feature_rows import SCORES, Extract

log = logging.getLogger(__name__)

RECORDS_CHECKED, TOLERANCE = 2, 1e-3


@cache
def extractor(name: str) -> Extract:
    """The extractor of an installed domain; made once a process.

    Raises:
        UsageError: no such domain is installed, or it extracts nothing.
    """
    try:
        domain = load_domain(name)
    except UsageError as error:
        raise UsageError(
            f"the reward model's scores are extracted by the domain {name!r}, which is not installed "
            f"({error}) Install it, or name another features.extractor."
        ) from error
    if domain.extract is None:
        raise UsageError(
            f"the domain {name!r} extracts no scores of texts: name another domain as features.extractor, or none."
        )
    return domain.extract()


def named_extractor(name: str | None, code: str | None = None) -> Extract | None:
    """An extractor that is looked up when it is first needed, so that records are judged where it is not installed.

    Args:
        name: of an installed domain; None gives None.
        code: digest of its code when the reward model was trained; another one today is told in the log.
    """
    if name is None:
        return None
    told = code is None

    def extract(prompts: Sequence[tuple[Message, ...]], responses: Sequence[str]) -> Sequence[Mapping[str, float]]:
        nonlocal told
        if not told and extractor_code(name) != code:
            log.warning(
                "The extractor of %s has changed since the reward model was trained on its scores: train it anew.", name
            )
        told = True
        return extractor(name)(prompts, responses)

    return extract


def extractor_code(name: str) -> str:
    """Digest of the code of a domain's extractor, of every module that it imports.

    A stage whose reward names an extractor has this in its config, so that an edit of a feature trains the reward anew;
    it stands in ``reward.json`` too, so that what is scored by the reward is then scored anew.
    """
    made = extractor(name)
    function = getattr(made, "func", made)  # a partial's function
    module = getattr(function, "__module__", None) or type(function).__module__
    return json_digest(code_digests(module))


def check_extractor(name: str, records: Sequence[PreferenceRecord], features: Sequence[str]) -> str:
    """Makes sure, before a reward is trained, that an extractor gives what the reward will read.

    Args:
        name: of the domain.
        records: training pairs; a few are extracted.
        features: names of the reward's features.

    Returns:
        `extractor_code`.

    Raises:
        UsageError: no such extractor.
        DataError: it gives no score of a name that the reward reads.
    """
    needed = [one.removeprefix(SCORES) for one in features if one.startswith(SCORES)]
    extract = extractor(name)
    if not needed:
        return extractor_code(name)
    checked = records[:RECORDS_CHECKED]
    prompts = [one.prompt for one in checked for _ in range(2)]
    found = extract(prompts, [text for one in checked for text in (one.chosen, one.rejected)])
    carried = [scores for one in checked for scores in (one.scores_chosen, one.scores_rejected)]
    for score in needed:
        if any(score not in row for row in found):
            raise DataError(
                f"the extractor of the domain {name!r} gives no score {score!r}, which the reward model reads: leave "
                f"scores.{score} out of features.inputs, or set features.extractor=null to judge records only."
            )
        pairs = [(row[score], scores[score]) for row, scores in zip(found, carried, strict=True) if score in scores]
        if any(abs(new - old) > TOLERANCE * max(1.0, abs(old)) for new, old in pairs):
            log.warning("The extractor of %s gives other scores %r than the training records carry.", name, score)
    return extractor_code(name)
