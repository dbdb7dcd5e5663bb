"""Renderings put on paths, measured by the preferences, and scored by the recipe's weights."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from domains.translation.alignment import Links, align
from domains.translation.alignment.states import StateAligner
from domains.translation.construction.candidates import Rendering, different
from domains.translation.construction.latency_price import priced
from domains.translation.construction.selection import Scored
from domains.translation.construction.task import Task
from domains.translation.construction.weighted_score import score_of
from domains.translation.preferences import Weights, measure, usual_text
from domains.translation.quality import bleu_statistics, chrf_statistics, tokenizer_of
from domains.translation.records import Path, SentencePair
from domains.translation.units import split_units

At = tuple[int, int]  # number of the record, number of its rendering
PREDICTED_AT_ONCE = 64  # sentences whose prefixes are predicted before progress is told


class ScoredRenderings(NamedTuple):
    """What was scored, and by what.

    Attributes:
        records: for each record its renderings, in their order.
        weights: of the preferences, latency's a number.
    """

    records: list[list[Scored]]
    weights: Weights


def scored_renderings(
    pairs: Sequence[SentencePair],
    renderings: Sequence[Sequence[Rendering]],
    task: Task,
    counts: Counter[str],
    with_quality: bool,
) -> ScoredRenderings:
    """The different renderings of every record, on paths, with measures and score.

    Args:
        pairs: the records.
        renderings: of each; those without a path get one by `config.paths`.
        task: weights, languages, policy.
        counts: gets ``candidates``, ``empty``, ``repeated``, ``cut``.
        with_quality: whether the record's target is a reference that renderings are measured by; not where it is
            itself one side of every pair.
    """
    format = task.format
    assert format.source_unit is not None
    assert format.target_unit is not None
    kept = [[one for one in several if split_units(one.text, format.target_unit)] for several in renderings]
    counts["empty"] += sum(map(len, renderings)) - sum(map(len, kept))
    places = [(record, number) for record, several in enumerate(kept) for number in range(len(several))]
    sources = [split_units(pair.source_text, format.source_unit) for pair in pairs]
    task.progress(0, 2, "word alignment")
    links = _links(pairs, places, sources, kept, task)
    found = _on_paths(pairs, places, sources, kept, links, task)
    task.progress(1, 2, "measuring preferences")
    measures = _measures(pairs, places, found, links, task, with_quality)
    numbers = {id(one): (record, number) for record, several in enumerate(found) for number, one in enumerate(several)}
    unit = format.target_unit
    rows = [[(one, measures[numbers[id(one)]]) for one in different(several, unit, counts)] for several in found]
    weights = priced(task.config.weights, [[row for _, row in several] for several in rows])
    scored = [[Scored(one, row, score_of(row, weights)) for one, row in several] for several in rows]
    counts["candidates"] += sum(map(len, scored))
    counts["cut"] += sum(one.rendering.cut for several in scored for one in several)
    task.progress(2, 2, "measuring preferences")
    return ScoredRenderings(scored, weights)


def sentence_quality(texts: Sequence[str], references: Sequence[str], language: str, which: str) -> list[float]:
    """Quality of each text against its reference, from 0 to 1.

    Args:
        texts: renderings.
        references: one of each.
        language: of both, which says how BLEU splits words.
        which: ``chrf``, ``bleu`` (of the sentence, smoothed as sacreBLEU does), or ``both`` (their mean).
    """
    parts = []
    if which in ("chrf", "both"):
        found = chrf_statistics(texts, references)
        parts.append(found.scores(found.counts))
    if which in ("bleu", "both"):
        found = bleu_statistics(texts, references, tokenizer_of(language))
        parts.append(found.scores(found.counts))
    return [float(sum(values)) / len(parts) / 100 for values in zip(*parts, strict=True)]


def _links(
    pairs: Sequence[SentencePair],
    places: Sequence[At],
    sources: Sequence[Sequence[str]],
    renderings: Sequence[Sequence[Rendering]],
    task: Task,
) -> dict[At, Links]:
    """Word alignment of every rendering with its source, in units.

    A statistical model is trained on all records' targets too: what a policy writes is too poor to learn words from.
    """
    format = task.format
    assert format.target_unit is not None
    targets = [split_units(renderings[record][number].text, format.target_unit) for record, number in places]
    states = None
    if task.config.alignment == "states":
        states = StateAligner.load(task.base_model(), device=task.device())
    found = align(
        [sources[record] for record, _ in places],
        targets,
        task.config.alignment,
        states=states,
        extra=(sources, [split_units(pair.target_text, format.target_unit) for pair in pairs]),
        source_unit=format.source_unit,
        target_unit=format.target_unit,
    )
    return dict(zip(places, found, strict=True))


def _on_paths(
    pairs: Sequence[SentencePair],
    places: Sequence[At],
    sources: Sequence[Sequence[str]],
    renderings: Sequence[Sequence[Rendering]],
    links: Mapping[At, Links],
    task: Task,
) -> list[list[Rendering]]:
    from domains.translation.gold_paths import path_of_links

    found = [list(several) for several in renderings]
    lacking = [(record, number) for record, number in places if renderings[record][number].path is None]
    if task.config.paths == "agreement":
        paths = _agreeing([(pairs[record], renderings[record][number].text) for record, number in lacking], task)
    else:
        unit = task.format.target_unit
        assert unit is not None
        paths = []
        for record, number in lacking:
            units = len(split_units(renderings[record][number].text, unit))
            paths.append(path_of_links(links[record, number], len(sources[record]), units))
    for (record, number), path in zip(lacking, paths, strict=True):
        found[record][number] = replace(found[record][number], path=path)
    return found


def _agreeing(texts: Sequence[tuple[SentencePair, str]], task: Task) -> list[Path]:
    """Paths from the agreement of predictions from prefixes with those from the whole source."""
    from domains.translation.gold_paths import paths_of_predictions

    loaded = task.policy()
    format, tokenizer = loaded.policy.format, loaded.tokenizer
    found: list[Path] = []
    for first in range(0, len(texts), PREDICTED_AT_ONCE):
        part = texts[first : first + PREDICTED_AT_ONCE]
        tokens = [(format.source(tokenizer, pair.source_text), format.target(tokenizer, text)) for pair, text in part]
        found += paths_of_predictions(loaded.policy, tokens)
        task.progress(len(found), len(texts), "paths from the policy's predictions")
    return found


def _measures(
    pairs: Sequence[SentencePair],
    places: Sequence[At],
    renderings: Sequence[Sequence[Rendering]],
    links: Mapping[At, Links],
    task: Task,
    with_quality: bool,
) -> dict[At, dict[str, float]]:
    texts = [renderings[record][number].text for record, number in places]
    references = [pairs[record].target_text for record, _ in places]
    rows = measure(
        [pairs[record].source_text for record, _ in places],
        texts,
        [renderings[record][number].path for record, number in places],
        usual_text(pairs, task.format),
        [links[place] for place in places],
        task.format,
    )
    found = {place: dict(row) for place, row in zip(places, rows, strict=True)}
    if with_quality:
        values = sentence_quality(texts, references, task.format.target_language, task.config.quality)
        for place, value in zip(places, values, strict=True):
            found[place]["quality"] = value
    return found
