"""How fast summaries are measured, and how far the factors agree with experts.

    python -m benchmarks.ecommerce_factors speed REVIEWS.csv [--products 24] [--rounds 3] [--threads 2] [--fluency]
    python -m benchmarks.ecommerce_factors agreement OPINPREF.jsonl [--costs lexical embedding] [--reviews all]

`speed` reads products with eight reviews each (columns rev1 ... rev8, summ1 ... summ3) and prints (reviews, summary)
items a second: lexical and embedding factors *cold* (no review and no summary seen before, one summary a product, so
nothing is shared) and with the *reviews known* (another summary of the same products); models are loaded
before. Fluency is timed apart. Items a second are of wall time on the threads given; least and most are over rounds.
Items a processor second (of all threads together) tell what a busy machine would give were it not.

`agreement` prints the accuracy of every factor alone on the pairs, with intervals by product, and what a linear
Bradley-Terry model on all measured factors, on the seven given scores, and on both reaches in ten folds by product.
"""

import argparse
import csv
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FOLDS, SEEDS, L2 = 10, 5, 0.03


def main() -> None:
    """Measures and prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    speed = parts.add_parser("speed")
    speed.add_argument("file", type=Path)
    speed.add_argument("--products", type=int, default=24)
    speed.add_argument("--rounds", type=int, default=3)
    speed.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    speed.add_argument("--fluency", action="store_true")
    agreement = parts.add_parser("agreement")
    agreement.add_argument("file", type=Path)
    agreement.add_argument("--costs", nargs="+", default=["lexical", "embedding", "language-model"])
    agreement.add_argument("--reviews", choices=["all", "prompt"], default="all")
    told = parser.parse_args()
    if told.part == "speed":
        print_speed(told)
    else:
        print_agreement(told)


def gold_products(path: Path) -> list[tuple[tuple[str, ...], list[str]]]:
    """(reviews, summaries) of every product of a gold file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            (
                tuple(row[f"rev{number}"] for number in range(1, 9) if row[f"rev{number}"].strip()),
                [row[f"summ{number}"] for number in range(1, 4) if row[f"summ{number}"].strip()],
            )
            for row in csv.DictReader(file)
        ]


def print_speed(told: argparse.Namespace) -> None:
    """Times each kind of factor."""
    import torch

    from domains.ecommerce.factors import FACTORS, SummaryItem, measure

    torch.set_num_threads(told.threads)
    products = gold_products(told.file)[: told.products]
    warm = [SummaryItem(("The battery is great.",), "The battery is great.")]
    kinds: dict[str, list[str]] = {
        "lexical": FACTORS.names(costs=["lexical"]),
        "lexical and embedding": FACTORS.names(costs=["lexical", "embedding"]),
    }
    print(f"{len(products)} products, {told.threads} threads, {told.rounds} rounds\n")
    print("| factors | reviews | items a second: median | least | most | items a processor second |")
    print("|---|---|---|---|---|---|", flush=True)
    for kind, names in kinds.items():
        measure(warm, names)
        for known in (False, True):

            def work(names: Sequence[str] = names, known: bool = known) -> Callable[[], Any]:
                items = [SummaryItem(reviews, summaries[known % len(summaries)]) for reviews, summaries in products]
                forget()
                if known:
                    measure([SummaryItem(reviews, "Good.") for reviews, _ in products], names)
                return lambda: measure(items, names)

            print_rates(kind, "known" if known else "cold", work, len(products), told.rounds)
    if told.fluency:
        names = FACTORS.names(costs=["language-model"])
        measure(warm, names)
        items = [SummaryItem(reviews, summary) for reviews, summaries in products for summary in summaries]
        print_rates("fluency", "not read", lambda: lambda: measure(items, names), len(items), told.rounds)


def forget() -> None:
    """Empties what this process has kept of reviews."""
    from domains.ecommerce.factors.aspects import READ_ASPECTS
    from domains.ecommerce.factors.embedding import REVIEW_VECTORS
    from domains.ecommerce.factors.readings import READ_REVIEWS
    from domains.ecommerce.sentiment import polarity

    for kept in (READ_REVIEWS, READ_ASPECTS, REVIEW_VECTORS):
        kept.clear()
    polarity.cache_clear()


def print_rates(kind: str, reviews: str, prepare: Callable[[], Callable[[], Any]], items: int, rounds: int) -> None:
    """One row: items a second of the work that `prepare` makes, over rounds."""
    rates, busy = [], []
    for _ in range(rounds):
        work = prepare()
        start, used = time.perf_counter(), time.process_time()
        work()
        rates.append(items / (time.perf_counter() - start))
        busy.append(items / (time.process_time() - used))
    shown = [statistics.median(rates), min(rates), max(rates), statistics.median(busy)]
    print(f"| {kind} | {reviews} | {' | '.join(f'{rate:.1f}' for rate in shown)} |", flush=True)


def opinpref(path: Path, reviews: str) -> list[dict[str, Any]]:
    """Pairs of the file: reviews, (chosen, rejected) summaries, their given scores, whether both are of one tier."""
    from domains.ecommerce.prompting import prompt_reviews

    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sides = [row["summary-pairs"][name] for name in ("summary-one", "summary-two")]
        if str(row["preference-data"]) == "2":
            sides.reverse()
        texts = tuple(one for one in row["reviews"] if one.strip())
        pairs.append(
            {
                "product": row["unique-id"],
                "reviews": texts if reviews == "all" else prompt_reviews(texts, None),
                "summaries": [one["summary-text"] for one in sides],
                "given": [{name: float(value) for name, value in one["summary-score"].items()} for one in sides],
                "same": len({int(one["index"]) // 3 for one in sides}) == 1,
            }
        )
    return pairs


def print_agreement(told: argparse.Namespace) -> None:
    """Every factor alone, then linear models in folds by product."""
    from domains.ecommerce.factors import FACTORS, SummaryItem, factor_cache
    from shared.explain.agreement import agreement_table

    pairs = opinpref(told.file, told.reviews)
    names = FACTORS.names(costs=told.costs)
    items = [SummaryItem(one["reviews"], text) for one in pairs for text in one["summaries"]]
    with factor_cache() as cache:
        rows = FACTORS.measure(items, names, cache)
    products = [one["product"] for one in pairs]
    strata = {"same-tier": [one["same"] for one in pairs], "cross-tier": [not one["same"] for one in pairs]}
    signs = {name: FACTORS[name].sign for name in names}
    print("| factor | sign | accuracy | cross-tier | same-tier |\n|---|---|---|---|---|")
    for row in agreement_table(rows[::2], rows[1::2], products, signs, strata):
        print(
            f"| {row.name} | {row.sign or ''} | {row.accuracy} | {row.strata['cross-tier']} | "
            f"{row.strata['same-tier']} |"
        )
    given = [scores for one in pairs for scores in one["given"]]
    both = [{**mine, **theirs} for mine, theirs in zip(rows, given, strict=True)]
    print("\n| linear Bradley-Terry on | accuracy | cross-tier | same-tier | nats |\n|---|---|---|---|---|")
    held = {name: sign for name, sign in signs.items() if sign is not None}
    kinds = (("measured", rows, {}), ("measured, signs held", rows, held), ("given", given, {}), ("both", both, {}))
    for title, values, bound in kinds:
        print_folds(title, values, products, strata, bound)


def print_folds(
    title: str,
    rows: list[dict[str, float]],
    products: list[str],
    strata: dict[str, list[bool]],
    signs: dict[str, Any],
) -> None:
    """One row: accuracy of a linear model on held-out products, mean over splits into folds."""
    import numpy as np

    from shared.evaluation.calibration import pair_outcomes
    from shared.evaluation.intervals import bootstrap_mean
    from shared.rewards.feature_fit import fit_features
    from shared.rewards.pair_targets import PairTargets
    from shared.rewards.settings import FeatureConfig

    names = list(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    chosen, rejected = values[::2], values[1::2]
    number = {product: place for place, product in enumerate(dict.fromkeys(products))}
    codes = np.array([number[product] for product in products])
    outcomes, losses = np.zeros((SEEDS, len(codes))), []
    for seed in range(SEEDS):
        fold_of = np.random.default_rng(seed).permutation(len(number)) % FOLDS
        margins = np.zeros(len(codes))
        for fold in range(FOLDS):
            held = fold_of[codes] == fold
            count = int((~held).sum())
            targets = PairTargets(np.zeros(count), np.ones(count), np.ones(count))
            fit = fit_features(names, chosen[~held], rejected[~held], targets, FeatureConfig(l2=L2, signs=signs))
            margins[held] = fit.network.score(chosen[held]) - fit.network.score(rejected[held])
        outcomes[seed] = pair_outcomes(margins)
        losses.append(np.logaddexp(0, -margins).mean())
    mean = outcomes.mean(axis=0)
    cells = [bootstrap_mean(mean, products)]
    for part in ("cross-tier", "same-tier"):
        mask = np.array(strata[part])
        cells.append(bootstrap_mean(mean[mask], np.array(products)[mask]))
    print(f"| {title} | {' | '.join(map(str, cells))} | {np.mean(losses):.3f} |", flush=True)


if __name__ == "__main__":
    main()
