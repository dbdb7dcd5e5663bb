"""What the evaluation of summaries says of human ones: ROUGE of people against each other, support of their statements
in their own and in other products' reviews, and how far sentiment agrees with stars.

    VALIGN_DATA_DIR=DATA python -m benchmarks.amazon_gold_summaries
"""

import csv
import os
import time
from pathlib import Path

import numpy as np

from domains.ecommerce.aspect_report import aspect_report
from domains.ecommerce.faithfulness import faithfulness
from domains.ecommerce.hacking_checks import form_table
from domains.ecommerce.products import Product
from domains.ecommerce.rouge import leave_one_out, rouge_table
from domains.ecommerce.sentiment import polarity
from domains.ecommerce.summary_metrics import other_products
from domains.ecommerce.support_spans import THRESHOLD, KeptVectors, best_similarities, choose_threshold, support_at
from shared.evaluation.intervals import bootstrap_mean, cluster_bootstrap

NEGATIVES = 6  # other products of the same category for each


def gold_products(path: Path) -> list[Product]:
    """The 36 products with 8 reviews and 3 human summaries each."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Product(
                id=row["prod_id"],
                source=f"{path.name}:{number}",
                reviews=tuple(row[f"rev{n}"] for n in range(1, 9)),
                ratings=tuple(float(row[f"rating{n}"]) for n in range(1, 9)),
                category=row["cat"],
                summaries=tuple(row[f"summ{n}"] for n in range(1, 4)),
            )
            for number, row in enumerate(csv.DictReader(file), start=2)
        ]


def main() -> None:
    """Prints every figure with its 95 % interval over products."""
    products = gold_products(Path(os.environ["VALIGN_DATA_DIR"]) / "ecommerce" / "amazon_gold.csv")
    human, places = leave_one_out([one.gold for one in products])
    print("People against each other (each summary against the two others of its product)")
    for metric, values in human.items():
        print(f"  {metric:13s} {bootstrap_mean(values, places)}")
    crossed = rouge_table([one.gold[0] for one in products], [products[at - 1].gold for at in range(len(products))])
    print(f"  rougeL_mean against another product's three: {bootstrap_mean(crossed['rougeL_mean'])}")

    embed = KeptVectors()
    own, own_of, other, other_of = [], [], [], []
    started = time.process_time()
    for place, product in enumerate(products):
        for found in best_similarities(product.reviews, product.gold, embed):
            own += found.tolist()
            own_of += [place] * len(found)
        for wrong in other_products(products, place, NEGATIVES):
            for found in best_similarities(products[wrong].reviews, product.gold, embed):
                other += found.tolist()
                other_of += [place] * len(found)
    print(f"Support ({len(own)} statements of people, {time.process_time() - started:.1f} s of CPU)")
    for threshold in (0.45, 0.5, THRESHOLD, 0.6):
        found = support_at(threshold, own, other)
        recall = bootstrap_mean(np.array(own) >= threshold, own_of)
        wrong_share = bootstrap_mean(np.array(other) >= threshold, other_of)
        print(f"  threshold {threshold:.2f}: false positives {wrong_share} (n = {found.negatives}), recall {recall}")
    print(f"  lowest threshold with 5 % false positives: {choose_threshold(own, other).threshold:.2f}")
    measured = [
        (place, faithfulness(one.reviews, text, embed)) for place, one in enumerate(products) for text in one.gold
    ]
    groups = [place for place, _ in measured]
    for figure in ("faithfulness", "supported", "contradicted"):
        print(f"  {figure:13s} {bootstrap_mean([getattr(one, figure) for _, one in measured], groups)}")

    print("Form of human summaries")
    table = form_table(
        [one.reviews for one in products for _ in one.gold], [text for one in products for text in one.gold]
    )
    for name, values in table.items():
        print(f"  {name:18s} {bootstrap_mean(values, groups)}")

    stars = np.array([rating for one in products for rating in one.ratings or ()])
    sentiment = np.array([polarity(review) for one in products for review in one.reviews])
    groups = np.repeat(np.arange(len(products)), 8)
    kept = np.flatnonzero(stars != 3)
    print("Sentiment: chance that a review of 4-5 stars is more positive than one of 1-2 (AUC)")
    print(f"  {cluster_bootstrap(lambda at: _auc(stars[kept][at] > 3, sentiment[kept][at]), len(kept), groups[kept])}")

    started = time.process_time()
    reports = [aspect_report(one, KeptVectors()) for one in products]
    seconds = (time.process_time() - started) / len(products)
    shown = np.mean([len(one.aspects) for one in reports])
    print(f"Aspect reports: {seconds:.2f} s of CPU a product of 8 reviews, {shown:.1f} aspects of two or more reviews")
    many = Product("many", "many", tuple(review for one in products for review in one.reviews) * 2, None, None)
    started = time.process_time()
    report = aspect_report(Product("many", "many", many.reviews[:500]), KeptVectors())
    print(f"  500 reviews: {time.process_time() - started:.1f} s of CPU, {len(report.aspects)} aspects")


def _auc(positive: np.ndarray, values: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, values)) if 0 < positive.sum() < len(positive) else float("nan")


if __name__ == "__main__":
    main()
