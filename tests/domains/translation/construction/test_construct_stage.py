"""The stage in all its modes: pairs with paths and measures, the counts, and what a user gets wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from domains.translation.construction.config import ConstructionConfig
from domains.translation.construction.stage import chosen_sources, construct, mode_of
from domains.translation.pair_files import read_pairs
from domains.translation.path_logps import check_path
from domains.translation.path_pairs import path_pairs
from domains.translation.records import SentencePair
from domains.translation.settings import SimulFormat
from domains.translation.units import split_units
from shared.errors import DataError, UsageError
from shared.recipes import load_recipe
from tests.domains.translation.construction.conftest import FORMAT, translation, word_for_word

SHORT = {"temperature": 0.7, "tokens_per_source_token": 0.3, "extra_tokens": 6}
SAMPLED = {"mode": "sample", "sampling": {"rules": ["offline", "wait-k:1"], "samples": 2, "decoding": SHORT}}
MEASURES = {"quality", "monotonicity", "key_points", "simplicity", "latency"}


def written(folder: Path) -> tuple[list[SentencePair], dict[str, Any]]:
    return read_pairs(folder / "train.arrow"), json.loads((folder / "summary.json").read_text())


def check_pairs(pairs: list[SentencePair], tokenizer: Any) -> None:
    """Every pair can be trained on by SimulDPO, and its paths fit."""
    for pair in pairs:
        source = len(split_units(pair.source_text, "word"))
        assert pair.rejected_text is not None
        for text, path in ((pair.target_text, pair.target_path), (pair.rejected_text, pair.rejected_path)):
            assert path is not None
            assert len(path) == len(split_units(text, "word"))
            check_path(path, source)
        assert (pair.target_text, pair.target_path) != (pair.rejected_text, pair.rejected_path)
    assert len({pair.id for pair in pairs}) == len(pairs)
    found, left_out = path_pairs(pairs, SimulFormat.model_validate(FORMAT), tokenizer, 400)
    assert (len(found), left_out) == (len(pairs), 0)


def test_sampled_pairs(stage_context, toy_records, simul_tokenizer):
    records = toy_records(4, rejected=False)
    context = stage_context(records, SAMPLED)
    metrics = construct(context)
    pairs, summary = written(context.out)
    assert summary["mode"] == "sample"
    assert metrics["pairs/pairs"] == len(pairs) == 4
    check_pairs(pairs, simul_tokenizer)
    for pair in pairs:
        for scores in (pair.scores_target, pair.scores_rejected):
            assert {"quality", "simplicity", "latency", "score"} <= scores.keys()
            assert all(0 <= scores[name] <= 1 for name in (*MEASURES, "score") if name in scores)
        assert pair.scores_target["score"] > pair.scores_rejected["score"]
        assert pair.metadata["margin"] == pytest.approx(pair.scores_target["score"] - pair.scores_rejected["score"])
    assert pairs[0].weight == 2.0
    assert summary["on_policy"]["rejected"] == metrics["pairs/on_policy_rejected"] == 1.0
    for name in ("quality", "simplicity", "latency"):
        one = summary["measures"][name]
        assert one["chosen"] == pytest.approx(sum(pair.scores_target[name] for pair in pairs) / 4)
        assert metrics[f"pairs/{name}_rejected"] == pytest.approx(sum(pair.scores_rejected[name] for pair in pairs) / 4)
    assert summary["counts"]["sources"] == 4
    assert sum(summary["origins"]["rejected"].values()) == 4


def test_the_same_seed_gives_the_same_pairs(stage_context, toy_records):
    records = toy_records(3, rejected=False)
    contexts = [stage_context(records, SAMPLED, seed) for seed in (1, 1, 2)]
    for context in contexts:
        construct(context)
    first, second, third = (read_pairs(context.out / "train.arrow") for context in contexts)
    assert first == second
    assert first != third


def test_weights_decide_what_is_preferred(stage_context, toy_records):
    records = toy_records(4, rejected=False)
    shown = {}
    for name in ("quality", "latency"):
        weights = {one: float(one == name) for one in MEASURES}
        context = stage_context(records, {**SAMPLED, "weights": weights})
        construct(context)
        shown[name] = written(context.out)[1]
    assert shown["quality"]["origins"]["chosen"] == {"target": 4}  # nothing is nearer to the reference than itself
    assert shown["latency"]["measures"]["latency"]["chosen_higher"] == 1.0
    by_quality, by_latency = (shown[name]["measures"]["latency"] for name in ("quality", "latency"))
    assert by_latency["chosen"] - by_latency["rejected"] > by_quality["chosen"] - by_quality["rejected"]


def test_pairs_of_the_policys_own_writing_alone(stage_context, toy_records, simul_tokenizer):
    context = stage_context(toy_records(4), {**SAMPLED, "pairing": {"given": "none"}})
    metrics = construct(context)
    assert metrics["pairs/on_policy_chosen"] == metrics["pairs/on_policy_rejected"] == 1.0
    check_pairs(written(context.out)[0], simul_tokenizer)


def test_given_pairs_keep_their_paths_or_get_them_from_alignment(stage_context, toy_records, simul_tokenizer):
    with_paths, without = toy_records(2, paths=True), toy_records(5)[2:]
    lone = toy_records(6, rejected=False)[5:]
    context = stage_context([*with_paths, *without, *lone], {"mode": "given"}, policy=False)
    metrics = construct(context)
    pairs, summary = written(context.out)
    assert metrics["pairs/pairs"] == 5
    assert summary["no_pair"] == {"no_rejected": 1}
    check_pairs(pairs, simul_tokenizer)
    for record, pair in zip(with_paths, pairs, strict=False):
        assert (pair.target_path, pair.rejected_path) == (record.target_path, record.rejected_path)
        assert (pair.target_text, pair.rejected_text) == (record.target_text, record.rejected_text)
    assert "quality" not in summary["measures"]
    assert summary["on_policy"] == {"chosen": 0.0, "rejected": 0.0, "both": 0.0}


def test_given_pairs_get_paths_from_the_policys_agreement(stage_context, toy_records, simul_tokenizer):
    context = stage_context(toy_records(2), {"mode": "given", "paths": "agreement"})
    construct(context)
    pairs, _ = written(context.out)
    check_pairs(pairs, simul_tokenizer)
    assert len(pairs) == 2


def test_auto_takes_what_the_data_have(toy_records):
    config = ConstructionConfig()
    assert mode_of(config, toy_records(2)) == "given"
    assert mode_of(config, toy_records(2, rejected=False)) == "sample"
    assert mode_of(ConstructionConfig(mode="sample"), toy_records(2)) == "sample"


@pytest.mark.parametrize(("against", "other"), [("target", "target"), ("rejected", "rejected"), ("policy", "wait-k:1")])
def test_an_endpoint_writes_what_is_chosen(
    server, endpoint, stage_context, toy_records, simul_tokenizer, against, other
):
    server.script = lambda number, body: translation(word_for_word(body) + " indeed")
    construction = {
        "mode": "endpoint",
        "sampling": {"rules": ["wait-k:1"], "decoding": SHORT},
        "writer": {"endpoint": endpoint().model_dump(), "against": against},
    }
    context = stage_context(toy_records(4), construction)
    metrics = construct(context)
    pairs, summary = written(context.out)
    assert metrics["pairs/pairs"] == 4
    assert metrics["pairs/requests"] == 4
    check_pairs(pairs, simul_tokenizer)
    assert all(pair.target_text.endswith(" indeed") for pair in pairs)
    assert summary["origins"] == {"chosen": {"written:combined": 4}, "rejected": {other: 4}}
    assert ("quality" in summary["measures"]) == (against != "target")
    assert summary["writer"]["used"] == 4


def test_renderings_that_repeat_the_target_or_each_other_give_no_pair(
    server, endpoint, stage_context, toy_records, simul_tokenizer
):
    records = toy_records(3)

    def script(number, body):
        text = word_for_word(body)
        return translation(text + ("" if text.lower() == records[0].target_text else " indeed"))

    server.script = script
    writer = {"endpoint": endpoint().model_dump(), "prompts": ["quality", "simplicity"]}
    context = stage_context(records, {"mode": "endpoint", "writer": writer}, policy=False)
    metrics = construct(context)
    assert metrics["pairs/pairs"] == 2  # both prompts gave the same
    assert metrics["pairs/no_pair_same_text"] == 1
    check_pairs(written(context.out)[0], simul_tokenizer)


def test_an_endpoint_judges_the_given_renderings(server, endpoint, says, stage_context, toy_records, simul_tokenizer):
    """It prefers the reversed rendering, whatever was measured."""
    records = toy_records(3)
    reverse = {record.rejected_text for record in records}

    def script(number, body):
        text = body["messages"][1]["content"]
        first = text.split("-first>\n")[1].split("\n</")[0]
        return says.verdict("first" if first in reverse else "second")

    server.script = script
    construction = {
        "mode": "endpoint",
        "sampling": {"rules": []},
        "weights": {"latency": 0},
        "writer": {"task": "judge", "endpoint": endpoint().model_dump()},
    }
    context = stage_context(records, construction, policy=False)
    metrics = construct(context)
    pairs, summary = written(context.out)
    check_pairs(pairs, simul_tokenizer)
    assert [pair.target_text for pair in pairs] == [record.rejected_text for record in records]
    assert summary["margin"] == 1.0
    assert metrics["pairs/requests"] == 24
    assert set(summary["judge"]) == MEASURES - {"latency"}


def test_sources_are_chosen_by_their_id_and_keep_their_order(toy_records):
    records = toy_records(9)
    some = chosen_sources(records, 4)
    assert len(some) == 4
    assert some == [record for record in records if record in some]
    assert chosen_sources(list(reversed(records)), 4) == list(reversed(some))
    assert all(one in chosen_sources(records, 6) for one in some)
    assert chosen_sources(records, None) == records


@pytest.mark.parametrize(
    ("construction", "rejected", "policy", "error", "said"),
    [
        ({"mode": "given"}, False, False, DataError, "no training pair has a rejected rendering"),
        (SAMPLED, False, False, UsageError, "mode sample needs the supervised policy"),
        ({"sampling": {"rules": []}}, False, True, UsageError, "name read rules"),
        ({"mode": "given", "require_pairs": 9}, True, False, DataError, "only 3 preference pairs came of 3 sources"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(
    stage_context, toy_records, construction, rejected, policy, error, said
):
    with pytest.raises(error, match=said) as found:
        construct(stage_context(toy_records(3, rejected=rejected), construction, policy=policy))
    assert "\n" not in str(found.value)


def test_no_training_pair_is_one_sentence(stage_context):
    with pytest.raises(DataError, match="no training pair is left"):
        construct(stage_context([], {}, policy=False))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode: endpoint", "mode endpoint needs writer.endpoint.base_url"),
        ("weights: {quality: 0, monotonicity: 0, key_points: 0, simplicity: 0, latency: 0}", "weight"),
        ("mode: sample\nsampling: {rules: []}", "name at least one read rule"),
        ("samplng: {}", "sampling"),
    ],
)
def test_recipes_that_cannot_be_meant_are_refused(tmp_path, text, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said) as found:
        load_recipe(ConstructionConfig, path)
    assert "\n" not in str(found.value)
