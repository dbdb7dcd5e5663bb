"""Counseling's lint stage: the data as they were given, and the splits that are trained on."""

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
from shared.lint.findings import LintReport
from shared.lint.run import lint
from shared.models import load_tokenizer
from shared.records import PreferenceRecord, content_id
from shared.stages import StageContext


def lint_data(context: StageContext) -> dict[str, float]:
    """Lints the data twice and stops the run where a finding is an error.

    First as given, before masking, duplicates and caps (only counts and row numbers are kept of that reading); then the
    stored splits, with the recipe's tokenizer and length.

    Config: ``lint`` (LintConfig), ``data`` (CounselingDataConfig). Input ``data``, file ``data``, model ``base``.
    Writes ``source.json`` and ``splits.json``.

    Raises:
        DataError: every finding of severity error, in one message.
    """
    data = CounselingDataConfig.model_validate(context.config["data"])
    config = LintConfig.model_validate(context.config["lint"])
    location: str | Path = data.location or context.files["data"]
    context.progress(0, 2, "linting the data as given")
    given = lint({"all": lambda: _as_given(location, data)}, config.model_copy(update={"max_length": None}))
    context.progress(1, 2, "linting the splits")
    splits = {
        name: path
        for name in SPLITS
        if next(iter_records(path := context.inputs["data"] / f"{name}.arrow"), None) is not None
    }
    stored = lint(splits, config, load_tokenizer(context.models["base"]))
    write_json(context.out / "source.json", given.to_json())
    write_json(context.out / "splits.json", stored.to_json())
    for report in (given, stored):
        report.raise_for_errors()
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
