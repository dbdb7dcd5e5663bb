"""Words and characters of tokens."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.translation.decoder.words import words_of
from domains.translation.tokens import target_tokens


def ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_tokens_that_begin_end_and_never_come(simul_tokenizer: Any) -> None:
    words = words_of(simul_tokenizer, "word")
    names = {simul_tokenizer.convert_ids_to_tokens(token): token for token in range(len(simul_tokenizer))}
    assert words.begins[names["Ġkk"]]
    assert words.begins[names["Ġ"]]
    assert not words.begins[names["ing"]]
    assert words.ends.nonzero().squeeze(-1).tolist() == sorted([names["</s>"], names["Ċ"], names["č"]])
    assert words.never.nonzero().squeeze(-1).tolist() == [names["<pad>"], names["<s>"]]
    characters = words_of(simul_tokenizer, "char")
    assert characters.begins[names["ing"]]
    assert not characters.begins[names["<s>"]]
    assert words_of(simul_tokenizer, "word") is words


def test_a_character_over_several_tokens_is_complete_with_the_last(simul_tokenizer: Any) -> None:
    words = words_of(simul_tokenizer, "char")
    tokens = ids(simul_tokenizer, " 們")
    assert len(tokens) == 4
    assert [words.is_complete(tokens[:end]) for end in range(1, 5)] == [False, False, False, True]
    assert words.units(tokens) == (" 們", ["們"])
    assert words.units(tokens[:3]) == (" ", [])


def test_tables_for_logits_beyond_the_vocabulary(simul_tokenizer: Any) -> None:
    size = len(simul_tokenizer) + 7
    tables = words_of(simul_tokenizer, "word").on("cpu", size)
    assert tables.never[-7:].all()
    assert not tables.begins[-7:].any()
    assert len(tables.ends) == size


@given(text=st.text(alphabet="ab ,你們好\u3000é😀K", max_size=25))
@settings(max_examples=60, deadline=None)
def test_segments_of_a_target_are_those_that_decoding_finds(text: str, simul_tokenizer: Any) -> None:
    """Cutting a target's tokens as the decoder does gives the segments and units that it is trained with."""
    for unit in ("word", "char"):
        words = words_of(simul_tokenizer, unit)
        target = target_tokens(simul_tokenizer, text, unit)
        starts: list[int] = []
        units: list[int] = []
        count = 0
        for place, token in enumerate(target.tokens):
            opens = (
                words.begins[token]
                if unit == "word"
                else not starts or words.is_complete(target.tokens[starts[-1] : place])
            )
            if opens or words.ends[token]:
                if starts:
                    count += len(words.units(target.tokens[starts[-1] : place])[1])
                    units.append(count)
                starts.append(place)
        assert tuple(starts) == target.starts
        assert (*units, count) == target.units


@pytest.mark.slow
def test_the_table_of_a_sentencepiece_vocabulary_with_bytes(packaged_cache: Path) -> None:
    from shared.models import load_tokenizer, resolve

    tokenizer: Any = load_tokenizer(resolve("gemma-3-270m", packaged_cache).path)
    words = words_of(tokenizer, "word")
    tokens = ids(tokenizer, " Der Hund")
    assert [bool(words.begins[token]) for token in tokens] == [True, True]
    assert words.ends[tokenizer.eos_token_id]
    assert words.ends[ids(tokenizer, "\n")[0]]
    assert words.never[tokenizer.bos_token_id]
    characters = words_of(tokenizer, "char")
    tokens = ids(tokenizer, "\U00020bb7")
    assert len(tokens) > 1
    assert [characters.is_complete(tokens[:end]) for end in range(1, len(tokens) + 1)] == [False] * (
        len(tokens) - 1
    ) + [True]
