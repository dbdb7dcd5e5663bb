"""Rewards on OpinPref: which features say what experts prefer, in product-grouped folds, and with how few pairs.

    python -m benchmarks.opinpref_reward opinpref_train.jsonl [--features FOLDER] [--out study.json] [--page page.html]
        [--costs lexical embedding language-model] [--reviews N] [--set curve.repeats=10] [--lm]

Reads the published file with the domain's adapters (not masked: nothing leaves the machine), measures the text
factors, runs the study that the stage `reward-study` runs, and prints its tables. `--features` keeps the records with
their scores in a folder, or takes them where they are there already. `--lm` adds a Bradley-Terry model on MiniLM,
trained anew in every fold: hours on two cores.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from domains.ecommerce.data import preference_records
from domains.ecommerce.data_config import EcommerceDataConfig
from domains.ecommerce.feature_stage import FeatureStageConfig, features
from domains.ecommerce.reward_study.config import LmStudy, RewardStudyConfig
from domains.ecommerce.reward_study.measures import MEASURES
from domains.ecommerce.reward_study.stage import STUDY_FILE, reward_study, reward_study_stage
from shared.data.record_files import write_records
from shared.data.rows import RowTally
from shared.prompts import PromptFormat
from shared.recipes import to_values
from shared.stages import StageContext

RECORDS = "train.arrow"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the study and prints its tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--features", type=Path, help="folder of the records with their scores")
    parser.add_argument("--costs", nargs="*", default=["lexical", "embedding", "language-model"])
    parser.add_argument("--reviews", type=int, help="most reviews in a prompt; default: the recipe's")
    parser.add_argument("--out", type=Path, help="where study.json is kept")
    parser.add_argument("--page", type=Path, help="where the report's section is kept as a page")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of reward_study")
    parser.add_argument("--lm", action="store_true", help="train MiniLM in every fold, too")
    told = parser.parse_args(arguments)
    values: dict[str, Any] = {"splits": ["train"], **({"lm": to_values(LmStudy())} if told.lm else {})}
    config = RewardStudyConfig.model_validate(_changed(values, told.set))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = told.features or Path(place) / "features"
        if not (folder / RECORDS).is_file():
            measure(told.data, folder, told.costs, told.reviews)
        out, work = Path(place) / "out", folder / "work"
        out.mkdir()
        recipe = {"prompt": to_values(PromptFormat()), "precision": "auto"}
        stage = reward_study_stage("reward-study", config, recipe, features="features")
        models = {name: _model(reference) for name, reference in stage.models.items()}
        reward_study(StageContext(stage.config, {"features": folder}, {}, models, out, work, progress=_progress))
        study = json.loads((out / STUDY_FILE).read_text(encoding="utf-8"))
        if told.page is not None:
            told.page.write_text(_page(out), encoding="utf-8")
    if told.out is not None:
        told.out.write_text(json.dumps(study, indent=2), encoding="utf-8")
    for line in tables(study):
        print(line)
    print(f"\n{time.perf_counter() - started:.0f} s")


def measure(data: Path, folder: Path, costs: Sequence[str], reviews: int | None) -> None:
    """Reads pairs and writes them with their measured factors.

    Args:
        data: a file of preferences that the domain reads.
        folder: where they are written.
        costs: kinds of factors; none: given scores only.
        reviews: most reviews in a prompt; None: the recipe's default.
    """
    settings = EcommerceDataConfig()
    if reviews is not None:
        wording = settings.summary_prompt.model_copy(update={"reviews_in_prompt": reviews})
        settings = settings.model_copy(update={"summary_prompt": wording})
    tally = RowTally(settings.max_bad_share, settings.max_broken_share)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        read = Path(place)
        write_records(read / RECORDS, preference_records({"data": data}, settings, tally))
        if not costs:
            (folder / RECORDS).write_bytes((read / RECORDS).read_bytes())
            return
        chosen = FeatureStageConfig.model_validate({"costs": list(costs), "splits": ["train"]})
        features(StageContext(to_values(chosen), {"data": read}, {}, {}, folder, folder, progress=_progress))


def _changed(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    for change in changes:
        key, _, text = change.partition("=")
        *parts, last = key.split(".")
        inner = values
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = json.loads(text)
    return values


def _model(reference: str) -> Path:
    from shared.home import models_folder
    from shared.models import resolve

    return resolve(reference, models_folder()).path


def _page(folder: Path) -> str:
    from domains.ecommerce.reward_study.sections import study_sections
    from shared.report.blocks import ReportData
    from shared.report.page import render_report

    data = ReportData(
        title="Rewards on OpinPref",
        domain="ecommerce",
        started=time.strftime("%Y-%m-%d"),
        sections=study_sections(folder),
    )
    return render_report(data)


def _progress(done: int, total: int, text: str) -> None:
    print(f"\r{text}: {done}/{total}    ", end="", file=sys.stderr, flush=True)


def tables(study: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown."""
    facts = study["facts"]
    yield f"\n{facts['pairs']} pairs of {facts['products']} products, {facts['folds']} folds by product;"
    yield f"{facts['cross_tier']} across tiers, {facts['same_tier']} within one."
    yield f"{facts['length_matched']} of like length.\n"
    yield "| reward | features | " + " | ".join(MEASURES) + " |"
    yield "|---|---|" + "---|" * len(MEASURES)
    for one in study["sets"].values():
        levels = " | ".join(_shown(one["estimates"][name]) for name in MEASURES)
        yield f"| {one['title']} | {len(one['features']) or ''} | {levels} |"
    for measured, by_baseline in study["differences"].items():
        for baseline, rows in by_baseline.items():
            if rows:
                yield f"\n{measured}, minus that of {baseline}:\n"
            yield from (f"- {name}: {_difference(row)}" for name, row in rows.items())
    curve = study["curve"]
    if curve is None:
        return
    yield "\n| training pairs | " + " | ".join(map(str, curve["sizes"])) + f" | pairs to {curve['level']:g} |"
    yield "|---|" + "---|" * (len(curve["sizes"]) + 1)
    for one in curve["sets"].values():
        points = [f"{_shown(point['accuracy'])} ±{point['draw_deviation']:.3f}" for point in one["points"]]
        yield f"| {one['title']} | " + " | ".join(points) + f" | {_crossing(one['crossing'])} |"


def _shown(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return "n/a"
    low, high = estimate["low"], estimate["high"]
    return f"{estimate['value']:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "n/a"
    p = "< 0.0001" if row["p_holm"] < 1e-4 else f"= {row['p_holm']:.4f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}], p {p} (Holm)"


def _crossing(found: Mapping[str, Any]) -> str:
    pairs, low, high = ("beyond" if found[name] is None else f"{found[name]:.0f}" for name in ("pairs", "low", "high"))
    return f"{pairs} [{low}, {high}]; passed in {found['passed']:.0%}"


if __name__ == "__main__":
    main()
