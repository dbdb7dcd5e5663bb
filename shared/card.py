"""The model card: Markdown with a YAML header as the model hub reads it, made only of what is passed in.

Nothing is invented: what was not passed in is printed as "not stated". Every text is escaped, so that a data set's
name or a limit's wording can neither break the table it stands in nor put HTML or links into the page.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.card_usage import usage_snippet
from shared.evaluation.intervals import Estimate
from shared.evaluation.paired import PairedDifference
from shared.gate import GateDecision
from shared.markdown import code_span, escape_text, link_or_text, table

NOT_STATED = "not stated"

# Identifiers the hub accepts as they are; any other licence is "other" with its name beside.
_HUB_LICENCE = re.compile(
    r"apache-2\.0|mit|bsd-[23]-clause|[al]?gpl-3\.0|mpl-2\.0|cc0-1\.0|cc-by(-sa|-nc|-nc-nd|-nc-sa)?-[34]\.0|cc-by-nd-4\.0"
    r"|odc-by|pddl|unlicense|openrail|bigscience-openrail-m|gemma|llama2|llama3(\.[123])?|unknown|other"
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CardDataset:
    """Data the model was trained or judged with.

    Attributes:
        name: for readers, or the hub id.
        role: what it was used for, e.g. "training pairs".
        digest: content digest.
        licence: as its source states it; None where it states none.
        counts: rows by split, e.g. {"train": 480, "test": 57}.
        source: where it comes from.
        hub_id: its id on the hub; only this enters the header.
        notes: known faults, filters, confounds.
    """

    name: str
    role: str | None = None
    digest: str | None = None
    licence: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    source: str | None = None
    hub_id: str | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CardMetric:
    """One row of the evaluation table.

    Attributes:
        name: of the metric, e.g. ``eval/ranking_accuracy``.
        after: of the model.
        before: of the base model on the same items.
        difference: their paired difference.
        note: what a reader must know to read the row.
    """

    name: str
    after: Estimate
    before: Estimate | None = None
    difference: PairedDifference | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class CardBaseline:
    """A judge by a confound, or the model on the pairs where that confound misleads."""

    name: str
    value: Estimate
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All that a card may say. Fields left at their defaults are printed as not stated.

    Attributes:
        name: of the model.
        summary: what it is, one paragraph.
        version: registry version or run.
        base_model: hub id or name of the model it was made from; None for one trained from nothing.
        base_model_revision: commit or content digest.
        base_model_licence: licence of the base model.
        licence: of this model; an identifier such as ``apache-2.0``, or any text.
        languages: language codes.
        tags: for the header.
        intended_use: who may use it for what.
        out_of_scope: what it must not be used for.
        datasets: data it was trained, judged and tested on.
        objective: the training objective, e.g. "DPO (sigmoid)".
        hyperparameters: by name.
        seeds: training seeds; the first is the one whose model this is.
        hardware: it was trained on.
        software: versions by library.
        metrics: rows of the evaluation table.
        baselines: judges by confounds, beside the model.
        judge_statement: whether the win rate is evidence.
        evaluation_notes: how the numbers were made.
        gate: the decision, with its tests.
        limits: known limits and risks.
        lineage: (stage, artifact key) from data to model.
        adapter: whether the files are a LoRA adapter on `base_model` rather than the whole model.
        location: hub id or folder for the usage snippet; None: the folder that the card stands in.
        prompt_style: ``chat`` for the tokenizer's chat template, ``plain`` for `plain_template`.
        plain_template: with the place holder ``{prompt}``.
        system_prompt: system message of the chat.
        usage: Python that uses the model, for one that transformers alone cannot use as it is meant; None: made here.
    """

    name: str
    summary: str | None = None
    version: str | None = None
    base_model: str | None = None
    base_model_revision: str | None = None
    base_model_licence: str | None = None
    licence: str | None = None
    languages: Sequence[str] = ()
    tags: Sequence[str] = ()
    intended_use: Sequence[str] = ()
    out_of_scope: Sequence[str] = ()
    datasets: Sequence[CardDataset] = ()
    objective: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    hardware: str | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[CardMetric] = ()
    baselines: Sequence[CardBaseline] = ()
    judge_statement: str | None = None
    evaluation_notes: Sequence[str] = ()
    gate: GateDecision | None = None
    limits: Sequence[str] = ()
    lineage: Sequence[tuple[str, str]] = ()
    adapter: bool = False
    location: str | None = None
    prompt_style: Literal["chat", "plain"] = "chat"
    plain_template: str = "{prompt}"
    system_prompt: str | None = None
    usage: str | None = None


def render_card(card: ModelCard) -> str:
    """Renders the card as Markdown (README.md of a model folder).

    Returns YAML header and sections, ending with a newline.
    """
    sections = [
        _header(card),
        f"# {escape_text(card.name)}",
        _what_it_is(card),
        "## Intended use\n\n" + _bullets(card.intended_use),
        "## Out of scope\n\n" + _bullets(card.out_of_scope),
        "## Training data\n\n" + _data(card.datasets),
        "## Training procedure\n\n" + _procedure(card),
        "## Evaluation\n\n" + _evaluation(card),
        "## Promotion gate\n\n" + _gate(card.gate),
        "## Limits and risks\n\n" + _bullets(card.limits),
        "## How to use\n\n" + _usage(card),
        "## Lineage\n\n" + _lineage(card.lineage),
    ]
    return "\n\n".join(sections) + "\n"


def _header(card: ModelCard) -> str:
    import yaml

    header: dict[str, Any] = {}
    if card.languages:
        header["language"] = [str(language) for language in card.languages]
    if card.licence is not None:
        identifier = card.licence.strip().lower().replace(" ", "-")
        if _HUB_LICENCE.fullmatch(identifier):
            header["license"] = identifier
        else:
            header |= {"license": "other", "license_name": " ".join(card.licence.split())}
    if card.base_model is not None and _HUB_ID.fullmatch(card.base_model):
        header["base_model"] = card.base_model
        header["base_model_relation"] = "adapter" if card.adapter else "finetune"
    if hub_ids := [dataset.hub_id for dataset in card.datasets if dataset.hub_id]:
        header["datasets"] = hub_ids
    header["library_name"] = "peft" if card.adapter else "transformers"
    header["pipeline_tag"] = "text-generation"
    if card.tags:
        header["tags"] = [str(tag) for tag in card.tags]
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000)
    return f"---\n{text}---"


def _what_it_is(card: ModelCard) -> str:
    rows = [
        ("Version", _or_missing(card.version)),
        ("Base model", _or_missing(card.base_model)),
        ("Base model revision", _code_or_missing(card.base_model_revision)),
        ("Base model licence", _or_missing(card.base_model_licence)),
        ("Licence of this model", _or_missing(card.licence)),
        ("Languages", _or_missing(", ".join(card.languages))),
        ("Form", "LoRA adapter, to be loaded on the base model" if card.adapter else "full model"),
    ]
    return _or_missing(card.summary) + "\n\n" + table(("", ""), rows)


def _data(datasets: Sequence[CardDataset]) -> str:
    if not datasets:
        return NOT_STATED
    rows = [
        (
            _or_missing(dataset.name),
            _or_missing(dataset.role),
            _or_missing(dataset.licence),
            _or_missing(", ".join(f"{split} {count}" for split, count in dataset.counts.items())),
            _code_or_missing(dataset.digest),
            NOT_STATED if not dataset.source else link_or_text(dataset.source),
        )
        for dataset in datasets
    ]
    parts = [table(("Data", "Role", "Licence", "Rows", "Digest", "Source"), rows)]
    if notes := [f"{dataset.name}: {note}" for dataset in datasets for note in dataset.notes]:
        parts.append(_bullets(notes))
    return "\n\n".join(parts)


def _procedure(card: ModelCard) -> str:
    seeds = ", ".join(str(seed) for seed in card.seeds)
    rows = [
        ("Objective", _or_missing(card.objective)),
        ("Seeds", _or_missing(seeds + (" (this model: the first)" if len(card.seeds) > 1 else ""))),
        ("Hardware", _or_missing(card.hardware)),
        ("Software", _or_missing(", ".join(f"{name} {version}" for name, version in card.software.items()))),
    ]
    hyperparameters = [
        (code_span(name), code_span(value if isinstance(value, str) else json.dumps(value, default=str)))
        for name, value in card.hyperparameters.items()
    ]
    below = f"Hyper-parameters: {NOT_STATED}"
    if hyperparameters:
        below = table(("Hyper-parameter", "Value"), hyperparameters)
    return table(("", ""), rows) + "\n\n" + below


def _evaluation(card: ModelCard) -> str:
    parts = []
    if card.metrics:
        levels = sorted({metric.after.level for metric in card.metrics})
        parts.append(f"Intervals have level {', '.join(f'{level:.0%}' for level in levels)}; n counts items.")
        rows = [
            (
                _metric_name(metric.name),
                _estimate(metric.before),
                _estimate(metric.after),
                _difference(metric.difference),
                str(metric.after.n),
                "" if metric.note is None else escape_text(metric.note),
            )
            for metric in card.metrics
        ]
        parts.append(table(("Metric", "Before (base)", "After", "Difference", "n", "Note"), rows))
    else:
        parts.append(f"Metrics: {NOT_STATED}")
    if card.judge_statement is not None:
        parts.append(f"**Judge.** {escape_text(card.judge_statement)}")
    parts.append("### Confound baselines")
    if card.baselines:
        baselines = [
            (escape_text(one.name), _estimate(one.value), str(one.value.n), escape_text(one.note or ""))
            for one in card.baselines
        ]
        parts.append(table(("Baseline", "Value", "n", "Note"), baselines))
    else:
        parts.append(NOT_STATED)
    if card.evaluation_notes:
        parts.append(_bullets(card.evaluation_notes))
    return "\n\n".join(parts)


def _gate(decision: GateDecision | None) -> str:
    if decision is None:
        return "The gate has not decided on this model."
    parts = [f"**{'Promoted' if decision.promoted else 'Not promoted'}.**", _bullets(decision.reasons)]
    if decision.tests:
        rows = [
            (
                escape_text(test.kind.replace("_", " ")),
                _metric_name(test.metric),
                _number(test.candidate),
                _number(test.champion),
                _difference(test.gain),
                "passed" if test.passed else "failed",
            )
            for test in decision.tests
        ]
        parts.append(table(("Check", "Metric", "Candidate", "Champion", "Gain (positive is better)", "Result"), rows))
    return "\n\n".join(parts)


def _usage(card: ModelCard) -> str:
    code = usage_snippet(card) if card.usage is None else card.usage
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", code)), default=0))
    return f"{fence}python\n{code}{fence}"


def _lineage(lineage: Sequence[tuple[str, str]]) -> str:
    if not lineage:
        return NOT_STATED
    return table(("Stage", "Artifact key"), [(code_span(stage), code_span(key)) for stage, key in lineage])


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {escape_text(text)}" for text in texts) if texts else NOT_STATED


def _or_missing(text: str | None) -> str:
    return escape_text(text) if text is not None and text.strip() else NOT_STATED


def _code_or_missing(text: str | None) -> str:
    return code_span(text) if text is not None and text.strip() else NOT_STATED


def _metric_name(name: str) -> str:
    """An identifier as code, a name in words as text."""
    return code_span(name) if re.fullmatch(r"\w+([/.]\w+)+", name) else escape_text(name)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "n/a"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return NOT_STATED
    if not math.isfinite(estimate.value):
        return f"n/a ({escape_text(estimate.method)})" if estimate.method else "n/a"
    shown = escape_text(str(estimate))
    return shown if estimate.has_interval() else f"{shown} (no interval)"


def _difference(difference: PairedDifference | None) -> str:
    if difference is None:
        return NOT_STATED
    if not math.isfinite(difference.difference):
        return f"n/a ({escape_text(difference.method)})"
    interval = "(no interval)"
    if math.isfinite(difference.low) and math.isfinite(difference.high):
        interval = f"\\[{difference.low:+.3f}, {difference.high:+.3f}\\]"
    return f"{difference.difference:+.3f} {interval}, p = {difference.p_value:.3g}"
