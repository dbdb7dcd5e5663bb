"""Prompt formats: what is trained on is what is sampled, and nothing is cut without being counted."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.models import load_tokenizer, resolve
from shared.prompts import (
    PromptFormat,
    fit,
    render_prompt,
    stop_ids,
    tokenize_completion,
    tokenize_for_encoder,
    tokenize_pair,
    tokenize_prompt,
)
from shared.records import Message, PreferenceRecord

CHAT = PromptFormat()
PLAIN = PromptFormat(style="plain", system="Be kind.")
QUESTION = (Message("user", "How do I sleep better?"),)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def record(chosen: str = "Rest.", rejected: str = "Do not.") -> PreferenceRecord:
    return PreferenceRecord("id", "group", "a.csv:2", QUESTION, chosen, rejected)


def test_chat_prompt_and_completion_are_the_template_of_the_whole_conversation(tokenizer: Any) -> None:
    prompt = tokenize_prompt(CHAT, QUESTION, tokenizer)
    completion = tokenize_completion(CHAT, "Go for a walk.", tokenizer)
    turns = [{"role": "user", "content": QUESTION[0].content}, {"role": "assistant", "content": "Go for a walk."}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert tokenizer.decode(prompt + completion) + "\n" == whole
    assert completion[-1] == tokenizer.eos_token_id
    assert stop_ids(CHAT, tokenizer) == [tokenizer.eos_token_id]


@pytest.mark.slow
def test_smollm2_ids_are_those_of_its_own_template(packaged_cache: Path) -> None:
    tokenizer: Any = load_tokenizer(resolve("smollm2-135m-instruct", packaged_cache).path)
    answer = "I'm fine — thanks!\n\nAnd you? 1,000 times."
    ids = tokenize_prompt(CHAT, QUESTION, tokenizer) + tokenize_completion(CHAT, answer, tokenizer)
    turns = [{"role": "user", "content": QUESTION[0].content}, {"role": "assistant", "content": answer}]
    whole = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
    assert whole[: len(ids)] == ids
    assert tokenizer.decode(whole[len(ids) :]) == "\n"  # the template's newline after the turn's end
    assert tokenizer.decode(ids[-1:]) == "<|im_end|>"


def test_plain_style_is_stated_text(tokenizer: Any) -> None:
    assert render_prompt(PLAIN, QUESTION, tokenizer) == "Be kind.\n\nQuestion:\nHow do I sleep better?\n\nAnswer:\n"
    assert tokenizer.decode(tokenize_completion(PLAIN, "Rest.", tokenizer)) == "Rest.<|end|>"


def test_system_is_put_first_unless_the_record_has_one(tokenizer: Any) -> None:
    format = PromptFormat(system="Be kind.")
    assert "system\nBe kind." in render_prompt(format, QUESTION, tokenizer)
    own = (Message("system", "Be brief."), *QUESTION)
    assert "Be kind." not in render_prompt(format, own, tokenizer)


def test_a_model_without_template_is_told_what_to_set(tiny_encoder: Path) -> None:
    with pytest.raises(UsageError, match=r"prompt\.style=plain"):
        render_prompt(CHAT, QUESTION, load_tokenizer(tiny_encoder))


def test_a_template_that_refuses_a_role_is_a_usage_error(tiny_model: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_model)
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    )
    with pytest.raises(UsageError, match="no system role"):
        render_prompt(PromptFormat(system="Be kind."), QUESTION, tokenizer)


@given(
    prompt=st.lists(st.integers(), max_size=60),
    completions=st.lists(st.lists(st.integers(), min_size=1, max_size=60), min_size=1, max_size=3),
    max_length=st.integers(2, 70),
)
def test_fit_keeps_within_length_and_cuts_the_prompt_first(
    prompt: list[int], completions: list[list[int]], max_length: int
) -> None:
    kept, cut = fit(prompt, completions, max_length)
    assert prompt[len(prompt) - len(kept) :] == kept
    for whole, part in zip(completions, cut, strict=True):
        assert part == whole[: len(part)]
        assert part
        assert len(kept) + len(part) <= max_length
        if len(part) < len(whole):
            assert len(kept) <= max(1, max_length // 4)
    if len(prompt) + max(map(len, completions)) <= max_length:
        assert (kept, cut) == (prompt, completions)
    if prompt:
        assert kept


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(chosen=st.text(max_size=80), rejected=st.text(max_size=80), max_length=st.integers(20, 300))
def test_truncation_is_reported_exactly(tokenizer: Any, chosen: str, rejected: str, max_length: int) -> None:
    pair = record(chosen, rejected)
    prompt, first, second, truncated = tokenize_pair(CHAT, pair, tokenizer, max_length)
    whole = [tokenize_completion(CHAT, text, tokenizer) for text in (chosen, rejected)]
    is_whole = prompt == tokenize_prompt(CHAT, QUESTION, tokenizer) and [first, second] == whole
    assert truncated != is_whole
    assert len(prompt) + max(len(first), len(second)) <= max_length


def test_encoder_rows_have_the_layout_of_its_own_tokenizer(tiny_encoder: Path) -> None:
    tokenizer: Any = load_tokenizer(tiny_encoder)
    ids, types, cut = tokenize_for_encoder(QUESTION, "rest well.", tokenizer, 128)
    own = tokenizer(QUESTION[0].content, "rest well.")
    assert (ids, types, cut) == (own["input_ids"], own["token_type_ids"], False)
    short, _, was_cut = tokenize_for_encoder(QUESTION, "rest well.", tokenizer, 16)
    assert (len(short), was_cut) == (16, True)
