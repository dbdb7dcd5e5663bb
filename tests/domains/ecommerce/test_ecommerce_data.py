"""E-commerce's data stage, from files of every schema to splits."""

import json
import logging
import math
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from domains.ecommerce.data_config import EcommerceDataConfig, ProductColumns
from domains.ecommerce.prompting import reviews_of
from domains.ecommerce.schemas import schema_of
from domains.ecommerce.tier_pairs import tier_of
from shared.errors import DataError, UsageError
from tests.domains.ecommerce.ecommerce_cases import (
    FEATURES,
    changed,
    dropped,
    flat,
    gold,
    jsonl,
    nothing_is_torn,
    opinpref,
    prompt_opin_summ,
    reviews,
    run,
    table,
)

SECRET = "Canary McCanary"


def test_opinpref(tmp_path: Path) -> None:
    rows = [opinpref(number) for number in range(12)]
    rows[3] = opinpref(3, 2, source=SECRET)
    rows[4] = opinpref(4, source="common")
    metrics, summary, records, products = run(jsonl(tmp_path / "pref.jsonl", *rows), tmp_path / "out")
    by_source = {record.source: record for record in flat(records)}
    first, second = by_source["pref.jsonl:1"], by_source["pref.jsonl:4"]
    assert (first.chosen, first.rejected) == ("First summary of product 0.", "Second summary of product 0.")
    assert (second.chosen, second.rejected) == ("Second summary of product 3.", "First summary of product 3.")
    assert reviews_of(first.prompt) == tuple(reviews(0))
    assert first.scores_chosen == {f"given.{name}": 4.0 for name in FEATURES}
    assert first.scores_rejected == {f"given.{name}": 2.5 for name in FEATURES}
    assert (first.covariates_chosen, first.covariates_rejected) == ({"tier": 0.0}, {"tier": 2.0})
    assert (second.covariates_chosen, second.covariates_rejected) == ({"tier": 2.0}, {"tier": 0.0})
    assert first.id == "00000000-0000-0000-0000-000000000000"
    assert first.metadata == {"rater": "rater-1", "reviews": 3}
    assert second.metadata["rater"] == "rater-2"
    assert by_source["pref.jsonl:5"].metadata["rater"] == "common"
    assert metrics["data/pairs"] == metrics["data/products"] == 12
    assert (summary["adapter"], summary["licence_from"]) == ("opinpref", "the published data set")
    assert nothing_is_torn(records, products)
    for file in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_bad_rows_are_said_and_nothing_is_lost(tmp_path: Path) -> None:
    good = [opinpref(number) for number in range(20)]
    score = {**dict.fromkeys(FEATURES, 4.0), "relevance": 5.5}
    bad: list[tuple[dict[str, Any], str]] = [
        (changed(opinpref(30), "summary-two", summary_score=score), "'relevance' of 'summary-two' lies outside 0"),
        (changed(opinpref(31), "summary-one", summary_score={"relevance": -0.1}), "'summary-one' lies outside 0 to 5"),
        (opinpref(32, reviews=[]), "has no reviews"),
        (opinpref(33, reviews=["", "  "]), "has no reviews"),
        (opinpref(34, reviews="Good"), "column 'reviews' holds a text where a list of reviews is expected"),
        (opinpref(35, reviews=["Good", 3]), "column 'reviews' holds a number among its reviews"),
        (changed(opinpref(36), "summary-one", summary_text=" "), "has an empty 'summary-one'"),
        (opinpref(37, preferred=0), "column 'preference-data' names no preferred summary"),
        (opinpref(38, **{"summary-pairs": {}}), "has no 'summary-one'"),
        (opinpref(39, **{"summary-pairs": None}), "column 'summary-pairs' holds no object"),
        (opinpref(40, reviews=["Only one, twice.", "only one,  twice."]), "has 1 review, fewer than data.min_reviews"),
        (changed(opinpref(41), "summary-one", summary_text="<br/>"), "is empty without its mark-up"),
        (changed(opinpref(42), "summary-one", summary_text="Second summary of product 42."), "are the same text"),
    ]  # fmt: skip
    path = jsonl(tmp_path / "pref.jsonl", *good, *(row for row, _ in bad))
    metrics, summary, records, products = run(path, tmp_path / "out", max_bad_share=0.5)
    reasons = dropped(tmp_path / "out")
    for number, (_, reason) in enumerate(bad, start=21):
        assert reason in reasons[f"pref.jsonl:{number}"]
    assert (metrics["data/bad_rows"], metrics["data/left_out"]) == (10, 3)
    assert summary["rows"] == {"read": 33, "bad": 10}
    assert len(flat(records)) == 20
    assert len(flat(products)) == 22  # the products of the last two rows stay
    with pytest.raises(
        DataError, match=r"pref\.jsonl:21: score 'relevance' of 'summary-two' lies outside 0 to 5; \d+ of"
    ):
        run(path, tmp_path / "strict")


def test_scores_that_are_missing_are_no_scores(tmp_path: Path) -> None:
    rows = [opinpref(number) for number in range(9)]
    rows.append(changed(opinpref(9), "summary-one", summary_score={"relevance": math.nan, "conciseness": None}))
    _, _, records, _ = run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")
    [record] = [one for one in flat(records) if one.source == "a.jsonl:10"]
    assert record.scores_chosen == {}
    assert len(record.scores_rejected) == 7


def test_prompt_opin_summ(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "summ.jsonl", *(prompt_opin_summ(number) for number in range(10)))
    metrics, summary, records, products = run(path, tmp_path / "plain")
    assert (metrics["data/pairs"], metrics["data/products"], metrics["data/gold_products"]) == (0, 10, 0)
    assert summary["adapter"] == "prompt-opin-summ"
    assert all(one.summaries_by_model and len(one.summaries) == 2 and not one.gold for one in flat(products))
    assert all(summary_.startswith("is-good") for one in flat(products) for summary_ in one.summaries)
    assert flat(records) == []
    metrics, _, records, products = run(path, tmp_path / "pairs", tier_pairs=4)
    assert metrics["data/pairs"] == 40
    for record in flat(records):
        tiers = record.covariates_chosen["tier"], record.covariates_rejected["tier"]
        assert tiers[0] < tiers[1]
        assert record.scores_chosen["given.conciseness"] == 4.0 - tiers[0]
        assert "given.relevance" not in record.scores_chosen
        assert record.metadata["preference"] == "tier"
    assert nothing_is_torn(records, products)


@pytest.mark.parametrize(("index", "tier"), [("0", 0), (2, 0), ("3", 1), (5.0, 1), ("8", 2)])
def test_tiers(index: object, tier: int | None) -> None:
    assert tier_of(index) == tier


@pytest.mark.parametrize("index", ["9", "-1", "x", None, True, 1.5, "nan", "inf", [1]])
def test_what_is_no_tier(index: object) -> None:
    assert tier_of(index) is None


def test_gold_is_for_the_test_split_and_joins_what_it_shares(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "pref.jsonl", *(opinpref(number, reviews=reviews(number, 4)) for number in range(20)))
    table(tmp_path / "gold.csv", *(gold(number) for number in (5, 40, 41, 42)))
    metrics, summary, records, products = run(path, tmp_path / "out", gold="gold.csv")
    assert (metrics["data/pairs"], metrics["data/products"], metrics["data/gold_products"]) == (20, 23, 4)
    assert sum(bool(product.gold) for product in products["test"]) == 4
    [shared] = [product for product in products["test"] if set(product.reviews) == set(reviews(5, 4))]
    assert shared.gold == tuple(f"Person {place} on product 5." for place in (1, 2, 3))
    assert (shared.ratings, shared.category) == ((1.0, 2.0, 3.0, 4.0), "kitchen")
    assert [record.source for record in records["test"] if record.group_id == shared.id] == ["pref.jsonl:6"]
    assert (summary["rows_by_schema"], summary["partners"]) == (
        {"amazon-gold": 4, "opinpref": 20},
        {"gold": "gold.csv"},
    )
    assert nothing_is_torn(records, products)
    with pytest.raises(DataError, match=r"data\.gold names missing\.csv, which is not there"):
        run(path, tmp_path / "missing", gold="missing.csv")


def test_products_for_training_alone(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "pref.jsonl", *(opinpref(number) for number in range(12)))
    jsonl(tmp_path / "more.jsonl", *({"reviews": reviews(number), "product": f"p{number}"} for number in range(30, 40)))
    _, _, records, products = run(path, tmp_path / "out", products="more.jsonl")
    assert sum(one.source.startswith("more") for one in products["train"]) == 10
    assert not any(one.source.startswith("more") for name in ("judge", "test") for one in products[name])
    assert nothing_is_torn(records, products)
    metrics, *_ = run(path, tmp_path / "capped", products="more.jsonl", max_products=4)
    assert metrics["data/products"] == 16
    assert sum(reason.startswith("beyond") for reason in dropped(tmp_path / "capped").values()) == 6


def test_lists_written_out_in_cells(tmp_path: Path) -> None:
    rows = [
        {"group_id": f"g{number}", "review_text": repr(reviews(number)), "summary": repr([f'It\'s "{number}".'])}
        for number in range(8)
    ]
    metrics, summary, _, products = run(table(tmp_path / "flipkart.csv", *rows), tmp_path / "out")
    assert (summary["adapter"], metrics["data/products"], metrics["data/gold_products"]) == ("opinion-summaries", 8, 8)
    by_source = {product.source: product for product in flat(products)}
    assert by_source["flipkart.csv:2"].reviews == tuple(reviews(0))
    assert by_source["flipkart.csv:2"].summaries == ('It\'s "0".',)
    rows[0]["review_text"] = "__import__('os').abort()"
    rows[1]["review_text"] = "['one' 'two']"
    run(table(tmp_path / "bad.csv", *rows), tmp_path / "bad", max_bad_share=0.3)
    assert "a text where a list of reviews is expected" in dropped(tmp_path / "bad")["bad.csv:2"]
    assert "without commas" in dropped(tmp_path / "bad")["bad.csv:3"]


def test_one_row_a_review(tmp_path: Path) -> None:
    rows = [
        {"asin": f"B{number}", "reviewText": text, "overall": stars, "reviewerName": SECRET, "category": "mugs"}
        for number in range(8)
        for text, stars in zip(reviews(number), ("5.0", "1", ""), strict=True)
    ]
    rows += [{**rows[0], "reviewText": ""}, {**rows[0], "asin": ""}, {**rows[0], "asin": "B9"}]
    path = table(tmp_path / "reviews.csv", *rows)
    _, summary, _, products = run(path, tmp_path / "out", max_bad_share=0.1)
    assert (summary["adapter"], summary["rows"]["bad"], summary["products"]["train"]["reviews"]) == ("reviews", 2, 12)
    by_source = {product.source: product for product in flat(products)}
    one = by_source["reviews.csv:2"]
    assert (one.reviews, one.category) == (tuple(reviews(0)), "mugs")
    assert one.ratings is not None
    assert one.ratings[:2] == (5.0, 1.0)
    assert math.isnan(one.ratings[2])
    assert sorted(dropped(tmp_path / "out").values()) == [
        "has 1 review, fewer than data.min_reviews=2", "has an empty review", "names no product",
    ]  # fmt: skip
    assert SECRET not in json.dumps([product.source for product in flat(products)])
    for file in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_five_hundred_reviews_a_product_are_bounded(tmp_path: Path) -> None:
    many = [f"Review {number} of the lamp says word{number % 7}." for number in range(500)]
    rows = [{"product": "lamp", "review": text} for text in many]
    rows += [{"product": f"p{number}", "review": text} for number in range(6) for text in reviews(number)]
    ways = [jsonl(tmp_path / "rows.jsonl", *rows), jsonl(tmp_path / "reversed.jsonl", *rows[::-1])]
    lists = [{"reviews": many}] + [{"reviews": reviews(number)} for number in range(6)]
    ways.append(jsonl(tmp_path / "lists.jsonl", *lists))
    kept = []
    for path in ways:
        metrics, _, _, products = run(path, tmp_path / path.stem, max_reviews=40)
        [lamp] = [one for one in flat(products) if len(one.reviews) > 10]
        kept.append(set(lamp.reviews))
        assert metrics["data/cleaned/surplus_reviews"] == 460
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) == 40


def test_products_and_pairs_of_ones_own(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {
            "reviews": [{"text": text, "rating": 4} for text in reviews(number)],
            "chosen": f"Good {number}",
            "rejected": f"Poor {number}",
            "chosen_scores": {"coverage": 4},
            "rejected_scores": {"coverage": 1},
            "margin": number % 2,
        }
        for number in range(12)
    ]
    metrics, summary, records, products = run(jsonl(tmp_path / "own.jsonl", *rows), tmp_path / "out")
    assert (summary["adapter"], metrics["data/pairs"], metrics["data/products"]) == ("summary-pairs", 6, 12)
    assert set(dropped(tmp_path / "out").values()) == {"tie: the margin is 0"}
    assert all(record.scores_chosen == {"given.coverage": 4.0} and record.margin == 1 for record in flat(records))
    assert all(one.ratings == (4.0, 4.0, 4.0) for one in flat(products))
    columns = {"reviews": "opinions", "product": "sku", "summaries": "gold"}
    named = [{"opinions": reviews(n), "sku": f"s{n}", "gold": f"Gold {n}"} for n in range(8)]
    _, summary, _, products = run(jsonl(tmp_path / "named.jsonl", *named), tmp_path / "named", columns=columns)
    assert summary["adapter"] == "products"
    assert all(len(one.gold) == 1 for one in flat(products))
    with pytest.raises(DataError, match=r"has no column 'opinion'.*did you mean 'opinions'"):
        run(tmp_path / "named.jsonl", tmp_path / "wrong", columns={**columns, "reviews": "opinion"})


def test_rows_of_one_product_stay_together(tmp_path: Path) -> None:
    pairs = [
        {"reviews": reviews(number)[::order], "chosen": f"Good {number} {order}", "rejected": f"Bad {number} {order}"}
        for number in range(10)
        for order in (1, -1)
    ]
    metrics, _, records, products = run(jsonl(tmp_path / "a.jsonl", *pairs), tmp_path / "out")
    assert (metrics["data/pairs"], metrics["data/groups"], metrics["data/products"]) == (20, 10, 10)
    assert nothing_is_torn(records, products)
    # The same product id above other reviews, and one long review of two products: never in two splits.
    long = "This very same review was written once and stands below two products of the same shop."
    rows = [
        {"product": f"p{n}", "reviews": reviews(n + shift), "chosen": f"A {n} {shift}", "rejected": f"B {n} {shift}"}
        for n in range(10)
        for shift in (0, 20)
    ]
    rows += [{"reviews": [long, f"Short {n}."], "chosen": f"C {n}", "rejected": f"D {n}"} for n in range(2)]
    metrics, _, records, products = run(jsonl(tmp_path / "b.jsonl", *rows), tmp_path / "again")
    assert (metrics["data/products"], metrics["data/components"]) == (22, 11)
    assert len({product.id for product in flat(products)}) == 22
    where = {record.source: split for split, found in records.items() for record in found}
    assert all(where[f"b.jsonl:{2 * n + 1}"] == where[f"b.jsonl:{2 * n + 2}"] for n in range(11))


def test_given_splits(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", *(opinpref(number) for number in range(20)))
    jsonl(folder / "valid.jsonl", *(opinpref(number) for number in range(18, 26)))
    table(folder / "amazon_gold.csv", *(gold(number) for number in range(40, 44)))
    metrics, summary, records, products = run(
        folder, tmp_path / "out", fractions={"train": 0.6, "judge": 0.2, "test": 0.2}
    )
    assert summary["split"]["given"] == ["train", "validation"]
    assert {record.source for record in records["validation"]} == {f"valid.jsonl:{n}" for n in range(1, 9)}
    assert sorted(dropped(tmp_path / "out")) == ["train.jsonl:19", "train.jsonl:20"]
    assert {split: metrics[f"data/pairs_{split}"] for split in ("judge", "test")} == {"judge": 4.0, "test": 3.0}
    assert sum(bool(product.gold) for product in products["test"]) == 4
    assert nothing_is_torn(records, products)
    rows = [{**opinpref(number), "split": ("train", "test")[number % 2]} for number in range(12)]
    _, _, records, _ = run(jsonl(tmp_path / "column.jsonl", *rows), tmp_path / "column")
    assert {record.source for record in records["test"]} == {f"column.jsonl:{n}" for n in range(2, 13, 2)}


def test_a_copy_in_a_held_out_split_stays(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "train.jsonl", *(opinpref(number) for number in range(12)))
    jsonl(folder / "test.jsonl", opinpref(3), opinpref(20))
    gold_copy = {**opinpref(4), "unique-id": "again"}
    jsonl(folder / "gold.jsonl", gold_copy)
    metrics, _, records, products = run(folder, tmp_path / "out")
    assert sorted(record.source for record in records["test"]) == ["gold.jsonl:1", "test.jsonl:1", "test.jsonl:2"]
    assert sorted(dropped(tmp_path / "out")) == ["train.jsonl:4", "train.jsonl:5"]
    assert metrics["data/pairs"] == 13
    assert nothing_is_torn(records, products)


def test_split_fractions_and_the_order_of_rows(tmp_path: Path) -> None:
    rows = [opinpref(number) for number in range(60)]
    rows += [{"reviews": reviews(number), "product": f"p{number}"} for number in range(100, 140)]
    pref, more = rows[:60], rows[60:]
    found = []
    for name, turn in (("a", 1), ("b", -1)):
        folder = tmp_path / name
        folder.mkdir()
        jsonl(folder / "pref.jsonl", *pref[::turn])
        jsonl(folder / "more.jsonl", *more[::turn])
        metrics, _, records, _ = run(folder, tmp_path / f"out-{name}")
        for split, share in (("train", 0.5), ("judge", 0.2), ("test", 0.3)):
            assert abs(metrics[f"data/pairs_{split}"] - 60 * share) <= 1
            assert abs(metrics[f"data/products_{split}"] - 100 * share) <= 2
        found.append({record.id: split for split, some in records.items() for record in some})
    assert found[0] == found[1]


def test_same_data_same_bytes(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "pref.jsonl", *(opinpref(number) for number in range(20)))
    for name in ("one", "two"):
        run(path, tmp_path / name)
    assert {file.name for file in (tmp_path / "one").iterdir()} == {
        "summary.json", "dropped.jsonl",
        *(f"{kind}{split}.arrow" for kind in ("", "products-") for split in ("train", "judge", "validation", "test")),
    }  # fmt: skip
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_repeats_and_near_repeats(tmp_path: Path) -> None:
    texts = [
        "the kettle boils water fast and it looks very good on any shelf",
        "it leaks a little after one month of use",
    ]
    near = [
        {
            "reviews": [text + " indeed" * n for text in texts],
            "chosen": f"{texts[0]} and people like it{'.' * n}",
            "rejected": f"{texts[1]} and people do not like it{'!' * n}",
        }
        for n in (0, 1)
    ]
    rows = [opinpref(number) for number in range(12)]
    folder = tmp_path / "set"
    folder.mkdir()
    jsonl(folder / "near.jsonl", *near, near[0])
    jsonl(folder / "pref.jsonl", *rows, {**rows[0], "unique-id": rows[1]["unique-id"]})
    metrics, _, _, _ = run(folder, tmp_path / "kept")
    assert metrics["data/pairs"] == 14
    assert Counter(dropped(tmp_path / "kept").values()) == {"repeats an earlier pair": 2}
    metrics, _, _, products = run(folder, tmp_path / "dropped", near_duplicates="drop")
    assert metrics["data/near_duplicates"] >= 1
    assert metrics["data/pairs"] == 14 - metrics["data/near_duplicates"]
    assert len(flat(products)) == 14


def test_html_and_personal_data(tmp_path: Path) -> None:
    texts = [
        "It&#39;s <b>great</b>,<br/>write to jo@example.org",
        "Bad &amp;amp; broken. Thanks, Peter Miller",
        "Fine, on Amazon.com",
    ]
    rows = [opinpref(number) for number in range(10)] + [opinpref(20, reviews=texts)]
    metrics, summary, records, _ = run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")
    [record] = [one for one in flat(records) if one.source == "a.jsonl:11"]
    kept = reviews_of(record.prompt)
    assert kept[0] == "It's great, write to [EMAIL_1]"
    assert kept[1].startswith("Bad & broken. Thanks, [NAME_1]")
    assert kept[2] == "Fine, on Amazon.com"
    assert metrics["data/cleaned/marked_up"] == 2
    assert summary["deidentified"]["by_entity"] == {"EMAIL": 1, "NAME": 1}
    for file in (tmp_path / "out").iterdir():
        assert b"jo@example" not in file.read_bytes()
    with pytest.raises(UsageError, match="the domain ecommerce holds sensitive data"):
        run(tmp_path / "a.jsonl", tmp_path / "off", deidentify={"enabled": False})


def test_names_that_several_reviews_say_are_the_products(tmp_path: Path) -> None:
    texts = [
        "I bought this Mr. Harlowe mixer for my son. Thanks, Peter Miller",
        "The Mr. Harlowe mixer is loud. Ask Mrs. Trewin at the shop. Thanks, Peter Miller",
        "It mixes.",
    ]
    rows = [opinpref(number) for number in range(10)] + [opinpref(20, reviews=texts)]
    _, _, records, _ = run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")
    [record] = [one for one in flat(records) if one.source == "a.jsonl:11"]
    assert reviews_of(record.prompt) == (
        "I bought this Mr. Harlowe mixer for my son. Thanks, [NAME_1]",
        "The Mr. Harlowe mixer is loud. Ask Mrs. [NAME_2] at the shop. Thanks, [NAME_1]",
        "It mixes.",
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([opinpref(n) for n in range(2)], "has too few separate products for the splits: 2 products with pairs"),
        ([{"reviews": reviews(n)} for n in range(2)], "too few separate products for the splits: 2 products "),
        (
            [{"reviews": reviews(n), "chosen": "a", "rejected": "a"} for n in range(9)],
            "a.jsonl holds no preference: every pair is tied",
        ),
        (
            [{"reviews": ["one"]} for n in range(9)],
            "holds no product that can be used .the first: a.jsonl:1: has 1 review",
        ),
        ([{"question": "x", "answer": "y"}], r"a\.jsonl:1 has columns of no kind that is known \(answer, question\)"),
        ([{"reviews": reviews(1), "summary-pairs": {}}], "has no column 'preference-data'"),
        ([], "a.jsonl|no row"),
        ([{"reviews": reviews(n), "split": "north"} for n in range(9)], "column 'split' names no split"),
    ],
)
def test_data_that_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("columns", "schema"),
    [
        (["unique-id", "reviews", "summary-pairs", "preference-data"], "opinpref"),
        (["unique-id", "reviews", "summaries"], "prompt-opin-summ"),
        (["group_id", "review_text", "summary"], "opinion-summaries"),
        (["prod_id", "cat", "rev1", "rating1", "summ1"], "amazon-gold"),
        (["reviews", "chosen", "rejected"], "summary-pairs"),
        (["reviews"], "products"),
        (["asin", "reviewText", "summary", "overall"], "reviews"),
        (["product_id", "review_text", "rating"], "reviews"),
        (["prompt", "chosen", "rejected"], None),
    ],
)
def test_schema_from_columns(columns: list[str], schema: str | None) -> None:
    assert schema_of(columns, ProductColumns()) == schema


def test_settings_that_contradict_each_other() -> None:
    for changes in ({"score_least": 5.0}, {"min_reviews": 9, "max_reviews": 8}):
        with pytest.raises(ValueError, match="must"):
            EcommerceDataConfig(**changes)  # pyright: ignore[reportArgumentType]


def test_no_text_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [opinpref(n, reviews=[*reviews(n), SECRET]) for n in range(12)] + [opinpref(12, reviews=SECRET)]
    with caplog.at_level(logging.DEBUG):
        run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out", max_bad_share=0.2)
    assert "12 pairs and 12 products kept, 1 rows" in caplog.text
    assert SECRET not in caplog.text
    for name in ("summary.json", "dropped.jsonl"):
        assert SECRET not in (tmp_path / "out" / name).read_text()


def test_the_packaged_sample(tmp_path: Path) -> None:
    path = Path(str(files("domains") / "ecommerce" / "sample" / "reviews.jsonl"))
    metrics, summary, records, products = run(path, tmp_path / "out")
    assert (summary["adapter"], summary["dropped"], metrics["data/bad_rows"]) == ("products", {}, 0)
    assert (metrics["data/pairs"], metrics["data/products"], metrics["data/gold_products"]) == (144, 36, 36)
    assert all(record.metadata["flaw"] and record.metadata["category"] for record in flat(records))
    assert nothing_is_torn(records, products)


def test_real_opinpref_with_gold(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "ecommerce" / "opinpref_train.jsonl"
    metrics, summary, records, products = run(path, tmp_path / "out", gold="amazon_gold.csv")
    pairs = flat(records)
    assert (metrics["data/pairs"], metrics["data/products"], metrics["data/gold_products"]) == (800, 836, 36)
    assert (metrics["data/bad_rows"], metrics["data/left_out"]) == (0, 0)
    assert [metrics[f"data/pairs_{split}"] for split in ("train", "judge", "test")] == [400, 160, 240]
    tiers = [(record.covariates_chosen["tier"], record.covariates_rejected["tier"]) for record in pairs]
    assert sum(one == other for one, other in tiers) == 190
    cross = [one < other for one, other in tiers if one != other]
    assert sum(cross) / len(cross) == pytest.approx(0.851, abs=0.005)  # what an oracle of the tier alone reaches
    means = [sum(record.scores_chosen.values()) > sum(record.scores_rejected.values()) for record in pairs]
    assert sum(means) / len(means) == pytest.approx(0.736, abs=0.01)  # the naive mean of the seven
    assert all(set(record.scores_chosen) == {f"given.{name}" for name in FEATURES} for record in pairs)
    assert Counter(str(record.metadata["rater"]) for record in pairs)["common"] == 91
    assert sum(bool(product.gold) for product in products["test"]) == 36
    assert all(len(one.gold) == 3 and len(one.reviews) == 8 and one.ratings for one in products["test"] if one.gold)
    assert summary["cleaned"]["marked_up"] == 5
    assert max(len(reviews_of(record.prompt)) for record in pairs) == 8
    assert nothing_is_torn(records, products)
    assert not any(name in str(record.metadata) for record in pairs for name in ("swaroop", "raghava", "rupasai"))
