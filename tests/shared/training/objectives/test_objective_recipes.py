"""How recipes name objectives, what an objective asks of records, and the prompts that some of them bring."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from shared.errors import DataError, UsageError
from shared.recipes import known_keys, load_recipe, to_values
from shared.records import Message, PreferenceRecord, Votes
from shared.training.objectives import LossSpec, PairTerms, build_objective
from shared.training.objectives.config import ELSEWHERE, KNOWN, Sigmoid
from shared.training.objectives.context import contrasting_prompts
from shared.training.objectives.rationale import rationale_conversation
from tests.shared.training.objectives.term_batches import as_terms, random_batch


class AlignSection(BaseModel):
    model_config = ConfigDict(extra="forbid")
    beta: float | None = None
    loss: LossSpec = (Sigmoid(),)


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    align: AlignSection = AlignSection()


def read(tmp_path: Path, text: str, *overrides: str) -> AlignSection:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return load_recipe(Recipe, path, overrides).align


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{}", "sigmoid"),
        ("align: {loss: sigmoid}", "sigmoid"),
        ("align: {loss: {name: simpo, gamma: 1.4}}", "simpo"),
        ("align: {loss: [{name: sigmoid}, {name: nll, weight: 0.2}]}", "sigmoid + 0.2 nll"),
        ("align: {loss: [sigmoid, context]}", "sigmoid + context"),
    ],
)
def test_a_name_a_mapping_or_a_list(tmp_path: Path, text: str, name: str) -> None:
    section = read(tmp_path, text)
    assert build_objective(section.loss, section.beta).name == name
    again = AlignSection.model_validate(section.model_dump(mode="json"))
    assert again == section


def test_overrides(tmp_path: Path) -> None:
    assert build_objective(read(tmp_path, "align: {loss: sigmoid}", "align.loss=ipo").loss).name == "ipo"
    by_key = read(tmp_path, "{}", "align.loss.name=simpo", "align.loss.gamma=1.5")
    in_one = read(tmp_path, "align: {loss: sigmoid}", "align.loss={name: simpo, gamma: 1.5}")
    assert by_key == in_one
    assert to_values(in_one)["loss"] == [{"name": "simpo", "weight": 1.0, "gamma": 1.5, "label_smoothing": 0.0}]


def test_the_keys_of_losses_are_known_keys() -> None:
    assert {"align.loss.name", "align.loss.weight", "align.loss.gamma", "align.loss.ld_alpha"} <= set(
        known_keys(Recipe)
    )


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("align.loss=simppo", "unknown loss 'simppo'.*nearest known one is 'simpo'"),
        ("align.loss=sft", "nearest known one is 'nll'"),
        ("align.loss=LD-DPO", "nearest known one is 'ld_dpo'"),
        ("align.loss={name: simpo, gama: 1}", "simpo has no parameter 'gama': the nearest known one is 'gamma'"),
        ("align.loss={name: simpo, gamma: -1}", "align.loss.0.simpo.gamma.*greater than or equal to 0"),
        ("align.loss={name: cdpo, label_smoothing: 0.5}", "less than 0.5"),
        ("align.loss={name: nll, weight: 0}", "greater than 0"),
        ("align.loss={name: odpo, alpha: .inf}", "finite"),
        ("align.loss.gamma=1", "needs its name"),
        ("align.loss={name: simpo, beta: 2}", "set align.beta"),
        ("align.loss=[]", "name at least one loss"),
        ("align.loss=3", "a name or a mapping"),
        ("align.loss=[nll, nll]", "nll is listed twice"),
        ("align.loss=[kto, nll]", "kto learns from single responses"),
    ],
)
def test_mistakes_say_what_to_write(tmp_path: Path, override: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read(tmp_path, "{}", override)
    assert "align.loss" in str(caught.value)


def test_mistakes_of_a_caller() -> None:
    with pytest.raises(UsageError, match="nearest known one is 'sigmoid'"):
        build_objective("sigmod")
    with pytest.raises(UsageError, match=r"align\.beta is 0"):
        build_objective("sigmoid", 0.0)


def test_hints_name_losses_that_exist() -> None:
    assert set(ELSEWHERE.values()) <= set(KNOWN)
    assert not set(ELSEWHERE) & set(KNOWN)


@pytest.mark.parametrize(
    ("loss", "needs"),
    [
        ("sigmoid", {"needs_reference"}),
        ("simpo", set()),
        ("orpo", set()),
        ("nll", set()),
        (["nll", "rationale"], {"needs_rationale"}),
        ("ld_dpo", {"needs_reference", "needs_common_prefix"}),
        ("odpo", {"needs_reference", "needs_margin"}),
        ("soft_labels", {"needs_reference", "needs_votes"}),
        (["simpo", "context"], {"needs_reference", "needs_context"}),
        ("rationale_dpo", {"needs_reference", "needs_rationale"}),
        ("kto", {"needs_reference", "unpaired"}),
    ],
    ids=lambda value: None if isinstance(value, set) else str(value),
)
def test_what_the_trainer_must_bring(loss: Any, needs: set[str]) -> None:
    objective = build_objective(loss)
    asked = {name for name in dir(objective) if name.startswith("needs_") and getattr(objective, name)}
    assert asked | ({"unpaired"} if objective.unpaired else set()) == needs
    assert objective.reference_free == ("needs_reference" not in needs)


def test_reference_free_losses_run_on_the_policy_alone() -> None:
    batch = random_batch(0)
    policy_only = {name: batch[name] for name in ("chosen", "rejected", "chosen_tokens", "rejected_tokens")}
    for loss in ("simpo", "orpo", "nll"):
        assert build_objective(loss)(as_terms(policy_only))[0].isfinite().all()


def test_a_trainer_that_forgets_a_tensor_is_told() -> None:
    one = torch.zeros(1)
    with pytest.raises(ValueError, match=r"PairTerms\.ref_chosen"):
        build_objective("sigmoid")(PairTerms(one, one))
    with pytest.raises(ValueError, match="kto is not one of PairTerms"):
        build_objective("kto")(PairTerms(one, one))


def test_beta_is_the_losses_own_where_the_recipe_names_none(caplog: pytest.LogCaptureFixture) -> None:
    assert build_objective(["sigmoid", "simpo"]).betas == (0.1, 2.0)
    assert build_objective(["sigmoid", "simpo"], 1.0).betas == (1.0, 1.0)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        build_objective("simpo", 0.1)
    assert "align.beta=0.1 with the loss simpo" in caplog.text


RECORD = PreferenceRecord(
    id="p1",
    group_id="g",
    source="pairs.csv:7",
    prompt=(Message("user", "Can I sleep?"),),
    chosen="yes",
    rejected="no",
    margin=3.0,
    weight=0.5,
    votes=Votes(3, 1),
    context="It is noon.",
    rationale="It is kind.",
)


@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        ("sigmoid", {"weight": 0.5}),
        ("odpo", {"weight": 0.5, "margin": 3.0}),
        ("soft_labels", {"weight": 0.5, "soft_label": 4 / 6}),
        ({"name": "soft_labels", "prior": 0}, {"weight": 0.5, "soft_label": 0.75}),
        (["odpo", "soft_labels"], {"weight": 0.5, "margin": 3.0, "soft_label": 4 / 6}),
        ("rationale_dpo", {"weight": 0.5}),
        (["sigmoid", "context"], {"weight": 0.5}),
    ],
    ids=str,
)
def test_columns_of_a_record(loss: Any, columns: dict[str, float]) -> None:
    objective = build_objective(loss)
    assert objective.columns_of([RECORD, RECORD]) == [pytest.approx(columns)] * 2


@pytest.mark.parametrize(
    ("loss", "change", "says"),
    [
        ("odpo", {"margin": None}, "no margin, which the loss odpo.*: add a margin"),
        ("odpo", {"margin": float("nan")}, "no margin"),
        ("odpo", {"margin": 0.0}, "margin 0, whose logarithm does not exist.*scale: identity"),
        ("soft_labels", {"votes": None}, "no votes.*: add the raters' votes"),
        ("soft_labels", {"votes": Votes(2, -1)}, "negative number of votes"),
        ({"name": "soft_labels", "prior": 0}, {"votes": Votes(0, 0)}, "votes of nobody.*prior above 0"),
        ("rationale_dpo", {"rationale": None}, "no rationale.*: add a text"),
        ("rationale_dpo", {"rationale": "  "}, "no rationale"),
        (["sigmoid", "context"], {"context": ""}, "no context, which the loss context"),
        (["sigmoid", "context"], {"prompt": (Message("system", "x"),)}, "no user turn"),
        ("sigmoid", {"weight": -1.0}, "the weight -1, which a loss cannot use: give it one"),
    ],
    ids=str,
)
def test_a_record_that_lacks_something(loss: Any, change: dict[str, Any], says: str) -> None:
    objective = build_objective(loss)
    lacking = replace(RECORD, id="p2", source="pairs.csv:8", **change)
    with pytest.raises(DataError, match=r"^pairs\.csv:8: the record p2 has ") as caught:
        objective.columns_of([RECORD, lacking, lacking])
    assert "2 of 3 records" in str(caught.value)
    with pytest.raises(DataError, match=says):
        objective.columns_of([lacking])


def test_a_margin_of_zero_serves_the_identity() -> None:
    objective = build_objective({"name": "odpo", "scale": "identity"})
    assert objective.columns_of([replace(RECORD, margin=0.0)])[0]["margin"] == 0.0


def test_votes_weigh_pairs_by_their_raters() -> None:
    many, few = replace(RECORD, votes=Votes(4, 1, 1)), replace(RECORD, votes=Votes(1, 1))
    objective = build_objective("sigmoid", pair_weights="votes")
    assert [row["weight"] for row in objective.columns_of([many, few])] == [1.5, 0.5]
    assert build_objective("sigmoid", pair_weights="none").columns_of([many]) == [{"weight": 1.0}]
    with pytest.raises(DataError, match=r"pairs\.csv:7.*no votes.*set align\.pair_weights=record"):
        objective.columns_of([many, replace(RECORD, votes=None)])


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12))
def test_soft_labels_weighted_by_votes_are_the_likelihood_of_single_votes(counts: list[tuple[int, int, int]]) -> None:
    """Without a prior the weighted loss is the mean log-loss a vote times the mean number of votes a pair."""
    records = [replace(RECORD, votes=Votes(*one)) for one in counts]
    objective = build_objective({"name": "soft_labels", "prior": 0}, 0.5, pair_weights="votes")
    columns = {
        name: torch.tensor([row[name] for row in objective.columns_of(records)], dtype=torch.float64)
        for name in ("weight", "soft_label")
    }
    gap = torch.linspace(-3, 3, len(counts), dtype=torch.float64)
    zero = torch.zeros_like(gap)
    losses, _ = objective(PairTerms(gap, zero, ref_chosen=zero, ref_rejected=zero, **columns))
    right = torch.nn.functional.logsigmoid(0.5 * gap)
    wrong = torch.nn.functional.logsigmoid(-0.5 * gap)
    single = sum(
        -(c + t / 2) * a - (r + t / 2) * b
        for (c, r, t), a, b in zip(counts, right.tolist(), wrong.tolist(), strict=True)
    )
    votes = sum(map(sum, counts))
    assert losses.mean().item() == pytest.approx(single / votes, rel=1e-9)


def test_rationale_conversation_states_the_preferred_side() -> None:
    sides = set()
    for number in range(40):
        record = replace(RECORD, id=f"r{number}", chosen="CHOSEN", rejected="REJECTED")
        (message,) = rationale_conversation(record)
        assert message.role == "user"
        first = message.content.index("CHOSEN") < message.content.index("REJECTED")
        assert f"Assistant {1 if first else 2} is preferred" in message.content
        assert "Can I sleep?" in message.content
        assert rationale_conversation(record) == (message,)
        sides.add(first)
    assert sides == {True, False}


def test_contrasting_prompts_differ_by_the_context_only() -> None:
    turns = (Message("user", "Hello"), Message("assistant", "Hi"), Message("user", "Can I sleep?"))
    told, untold = contrasting_prompts(replace(RECORD, prompt=turns))
    assert untold == turns
    assert told == (*turns[:2], Message("user", "It is noon.\n\nCan I sleep?"))
    with pytest.raises(ValueError, match=r"pairs\.csv:7"):
        contrasting_prompts(replace(RECORD, context=None))


def test_reading_a_recipe_does_not_import_torch() -> None:
    code = (
        "import sys; from shared.training.objectives import build_objective; build_objective('sigmoid', 0.1); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[4])
    assert done.returncode == 0, done.stderr
