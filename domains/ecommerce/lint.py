"""E-commerce's lint stage: the data as they were given, and the splits that are trained on; checks of its own."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from domains.ecommerce.data import preference_records
from domains.ecommerce.data_config import SPLITS, EcommerceDataConfig
from domains.ecommerce.prompting import reviews_of
from shared.data.record_files import iter_records
from shared.data.rows import RowTally
from shared.data.text_keys import text_key
from shared.deidentify.deidentifier import Deidentifier
from shared.deidentify.file_names import masked_source
from shared.durable import write_json
from shared.errors import DataError
from shared.lint.config import LintConfig
from shared.lint.findings import LintReport, stop_on_errors
from shared.lint.registry import Check, record_check
from shared.lint.run import lint
from shared.models import load_tokenizer
from shared.records import PreferenceRecord, content_id
from shared.stages import StageContext

LEAST_SHARED = 40  # characters of a review's sentence whose copy in a summary is looked for
# Any mention of a summary but "in summary", which only sums up.
_ABOUT_ITSELF = re.compile(
    r"(?<!\bin )\bsummar(?:y|ies|i[sz]es?)\b|</?sum(?:mary)?>|\b(?:as|i am) an? (?:ai|language model)\b", re.IGNORECASE
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_GIVEN = "given."


@record_check(
    "summary_about_itself",
    severity="warning",
    message='{count} pairs ({share}) have a summary that speaks of itself ("this summary is bad because"): it tells '
    "how it was made, and a reward learns that rather than quality; cut those sentences or leave the pairs out.",
)
def summary_about_itself(record: PreferenceRecord) -> bool:
    """Summaries that speak of themselves, by their words."""
    return any(_ABOUT_ITSELF.search(text) is not None for text in (record.chosen, record.rejected))


@record_check(
    "preferred_summary_copies_a_review",
    severity="info",
    message="{count} pairs ({share}) whose preferred summary repeats a whole sentence of a review (40 characters or "
    "more): a policy may learn to copy; watch the copying check of the evaluation.",
)
def preferred_summary_copies(record: PreferenceRecord) -> bool:
    """Preferred summaries that hold a long sentence of a review word for word."""
    summary = text_key(record.chosen)
    sentences = (text_key(one) for review in reviews_of(record.prompt) for one in _SENTENCES.split(review))
    return any(len(one) >= LEAST_SHARED and one in summary for one in sentences)


@record_check(
    "preferred_summary_scored_lower",
    severity="info",
    message="{count} pairs ({share}) whose preferred summary has the lower mean of given feature scores: what the "
    "scores miss, or a label to look at again.",
)
def preferred_summary_scored_lower(record: PreferenceRecord) -> bool:
    """Preferred summaries whose given feature scores are lower in the mean than the other one's."""
    means = [_mean(scores) for scores in (record.scores_chosen, record.scores_rejected)]
    return means[0] is not None and means[1] is not None and means[0] < means[1]


def _mean(scores: Mapping[str, float]) -> float | None:
    given = [score for name, score in scores.items() if name.startswith(_GIVEN)]
    return sum(given) / len(given) if given else None


CHECKS: tuple[Check, ...] = (summary_about_itself, preferred_summary_copies, preferred_summary_scored_lower)


def lint_data(context: StageContext) -> dict[str, float]:
    """Lints the pairs twice and stops the run where a finding is an error.

    First as given, before masking, duplicates and caps (only counts and row numbers are kept of that reading); then the
    stored splits, with the recipe's tokenizer and length.

    Config: ``lint`` (LintConfig), ``data`` (EcommerceDataConfig). Input ``data``, files as the data stage has them,
    model ``base``. Writes ``source.json`` and ``splits.json``.

    Raises:
        DataError: the data hold no pair.
        LintError: every finding of severity error, in one message.
    """
    summary = json.loads((context.inputs["data"] / "summary.json").read_text(encoding="utf-8"))
    if not any(split["pairs"] for split in summary["splits"].values()):
        raise DataError(
            f"{summary['name']} holds reviews and no preference between summaries: give pairs ('chosen' and "
            "'rejected', or OpinPref's columns); `valign aspects FILE` needs nothing but reviews."
        )
    data = EcommerceDataConfig.model_validate(context.config["data"])
    config = LintConfig.model_validate(context.config["lint"])
    context.progress(0, 2, "linting the data as given")
    whole = config.model_copy(update={"max_length": None})
    given = lint({"all": lambda: _as_given(context.files, data)}, whole, extra_checks=CHECKS)
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


def _as_given(files: Mapping[str, Path], config: EcommerceDataConfig) -> Iterator[PreferenceRecord]:
    """Records as read, with ids and file names that tell nothing: what lint reports of them is kept."""
    tally = RowTally(config.max_bad_share, config.max_broken_share)
    masker = Deidentifier()
    names: dict[str, str] = {}
    for record in preference_records(files, config, tally):
        yield replace(record, id=content_id(record.id), source=masked_source(record.source, names, masker))


def _metrics(report: LintReport, part: str) -> dict[str, float]:
    return {name.replace("data/lint/", f"data/lint/{part}/"): value for name, value in report.metrics.items()}
