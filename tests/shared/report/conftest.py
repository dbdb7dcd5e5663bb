"""A full report with invented figures, for the tests of the page."""

import functools
import math
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[3]))  # the benchmarks' synthetic pairs serve the tests too

from benchmarks.lint_planted import CONFIG as LINT
from benchmarks.lint_planted import run as run_planted
from benchmarks.planted_pairs import planted
from shared.lint.config import LintConfig
from shared.lint.run import lint
from shared.report import plots
from shared.report.blocks import (
    Answer,
    Decision,
    Example,
    Interval,
    Notice,
    Plot,
    Reason,
    ReportData,
    Section,
    StageRow,
    Table,
)
from shared.report.comparison import ComparedRun, ItemScores
from shared.report.lint_section import lint_section

QUICK: Any = {"label_flips": "off"}
HOSTILE = "<script>alert('x')</script> & \"quotes\" <img src=https://example.org/x.png onerror=alert(1)>"

QUESTION = (
    "I keep waking at four in the morning and go over everything I said during the day.\n"
    "How do I stop this without pills?"
)
BASE = (
    "You should try to sleep more. Sleep is important for health. There are many ways to sleep better, such as "
    "going to bed early, and not drinking coffee."
)
ALIGNED = (
    "Waking at four with the day running through your head is exhausting, and it makes sense that you want it to "
    "stop.\n\nTwo things often help. Keep a notebook by the bed and write each worry down with the hour tomorrow "
    "when you will think about it. And when you have been awake for some twenty minutes, get up and do something "
    "quiet until you are sleepy again.\n\nWhat were you going over last night?"
)


def _curves(title: str, y_label: str, start: float, slope: float, names: tuple[str, ...]) -> Plot:
    steps = list(range(0, 120, 4))
    series = [
        plots.Series(
            f"{name}, seed {seed}",
            steps,
            [start + slope * sign * (1 - math.exp(-s / 40)) + 0.03 * math.sin(s * (seed + 1) / 5) for s in steps],
            group=name,
        )
        for sign, name in zip((1, -1), names, strict=False)
        for seed in range(2)
    ]
    return Plot(title=title, svg=plots.line_curves(series, "step", y_label), alt=f"{title} over 120 steps, two seeds")


def sample_report() -> ReportData:
    accuracy = Interval(value=0.634, low=0.561, high=0.702)
    forest = [
        ("Ranking accuracy, base", Interval(value=0.512, low=0.44, high=0.583)),
        ("Ranking accuracy, aligned", accuracy),
        ("Win rate against base", Interval(value=0.571, low=0.472, high=0.665)),
        ("Win rate, length-controlled", Interval(value=0.548, low=0.446, high=0.647)),
    ]
    bins = [
        (0.05 + i / 10, Interval(value=min(1, 0.02 + i / 9.5), low=max(0, i / 10 - 0.12), high=min(1, i / 10 + 0.2)), n)
        for i, n in enumerate([4, 12, 20, 31, 40, 40, 31, 20, 12, 4])
    ]
    lengths = {
        "chosen": [math.sin(i) * 60 + 180 for i in range(200)],
        "rejected": [math.cos(i) * 50 + 130 for i in range(200)],
    }
    return ReportData(
        title="Counseling: SmolLM2-135M-Instruct aligned with DPO",
        domain="counseling",
        run_id="20260301-141502-7f3a",
        started="2026-03-01 14:15 UTC",
        seconds=431.0,
        summary="A small model was aligned on 864 preference pairs over two seeds. It ranks held-out pairs better than "
        "the base model; that it also writes better answers is not shown.",
        facts={
            "Recipe": "cpu",
            "Model": "smollm2-135m-instruct",
            "Method": "DPO, beta 0.1, LoRA rank 16",
            "Seeds": "0, 1",
            "Training pairs": 864,
            "Test pairs": 186,
        },
        headline=Table(
            caption="What came out, on held-out questions",
            columns=["Metric", "Base", "Aligned", "Difference"],
            rows=[
                [
                    "Ranking accuracy",
                    Interval(value=0.512, low=0.44, high=0.583),
                    accuracy,
                    Interval(value=0.122, low=0.051, high=0.19),
                ],
                ["Win rate against base", None, Interval(value=0.571, low=0.472, high=0.665), None],
                ["KL to the reference (nats per token)", 0.0, Interval(value=0.041, low=0.036, high=0.046), None],
            ],
            note="95 % bootstrap intervals over 61 questions.",
            strong=[0],
        ),
        headline_plot=Plot(
            title="Shares with 95 % intervals",
            svg=plots.interval_forest(forest, "share", reference=0.5),
            alt="; ".join(f"{label}: {i.value}, {i.low} to {i.high}" for label, i in forest),
            note="Dashed: chance.",
        ),
        notices=[
            Notice(
                level="warning",
                text="The win rate is no evidence: the judge is right on 0.53 [0.46, 0.60] of its own held-out pairs, "
                "which includes chance.",
            )
        ],
        decision=Decision(
            promoted=False,
            summary="The candidate ranks better than the base, but one guard metric is worse.",
            reasons=[
                Reason(
                    passed=True, text="Ranking accuracy +0.122 [0.051, 0.190], paired p = 0.001, on two seeds of two."
                ),
                Reason(passed=False, text="Answer length grew by 42 % (guard: at most 25 %)."),
                Reason(passed=None, text="Win rate: the judge is no better than chance."),
            ],
        ),
        sections=[
            Section(
                title="Data",
                intro="Pairs of answers to one question, the one with more upvotes preferred. No question stands in "
                "two splits.",
                tables=[
                    Table(
                        caption="Splits",
                        columns=["Split", "Pairs", "Questions", "Median length chosen", "Median length rejected"],
                        rows=[
                            ["train", 864, 301, 182, 131],
                            ["judge", 410, 142, 176, 129],
                            ["test", 186, 61, 190, 133],
                        ],
                        note="Length in tokens of the model.",
                    ),
                    Table(
                        caption="Rows left out",
                        columns=["Reason", "Rows"],
                        rows=[["equal votes", 1204], ["empty answer", 17], ["duplicate of another row", 9]],
                    ),
                ],
                plots=[
                    Plot(
                        title="Response length",
                        svg=plots.histogram(lengths, "tokens"),
                        alt="Chosen responses are longer.",
                    ),
                    Plot(
                        title="Rows left out",
                        svg=plots.bar_chart([("equal votes", 1204), ("empty answer", 17), ("duplicate", 9)], "rows"),
                        alt="1204 ties, 17 empty, 9 duplicates",
                    ),
                ],
            ),
            lint_section(sample_lint()),
            Section(
                title="Training",
                plots=[
                    _curves("Loss", "loss (nats)", 0.69, -0.12, ("loss",)),
                    _curves("Rewards", "reward", 0.0, 0.5, ("chosen", "rejected")),
                ],
            ),
            Section(
                title="Evaluation",
                intro="The reward model stands beside two models that read nothing but a confound.",
                tables=[
                    Table(
                        caption="Reward model and confound baselines",
                        columns=["Model", "Accuracy", "AUC", "ECE", "Brier"],
                        rows=[
                            ["Reward model", Interval(value=0.61, low=0.54, high=0.68), 0.652, 0.071, 0.231],
                            ["Length only", Interval(value=0.58, low=0.51, high=0.65), 0.601, 0.044, 0.241],
                            ["Views only", Interval(value=0.55, low=0.47, high=0.62), 0.566, 0.039, 0.247],
                        ],
                        strong=[0],
                    )
                ],
                plots=[Plot(title="Calibration", svg=plots.reliability_diagram(bins), alt="Points near the diagonal")],
            ),
            Section(
                title="Examples",
                intro="Answers to held-out questions, drawn at random before anyone saw them.",
                examples=[
                    Example(
                        prompt=QUESTION,
                        answers=[
                            Answer(label="Base", text=BASE, facts={"judge": -0.41, "tokens": 34}),
                            Answer(label="Aligned", text=ALIGNED, facts={"judge": 0.87, "tokens": 96}, preferred=True),
                        ],
                        note="Judge: log-odds of its own reward.",
                    ),
                    Example(
                        prompt=HOSTILE, answers=[Answer(label="Base", text=""), Answer(label="Aligned", text="x" * 90)]
                    ),
                ],
            ),
        ],
        lineage=[
            StageRow(stage=name, key=f"{index:x}" * 64, cache="hit" if index < 3 else "miss", seconds=seconds)
            for index, (name, seconds) in enumerate(
                [
                    ("data", 1.2),
                    ("reward", 61.0),
                    ("reference", 14.0),
                    ("align/seed-0", 151.0),
                    ("eval", 92.0),
                    ("gate", 0.3),
                ],
                1,
            )
        ],
        reproduce=[
            "valign run counseling --data counsel_chat.csv --recipe cpu --set align.beta=0.1",
            "valign show 20260301-141502-7f3a",
        ],
        version="0.1.0",
    )


def sample_comparison(number: int = 3) -> list[ComparedRun]:
    """Runs with different beta, with item scores for paired differences and metrics with long names."""
    made = []
    for index, beta in enumerate([0.05, 0.1, 0.3, 0.5, 0.7, 0.9][:number]):
        hits = {f"pair-{i}": float((i * 7 + i // 9) % 3 > 0 or i % 9 < 2 * index) for i in range(120)}
        share = sum(hits.values()) / len(hits)
        margins = {name: hit / 3 - 0.4 * index for name, hit in hits.items()}
        groups = {name: f"question-{n // 3}" for n, name in enumerate(hits)}
        accuracy = Interval(value=share, low=share - 0.08, high=share + 0.08)
        made.append(
            ComparedRun(
                run_id=f"counseling-71b9d340b{index}",
                started="2026-03-01 14:15",
                params={
                    "align.beta": beta,
                    "align.steps": 120,
                    "model": "smollm2-135m-instruct",
                    "prompt.system": "You are a warm and careful counsellor. Answer directly, briefly."
                    if index
                    else None,
                },
                results={
                    "Ranking accuracy, per token: aligned, seed 0": accuracy,
                    "Margin, nats a token: gain, paired": Interval(value=-0.128, low=-0.215, high=-0.040),
                    "Win rate against base": None if index == 1 else Interval(value=0.5, low=0.4, high=0.6),
                },
                metrics={
                    "eval/ranking_accuracy": accuracy,
                    "eval/kl_to_reference_nats_per_token": 0.041 * (index + 1),
                    "eval/over_seeds/ranking_accuracy_normalised": Interval(value=0.1 * index, low=-1.25, high=0.75),
                    "align/rewards/accuracies (seed-0)": 0.5 + 0.1 * index,
                    "align/steps (seed-0)": 120.0,
                    "reward/ece": None if index == 1 else 0.07,
                },
                items={
                    "eval/ranking_accuracy": ItemScores(values=hits, groups=groups),
                    "eval/margin_per_token": ItemScores(values=margins, groups=groups),
                },
                report=f"../counseling-71b9d340b{index}/report.html",
            )
        )
    return made


@functools.cache
def sample_lint() -> dict[str, dict[str, Any]]:
    """Reports of lint over synthetic pairs with planted defects, as given and split, in JSON."""
    data = planted(800, seed=5)
    return {
        "source": lint({"all": lambda: [*data.train, *data.test]}, LintConfig(severities=QUICK)).to_json(),
        "splits": run_planted(data, LINT.model_copy(update={"examples": 5, "severities": QUICK})).to_json(),
    }


@pytest.fixture(name="sample_report", scope="session")
def _sample_report() -> ReportData:
    return sample_report()


@pytest.fixture(name="sample_comparison", scope="session")
def _sample_comparison() -> list[ComparedRun]:
    return sample_comparison()


@pytest.fixture(name="sample_lint", scope="session")
def _sample_lint() -> dict[str, dict[str, Any]]:
    return sample_lint()
