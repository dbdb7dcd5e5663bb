"""Records as trees: roles, prompts, what is cut, mismatched responses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataError
from shared.models import load_tokenizer
from shared.prompts import PromptFormat, tokenize_completion, tokenize_pair, tokenize_prompt
from shared.records import Message, PreferenceRecord
from shared.training.completion_roles import Parts
from shared.training.objectives.context import contrasting_prompts
from shared.training.objectives.objective import build_objective
from shared.training.objectives.rationale import rationale_conversation
from shared.training.pair_examples import _mismatched, pair_trees
from tests.shared.training.policy_jobs import rich

FORMAT = PromptFormat()


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


@pytest.mark.parametrize("max_length", [24, 60, 256])
def test_a_pair_is_one_tree_with_the_tokens_of_tokenize_pair(
    max_length: int, tokenizer: Any, toy_pairs: list[PreferenceRecord]
) -> None:
    for record, one in zip(toy_pairs, pair_trees(toy_pairs, FORMAT, tokenizer, max_length), strict=True):
        prompt, chosen, rejected, cut = tokenize_pair(FORMAT, record, tokenizer, max_length)
        (tree,) = one.trees
        assert (list(tree.prompt), *map(list, tree.completions)) == (prompt, chosen, rejected)
        assert (one.id, one.truncated) == (record.id, cut)
        assert one.lengths == [len(chosen), len(rejected)]


def test_every_role_has_its_prompt_and_its_text(tokenizer: Any, toy_pairs: list[PreferenceRecord]) -> None:
    records = rich(toy_pairs[:4])
    parts = Parts(rationale=True, contrast=True, mismatched=True)
    assert parts.roles == (
        "chosen", "rejected", "rationale", "contrast_chosen", "contrast_rejected", "mismatched"
    )  # fmt: skip
    for number, (record, one) in enumerate(
        zip(records, pair_trees(records, FORMAT, tokenizer, 256, parts), strict=True)
    ):
        pair, why, contrast, mismatched = one.trees
        within, without = contrasting_prompts(record)
        assert len(one.lengths) == len(parts.roles)
        assert not one.truncated

        def ids(text: str) -> list[int]:
            return tokenize_completion(FORMAT, text, tokenizer)

        both = [ids(record.chosen), ids(record.rejected)]
        assert pair.prompt == tokenize_prompt(FORMAT, within, tokenizer)
        assert list(pair.completions) == list(contrast.completions) == both
        assert contrast.prompt == tokenize_prompt(FORMAT, without, tokenizer)
        assert pair.prompt != contrast.prompt
        assert why.prompt == tokenize_prompt(FORMAT, rationale_conversation(record), tokenizer)
        assert list(why.completions) == [ids(record.rationale or "")]
        following = records[(number + 1) % 4]
        assert mismatched.prompt == tokenize_prompt(FORMAT, record.prompt, tokenizer)
        assert list(mismatched.completions) == [ids(following.rejected if number % 2 else following.chosen)]


def test_the_question_why_has_room_for_both_responses(tokenizer: Any, toy_pairs: list[PreferenceRecord]) -> None:
    records = rich(toy_pairs[:1])
    whole = pair_trees(records, FORMAT, tokenizer, 1000, Parts(rationale=True))[0]
    length = max(len(whole.trees[0].prompt) + n for n in whole.lengths[:2])
    question = len(whole.trees[1].prompt) + whole.lengths[2]
    assert question > length
    cut = pair_trees(records, FORMAT, tokenizer, -(-question // 2), Parts(rationale=True))[0]
    assert cut.trees[1] == whole.trees[1]


def test_what_is_cut_is_marked_whichever_tree_it_is_in(tokenizer: Any, toy_pairs: list[PreferenceRecord]) -> None:
    record = replace(toy_pairs[0], rationale="because " * 200)
    parts = Parts(rationale=True)
    assert [one.truncated for one in pair_trees([record], FORMAT, tokenizer, 256)] == [False]
    (one,) = pair_trees([record], FORMAT, tokenizer, 256, parts)
    assert one.truncated
    assert len(one.trees[1].prompt) + one.lengths[2] == 512


@given(prompts=st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_mismatched_responses_answer_another_prompt(prompts: list[int]) -> None:
    records = [
        PreferenceRecord(str(n), str(n), "t:1", (Message("user", str(prompt)),), f"chosen {n}", f"rejected {n}")
        for n, prompt in enumerate(prompts)
    ]
    if len(set(prompts)) < 2:
        with pytest.raises(DataError, match="all records have one prompt"):
            _mismatched(records)
        return
    for number, text in enumerate(_mismatched(records)):
        side, _, of = text.partition(" ")
        assert side == ("chosen" if number % 2 == 0 else "rejected")
        assert prompts[int(of)] != prompts[number]
        # It is the next such record, going round.
        for between in range(1, (int(of) - number) % len(prompts)):
            assert prompts[(number + between) % len(prompts)] == prompts[number]


@pytest.mark.parametrize(
    ("loss", "parts"),
    [
        ("sigmoid", Parts()),
        ("simpo", Parts()),
        ("rationale_dpo", Parts(rationale=True)),
        (["sigmoid", "rationale", "context"], Parts(rationale=True, contrast=True)),
        ("kto", Parts(mismatched=True)),
    ],
)
def test_objectives_get_the_trees_they_ask_for(loss: Any, parts: Parts) -> None:
    assert Parts.of(build_objective(loss)) == parts
