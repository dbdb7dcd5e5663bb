"""The stage that measures all policies' summaries, on artifacts made by hand; the one that writes them."""

import json

import numpy as np
import pytest

from domains.ecommerce import summary_metrics
from domains.ecommerce.products import Product, write_products
from domains.ecommerce.summary_blocks import summary_sections
from domains.ecommerce.summary_metrics import (
    held_out_products,
    measure_summaries,
    measured_items,
    other_products,
    summary_report,
    write_summaries,
)
from domains.ecommerce.summary_wins import summary_wins
from shared.errors import DataError
from shared.evaluation.measured import Measured
from shared.gate import GateConfig, GuardConfig, decide
from shared.records import Message, PreferenceRecord
from shared.report.blocks import ReportData, Section
from shared.report.page import render_report
from shared.stages import StageContext
from tests.domains.ecommerce.word_vectors import word_vectors

THINGS = ("knife", "fan", "lamp", "robe", "kettle", "poster", "shoe", "mug")


def products(gold=True):
    return [
        Product(
            id=thing,
            source=f"gold.csv:{row}",
            reviews=(f"The {thing} is sturdy. I like the {thing} colour.", f"My {thing} broke after {row} weeks."),
            category="home" if row % 2 else "garden",
            summaries=(f"The {thing} is sturdy but broke.", f"A {thing} that broke.") if gold else (),
        )
        for row, thing in enumerate(THINGS, start=2)
    ]


FAITHFUL = {thing: f"The {thing} is sturdy. My {thing} broke after weeks." for thing in THINGS}
INVENTED = {thing: "Everybody praises fit, price, colour, zipper, lining, elves and gnomes." for thing in THINGS}


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setattr(summary_metrics, "KeptVectors", lambda: word_vectors)
    data = tmp_path / "data"
    data.mkdir()
    write_products(data / "products-test.arrow", products())
    inputs = {"data": data}
    for name, texts in (("base", FAITHFUL), ("seed-0", INVENTED)):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"product": thing, "summary": text} for thing, text in texts.items()]
        (folder / "summaries.json").write_text(json.dumps(rows))
        inputs[f"summaries-{name}"] = folder
    out = tmp_path / "out"
    out.mkdir()
    config = {"policies": ["base", "seed-0"], "threshold": 0.6, "factors": [], "costs": [], "examples": 2}
    return StageContext(config, inputs, {}, {}, out, tmp_path / "work")


def test_a_policy_that_invents_is_caught(context):
    metrics = measure_summaries(context)
    assert metrics["eval/base/faithfulness"] == 1.0
    assert metrics["eval/faithfulness"] == 0.0
    assert metrics["eval/rougeL_best"] < metrics["eval/base/rougeL_best"]
    report = json.loads((context.out / "summaries.json").read_text())
    assert report["faithfulness"]["differences"]["seed-0"]["faithfulness"]["p_holm"] < 0.05
    assert report["hacking"]["seed-0"]["list_items"]["level"] == "warning"
    assert report["rouge"]["human"]["rougeL_mean"]["n"] == 16
    assert report["support"]["at_threshold"]["negatives"] > 0
    examples = json.loads((context.out / "examples.json").read_text())
    aspects = Section.model_validate_json((context.out / "aspects.json").read_text())
    assert aspects.title.startswith("What customers say of ")
    assert aspects.topics or aspects.notices
    assert len(examples) == 2
    assert not examples[0]["summaries"]["seed-0"]["faithfulness"]["spans"][0]["supported"]


def test_the_report_shows_every_part_and_marks_what_is_unsupported(context):
    measure_summaries(context)
    report, examples = (json.loads((context.out / f"{name}.json").read_text()) for name in ("summaries", "examples"))
    sections = summary_sections(report, examples, {"base": "base", "seed-0": "aligned"})
    assert [one.title for one in sections] == ["Summaries", "Reward hacking", "Examples with their support"]
    page = render_report(ReportData(title="t", domain="ecommerce", started="2026", sections=sections))
    assert "ROUGE-L, best of references" in page
    assert "aligned: items of comma lists and bullets" in page
    assert '<mark class="warning">Everybody praises fit' in page
    assert "People" in page


def test_seeds_are_taken_together():
    texts = {name: list(found.values()) for name, found in (("base", FAITHFUL), ("seed-0", INVENTED))}
    found, _, _ = summary_report(products(), {**texts, "seed-1": texts["seed-0"]}, word_vectors, 0.6)
    assert found["faithfulness"]["over_seeds"]["faithfulness"]["gain"]["value"] == -1.0
    assert found["faithfulness"]["over_seeds"]["faithfulness"]["gain_t_over_seeds"]["n"] == 2


def test_the_gate_reads_faithfulness_as_a_guard(context):
    measure_summaries(context)
    rng = np.random.default_rng(0)
    ids = [str(n) for n in range(len(THINGS))]
    primary = {"base": rng.uniform(0, 0.1, len(THINGS)), "seed-0": rng.uniform(1, 1.1, len(THINGS))}

    def measured(name):
        from shared.evaluation.measured import ItemValues

        items = {"eval/faithfulness": measured_items(context.out, "eval/faithfulness", [name])}
        return Measured(name, {**items, "eval/gain": ItemValues.of(ids, ids, primary[name])})

    gate = GateConfig(primary="eval/gain", guards=(GuardConfig(metric="eval/faithfulness", tolerance=0.05),))
    assert not decide(measured("seed-0"), measured("base"), gate).promoted
    without = GateConfig(primary="eval/gain")
    assert decide(measured("seed-0"), measured("base"), without).promoted


def test_policies_must_have_summarised_the_same_products(context):
    rows = [{"product": "knife", "summary": "x"}]
    (context.inputs["summaries-seed-0"] / "summaries.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="other products"):
        measure_summaries(context)


def test_without_references_there_is_no_rouge_and_empty_summaries_count():
    found, items, spans = summary_report(
        products(gold=False), {"base": list(FAITHFUL.values()), "empty": [""] * 8}, word_vectors, 0.6
    )
    assert found["rouge"] is None
    assert found["faithfulness"]["estimates"]["empty"]["faithfulness"]["value"] == 0.0
    assert "eval/rougeL_best" not in items
    assert spans["empty"][0].statements == 0


def test_factor_scores_are_compared():
    scores = {
        "base": [{"support": 0.1 * n} for n in range(8)],
        "seed-0": [{"support": 0.1 * n + 0.5} for n in range(8)],
    }
    found, _, _ = summary_report(
        products(), {"base": list(FAITHFUL.values()), "seed-0": list(INVENTED.values())}, word_vectors, 0.6, scores
    )
    assert found["features"]["seed-0"]["support"]["difference"]["difference"] == pytest.approx(0.5)


def test_products_with_references_come_first():
    mixed = [*products(gold=False)[:4], *products()[4:]]
    chosen = held_out_products(mixed, 5)
    assert [bool(one.gold) for one in chosen] == [True] * 4 + [False]
    with pytest.raises(DataError, match="no product"):
        held_out_products([], 5)


def test_negatives_are_of_the_same_kind():
    own = products()
    assert {own[at].category for at in other_products(own, 0)} == {own[0].category}
    assert other_products(own[:1], 0) == []


class _LongerIsBetter:
    def compare(self, prompts, a, b):
        return np.array([float(len(x) - len(y)) for x, y in zip(a, b, strict=True)])

    def compare_records(self, records):
        return self.compare(None, [one.chosen for one in records], [one.rejected for one in records])

    def rank(self, prompt, responses):
        raise AssertionError

    def score(self, prompts, responses):
        return np.array([float(len(text)) for text in responses])

    def score_records(self, records, side):
        return self.score(None, [getattr(one, side) for one in records])


def test_win_rates_stand_beside_the_judges_own_accuracy():
    prompt = (Message("user", "Reviews:\n- a"),)
    pairs = [PreferenceRecord(f"{n}", f"g{n}", "x:1", prompt, "long " * (n % 5 + 2), "short") for n in range(20)]
    names = [f"p{n}" for n in range(6)]
    found = summary_wins(
        _LongerIsBetter(), pairs, pairs, [prompt] * 6, names, {"base": ["a b"] * 6, "seed-0": ["a b c"] * 6}
    )
    assert found["judge"]["accuracy"]["value"] == 1.0
    assert found["wins"]["seed-0"]["win_rate"]["value"] == 1.0
    assert found["wins"]["seed-0"]["evidence"]


@pytest.mark.slow
def test_a_tiny_policy_summarises(tiny_model, tmp_path):
    (tmp_path / "out").mkdir()
    write_products(tmp_path / "products-test.arrow", products()[:2])
    config = {
        "products": 2,
        "sampling": {"max_new_tokens": 4},
        "prompt": {},
        "summary_prompt": {},
        "precision": "float32",
    }
    context = StageContext(config, {"data": tmp_path}, {}, {"base": tiny_model}, tmp_path / "out", tmp_path / "work")
    metrics = write_summaries(context)
    assert metrics["summaries/products"] == 2
    rows = json.loads((tmp_path / "out" / "summaries.json").read_text())
    assert {row["product"] for row in rows} == {"knife", "fan"}
