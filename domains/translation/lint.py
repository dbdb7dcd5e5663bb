"""Translation's lint stage: sentence pairs as given and as split; compared renderings get every shared check."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from domains.translation.adapters import open_data, sentence_pairs
from domains.translation.alignment import align
from domains.translation.data_config import SPLITS, TranslationDataConfig, primary
from domains.translation.lint_config import TranslationLintConfig
from domains.translation.pair_checks import CHECKS, lint_pairs
from domains.translation.pair_files import read_pairs
from domains.translation.preferences import measure, usual_text
from domains.translation.records import SentencePair
from domains.translation.text_findings import TextFindings
from domains.translation.units import split_units
from shared.data.rows import RowTally
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.file_names import masked_source
from shared.durable import write_json
from shared.errors import UsageError
from shared.lint.catalogue import CHECKS as SHARED
from shared.lint.config import LintConfig
from shared.lint.findings import LintReport, stop_on_errors
from shared.lint.run import lint
from shared.records import Message, PreferenceRecord, content_id
from shared.stages import StageContext


def lint_data(context: StageContext) -> dict[str, float]:
    """Lints the data twice and stops the run where a finding is an error.

    First as given, before masking, duplicates and slices (only counts and row numbers are kept of that reading); then
    the stored splits. Pairs with a rejected rendering are looked at as preferences too.

    Config: ``lint`` (TranslationLintConfig), ``data`` (TranslationDataConfig). Input ``data``, file ``data``.
    Writes ``source.json`` and ``splits.json``.

    Raises:
        LintError: every finding of severity error, in one message.
    """
    data = TranslationDataConfig.model_validate(context.config["data"])
    config = TranslationLintConfig.model_validate(context.config["lint"])
    _refuse_unknown(config)
    location: str | Path = data.location or context.files["data"]
    context.progress(0, 2, "linting the data as given")
    given = _linted({"all": list(_as_given(location, data))}, data, config)
    context.progress(1, 2, "linting the splits")
    splits = {name: pairs for name in SPLITS if (pairs := read_pairs(context.inputs["data"] / f"{name}.arrow"))}
    stored = _linted(splits, data, config)
    write_json(context.out / "source.json", given.to_json())
    write_json(context.out / "splits.json", stored.to_json())
    stop_on_errors({"source": given, "splits": stored})
    return {**_metrics(given, "source"), **_metrics(stored, "splits")}


def _as_given(location: str | Path, config: TranslationDataConfig) -> Iterator[SentencePair]:
    """Pairs as read, with ids and file names that tell nothing: what lint reports of them is kept."""
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    masker, names = Deidentifier(), dict[str, str]()
    findings = TextFindings(config.languages(), config.max_tokenised_share)
    for _, pair in sentence_pairs(open_data(location, config, tally), config.languages(), tally, findings):
        yield replace(pair, id=content_id(pair.id), source=masked_source(pair.source, names, masker))


def _linted(
    splits: dict[str, list[SentencePair]], data: TranslationDataConfig, config: TranslationLintConfig
) -> LintReport:
    """Checks of sentence pairs and, where there are rejected renderings, the shared checks of preferences."""
    own = lint_pairs(splits, data.languages(), config)
    records = {name: preferences_of(pairs) for name, pairs in _measured(splits, data).items()}
    records = {name: found for name, found in records.items() if found}
    if not records:
        return own
    shared = LintConfig.model_validate(
        {
            **config.model_dump(include=set(LintConfig.model_fields)),
            "languages": (primary(data.target_language),),
            "prompt_languages": (primary(data.source_language),),
            "severities": {name: one for name, one in config.severities.items() if name not in CHECKS},
            "max_length": None,
        }
    )
    compared = lint({name: (lambda found=found: found) for name, found in records.items()}, shared)
    findings = sorted(
        [*own.findings, *compared.findings], key=lambda one: ("error", "warning", "info").index(one.severity)
    )
    return LintReport(
        own.splits,
        tuple(findings),
        {**own.checks, **compared.checks},
        compared.figures,
        {**compared.metrics, **own.metrics},
        {**own.about, **compared.about},
    )


def _measured(splits: dict[str, list[SentencePair]], data: TranslationDataConfig) -> dict[str, list[SentencePair]]:
    """Pairs with a rejected rendering with the measured preferences of both sides, latency left out (no path)."""
    languages = data.languages()
    format = languages.bare_format()
    compared = [pair for pairs in splits.values() for pair in pairs if pair.rejected_text is not None]
    if not compared:
        return {}
    sources = [pair.source_text for pair in compared]
    texts = [*(pair.target_text for pair in compared), *(pair.rejected_text or "" for pair in compared)]
    units = [split_units(one, languages.source_unit) for one in sources] * 2
    links = align(
        units,
        [split_units(one, languages.target_unit) for one in texts],
        source_unit=languages.source_unit,
        target_unit=languages.target_unit,
    )
    rows = measure(sources * 2, texts, [None] * len(texts), usual_text(compared, format), links, format)
    scores = {id(pair): (rows[number], rows[len(compared) + number]) for number, pair in enumerate(compared)}
    return {
        name: [
            replace(pair, scores_target=scores[id(pair)][0], scores_rejected=scores[id(pair)][1])
            for pair in pairs
            if id(pair) in scores
        ]
        for name, pairs in splits.items()
    }


def preferences_of(pairs: Sequence[SentencePair]) -> list[PreferenceRecord]:
    """The pairs with a rejected rendering, as preferences between two answers to their source.

    Their measures are covariates: the check `predictors` says which of them alone tells the chosen side.
    """
    return [
        PreferenceRecord(
            id=pair.id,
            group_id=pair.group_id,
            source=pair.source,
            prompt=(Message("user", pair.source_text),),
            chosen=pair.target_text,
            rejected=pair.rejected_text,
            weight=pair.weight,
            covariates_chosen=pair.scores_target,
            covariates_rejected=pair.scores_rejected,
        )
        for pair in pairs
        if pair.rejected_text is not None
    ]


def _refuse_unknown(config: TranslationLintConfig) -> None:
    known = {*CHECKS, *(one.name for one in SHARED)}
    for name in config.severities:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)[0]
            raise UsageError(f"lint.severities: no check is called {name}; the nearest is {near}.")


def _metrics(report: LintReport, part: str) -> dict[str, float]:
    return {name.replace("data/lint/", f"data/lint/{part}/"): value for name, value in report.metrics.items()}
