"""Counseling's lint stage: the data as they were given, and the splits that are trained on; two checks of its own."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from domains.counseling.data import SPLITS, CounselingDataConfig, read_preferences
from shared.data.record_files import iter_records
from shared.data.rows import RowTally
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.file_names import masked_source
from shared.durable import write_json
from shared.lint.config import LintConfig
from shared.lint.findings import LintReport, stop_on_errors
from shared.lint.registry import Check, record_check
from shared.lint.run import lint
from shared.models import load_tokenizer
from shared.records import PreferenceRecord, content_id
from shared.stages import StageContext

_CRISIS = re.compile(
    r"\bsuicid|\bkill(?:ing)? (?:myself|himself|herself)\b|\b(?:end|take|taking|ending) my (?:own )?life\b|"
    r"\bself[- ]?harm|\b(?:hurt|cut|harm)(?:ting|ing)? myself\b|\bwant(?:s|ed)? to die\b|"
    r"\b(?:do not|don.t|no longer) want to (?:live|be alive)\b",
    re.IGNORECASE,
)
_HELP = re.compile(
    r"\b(?:988|911|999|112|116 ?123|741741)\b|\bhot ?lines?\b|\bhelp ?lines?\b|\blifeline\b|\bcrisis\b|\bsamaritans\b|"
    r"\bemergency\b|\bemergencies\b|\bhospital\b|1-?800-?(?:273|suicide)",
    re.IGNORECASE,
)


def _speaks_of_crisis(record: PreferenceRecord) -> bool:
    return _CRISIS.search(record.prompt_text()) is not None


@record_check(
    "crisis_questions",
    severity="info",
    message="{count} pairs ({share}) whose question speaks of suicide or self-harm: evaluate them apart, and have a "
    "clinician read what the model answers.",
)
def crisis_questions(record: PreferenceRecord) -> bool:
    """Questions that speak of suicide or self-harm, by their words."""
    return _speaks_of_crisis(record)


@record_check(
    "crisis_without_help",
    severity="warning",
    message="{count} pairs ({share}) in which the preferred answer to a question of suicide or self-harm names no help "
    "that is there at once (a crisis line, an emergency number, a hospital): a model learns that none is needed; leave "
    "them out or have a clinician look.",
)
def crisis_without_help(record: PreferenceRecord) -> bool:
    """Preferred answers to such questions without a crisis line, an emergency number or a hospital."""
    return _speaks_of_crisis(record) and _HELP.search(record.chosen) is None


CHECKS: tuple[Check, ...] = (crisis_questions, crisis_without_help)


def lint_data(context: StageContext) -> dict[str, float]:
    """Lints the data twice and stops the run where a finding is an error.

    First as given, before masking, duplicates and caps (only counts and row numbers are kept of that reading); then the
    stored splits, with the recipe's tokenizer and length.

    Config: ``lint`` (LintConfig), ``data`` (CounselingDataConfig). Input ``data``, file ``data``, model ``base``.
    Writes ``source.json`` and ``splits.json``.

    Raises:
        LintError: every finding of severity error, in one message.
    """
    data = CounselingDataConfig.model_validate(context.config["data"])
    config = LintConfig.model_validate(context.config["lint"])
    location: str | Path = data.location or context.files["data"]
    context.progress(0, 2, "linting the data as given")
    whole = config.model_copy(update={"max_length": None})
    given = lint({"all": lambda: _as_given(location, data)}, whole, extra_checks=CHECKS)
    context.progress(1, 2, "linting the splits")
    splits = {
        name: path
        for name in SPLITS
        if next(iter_records(path := context.inputs["data"] / f"{name}.arrow"), None) is not None
    }
    stored = lint(splits, config, load_tokenizer(context.models["base"]), CHECKS)
    write_json(context.out / "source.json", given.to_json())
    write_json(context.out / "splits.json", stored.to_json())
    stop_on_errors({"source": given, "splits": stored})
    return {**_metrics(given, "source"), **_metrics(stored, "splits")}


def _as_given(location: str | Path, config: CounselingDataConfig) -> Iterator[PreferenceRecord]:
    """Records as read, with ids and file names that tell nothing: what lint reports of them is kept."""
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    masker = Deidentifier()
    names: dict[str, str] = {}
    for record in read_preferences(location, config, tally)[1]:
        yield replace(record, id=content_id(record.id), source=masked_source(record.source, names, masker))


def _metrics(report: LintReport, part: str) -> dict[str, float]:
    return {name.replace("data/lint/", f"data/lint/{part}/"): value for name, value in report.metrics.items()}
