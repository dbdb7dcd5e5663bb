"""ROUGE by hand, over references, and of people against each other."""

import numpy as np
import pytest

from domains.ecommerce.rouge import METRICS, compared, leave_one_out, rouge, rouge_table


def test_by_hand():
    # Words: the blade cut well | the blades cuts; stems: blade, cut. Common unigrams 3, P = 3/4, R = 3/3.
    found = rouge("the blade cut well", ["the blades cuts"])
    assert found["rouge1_mean"] == pytest.approx(2 * 0.75 * 1 / 1.75)
    assert found["rouge2_mean"] == pytest.approx(2 * (2 / 3) * 1 / (5 / 3))
    assert found["rougeL_best"] == found["rougeL_mean"] == found["rouge1_mean"]


def test_mean_and_best_over_references():
    found = rouge("a sharp blade", ["a sharp blade", "nothing in common"])
    assert (found["rouge1_best"], found["rouge1_mean"]) == (1.0, 0.5)
    assert set(found) == set(METRICS)


def test_an_empty_summary_scores_nothing_and_no_reference_is_an_error():
    assert set(rouge("", ["a sharp blade"]).values()) == {0.0}
    with pytest.raises(ValueError, match="reference"):
        rouge("a", [])


def test_people_against_each_other():
    table, places = leave_one_out([["a b", "a b", "c d"], ["alone"], ["x", "x"]])
    assert places == [0, 0, 0, 2, 2]
    assert table["rouge1_mean"].tolist() == [0.5, 0.5, 0.0, 1.0, 1.0]
    assert table["rouge1_best"].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0]


def test_policies_are_compared_in_pairs_by_product():
    references = [[f"word{n} blade"] for n in range(12)]
    worse = rouge_table(["blade"] * 12, references)
    better = rouge_table([f"word{n} blade" for n in range(12)], references)
    products = [f"p{n}" for n in range(12)]
    found = compared({"base": worse, "seed-0": better}, products, "base")
    assert found["estimates"]["seed-0"]["rouge1_mean"]["value"] == 1.0
    gain = found["differences"]["seed-0"]["rouge1_mean"]
    assert gain["difference"] == pytest.approx(1 - 2 / 3)
    assert gain["p_value"] < gain["p_holm"] < 0.05
    assert "base" not in found["differences"]


def test_of_the_gold_people_agree_as_published(real_data):
    import csv

    rows = list(csv.DictReader((real_data / "ecommerce/amazon_gold.csv").open(encoding="utf-8")))
    table, _ = leave_one_out([[row[f"summ{n}"] for n in (1, 2, 3)] for row in rows])
    assert len(table["rougeL_mean"]) == 108
    # A human reference shares about a fifth of its longest subsequence with another, far more than by chance.
    crossed = rouge_table([row["summ1"] for row in rows], [[rows[at - 1]["summ2"]] for at in range(len(rows))])
    assert 0.15 < np.mean(table["rougeL_mean"]) < 0.3
    assert np.mean(crossed["rougeL_mean"]) < np.mean(table["rougeL_mean"]) - 0.03
