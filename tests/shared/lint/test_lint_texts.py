"""Checks of texts: duplicates, leaks, near-duplicates, truncation, language, templates, markup, personal data."""

import random

import numpy as np
import pytest

from benchmarks.lint_planted import WordTokenizer
from shared.errors import UsageError
from shared.lint.near_duplicates import ALONE, SimilarTexts, jaccard, shingles
from shared.lint.pairs import hash_text, normalise
from shared.prompts import PromptFormat
from tests.shared.lint.lint_records import TEXTS, ids_of, pair, report_on

LONG = " ".join(TEXTS)


def test_duplicate_pairs_are_counted_after_the_first():
    records = [pair(0), pair(1, prompt=pair(0).prompt, chosen=pair(0).chosen, rejected=pair(0).rejected), pair(2)]
    assert ids_of(report_on(records), "duplicate_pairs") == {"r1"}


def test_many_duplicate_pairs_are_found_by_the_fast_way_too(monkeypatch):
    from shared.lint import duplicates

    keys = np.random.default_rng(0).integers(3, size=(500, 3)).astype(np.uint64)
    expected = np.unique(keys, axis=0, return_index=True)[1]
    assert sorted(duplicates._first_of_rows(keys)) == sorted(expected)


def test_prompts_in_several_groups_by_text_and_by_title():
    title = "How do I tell my mother?\n"
    records = [
        pair(0, prompt=title + TEXTS[0]),
        pair(1, prompt=title + TEXTS[1]),
        pair(2, prompt=TEXTS[2]),
        pair(3, prompt=TEXTS[2].upper()),
        pair(4, prompt=TEXTS[3], group_id="same"),
        pair(5, prompt=TEXTS[3], group_id="same"),
    ]
    report = report_on(records)
    assert ids_of(report, "prompt_in_several_groups", "first line") == {"r0", "r1"}
    assert ids_of(report, "prompt_in_several_groups", "whole prompt") == {"r2", "r3"}


def test_an_instruction_common_to_all_is_no_duplicate_and_no_leak():
    records = [pair(n, prompt="Write an advertisement, please.") for n in range(60)]
    report = report_on(records[:40], records[40:])
    assert not report.of("prompt_in_several_groups")
    assert not report.of("leak_text", "prompt")


def test_responses_under_several_prompts():
    records = [pair(0, rejected=LONG), pair(1, chosen=LONG), pair(2)]
    assert ids_of(report_on(records), "duplicate_responses") == {"r0", "r1"}


def test_leaks_by_group_text_and_near_text():
    train = [pair(0), pair(1, prompt=LONG), pair(2, chosen=LONG + " This is the answer.")]
    test = [
        pair(10, group_id="g0"),
        pair(11, prompt=LONG.upper()),
        pair(12, prompt=LONG.replace("crooked", "straight")),
        pair(13, rejected=LONG + "  This is THE answer."),
        pair(14, chosen=LONG.replace("broken", "golden") + " This is the answer."),
        pair(15),
    ]
    report = report_on(train, test)
    assert ids_of(report, "leak_group") == {"r10"}
    assert ids_of(report, "leak_text", "prompt") == {"r11"}
    assert ids_of(report, "leak_near_text", "prompt") == {"r12"}
    assert ids_of(report, "leak_text", "response") == {"r13"}
    assert ids_of(report, "leak_near_text", "response") == {"r14"}
    assert report.of("leak_group")[0].share == pytest.approx(1 / 6)


def test_leaks_count_each_later_split_apart():
    report = report_on([pair(0)], [pair(1, group_id="g0"), pair(2)], [pair(3, group_id="g2"), pair(4, group_id="g0")])
    assert report.figures["leak_group"][""] == {"validation": 1, "test": 2}


def test_near_duplicates_agree_with_the_exact_similarity():
    rng = random.Random(0)
    vocabulary = [f"word{n}" for n in range(2000)]
    texts, origin = [], []
    for number in range(150):
        words = [rng.choice(vocabulary) for _ in range(60)]
        for edits in (0, 1, 2, 14):
            edited = list(words)
            for place in rng.sample(range(60), edits):
                edited[place] = rng.choice(vocabulary)
            texts.append(" ".join(edited))
            origin.append((number, edits))
    index = SimilarTexts(0.8, 8)
    index.add(texts, [hash_text(text) for text in texts])
    clusters = index.cluster_of(np.array([hash_text(text) for text in texts], dtype=np.uint64))
    together = {1: 0, 2: 0, 14: 0}
    for place, (_, edits) in enumerate(origin):
        if edits:
            base = place - {1: 1, 2: 2, 14: 3}[edits]
            together[edits] += clusters[place] == clusters[base]
    assert jaccard(shingles(texts[0]), shingles(texts[1])) > 0.9
    assert together[1] >= 148  # similarity about .94
    assert together[2] >= 145  # about .88
    assert together[14] == 0  # about .4
    assert np.unique(clusters).size == 300


def test_short_texts_are_compared_exactly_only_and_japanese_by_characters():
    index = SimilarTexts(0.8, 8)
    texts = ["too short", "too shortish", "本当に必要な人材の獲得に向けて活動中", "本当に必要な人材の獲得に向けて活動"]
    hashes = [hash_text(text) for text in texts]
    index.add(texts, hashes)
    clusters = index.cluster_of(np.array(hashes, dtype=np.uint64))
    assert list(clusters[:2]) == [ALONE, ALONE]
    assert clusters[2] == clusters[3] != ALONE


def test_normalised_texts_ignore_case_width_and_space():
    assert normalise(" Ａｂ\n c ") == "ab c"


def test_truncation_counts_pairs_and_tokens_by_side():
    words = " ".join(f"w{n}" for n in range(50))
    records = [pair(0, chosen=words), pair(1, chosen=words + " yes", rejected=words + " no"), pair(2)]
    config = {"prompt": PromptFormat(style="plain"), "max_length": 40}
    report = report_on(records, config=config, tokenizer=WordTokenizer())
    assert ids_of(report, "truncation", "") == {"r0", "r1"}
    assert ids_of(report, "truncation", "alike") == {"r1"}
    sides = report.figures["truncation"]["by_side"]
    assert (sides["chosen"]["pairs_cut"], sides["rejected"]["pairs_cut"]) == (2, 1)
    assert 0 < sides["rejected"]["tokens_lost"] < sides["chosen"]["tokens_lost"] < 1
    assert report.metrics["data/lint/truncation_share"] == pytest.approx(2 / 3)


def test_empty_and_short_texts():
    records = [pair(0, chosen=" \n"), pair(1, rejected="?!"), pair(2, prompt="  "), pair(3, rejected="Yes."), pair(4)]
    report = report_on(records)
    assert ids_of(report, "empty_text", "response") == {"r0", "r1"}
    assert ids_of(report, "empty_text", "prompt") == {"r2"}
    assert ids_of(report, "empty_text", "short") == {"r3"}


GERMAN = "Das tut mir sehr leid, und ich verstehe gut, dass Sie sich in dieser Lage so allein fühlen."


def test_other_languages_than_the_expected_or_the_commonest():
    records = [pair(n, chosen=f"{LONG} {n}") for n in range(5)] + [
        pair(5, chosen=GERMAN),
        pair(6, rejected="Ja, gut so."),
    ]
    report = report_on(records)
    assert ids_of(report, "wrong_language", "response") == {"r5"}
    assert "(de 1)" in report.of("wrong_language")[0].message
    assert not report_on(records, config={"languages": ("en", "de")}).of("wrong_language")
    with pytest.raises(UsageError, match="no language is called klingon"):
        report_on(records, config={"languages": ("klingon",)})


def test_prompts_may_be_in_a_language_of_their_own():
    records = [pair(n, prompt=f"{GERMAN} {n}", chosen=f"{LONG} {n}") for n in range(4)]
    records.append(pair(4, prompt=f"{LONG} {LONG}", chosen=f"{LONG} 4"))
    report = report_on(records, config={"languages": ("en",), "prompt_languages": ("de",)})
    assert ids_of(report, "wrong_language", "prompt") == {"r4"}
    assert not ids_of(report, "wrong_language", "response")
    assert "lint.prompt_languages" in report.of("wrong_language")[0].message


def test_short_texts_of_chinese_characters_are_not_judged():
    japanese = [pair(n, chosen=f"草刈りの業者をお探しの方はこちらからご相談ください{n}") for n in range(3)]
    report = report_on(
        [*japanese, pair(3, chosen="東京都心新築分譲住宅販売開始株式会社")], config={"languages": ("ja", "en")}
    )
    assert not report.of("wrong_language")


PATTERNS = [
    (
        "template_defects",
        "control tokens",
        ["<|im_start|>user", "[INST] x [/INST]", "a <|eot_id|>"],
        ["a [note] <b", "x < y | z > w"],
    ),
    (
        "template_defects",
        "role labels",
        ["Hi\n\nHuman: why", "Assistant: so", "**User**: x"],
        ["my assistant: Anna", "a species."],
    ),
    (
        "template_defects",
        "instruction headings",
        ["### Instruction:\nx", "\n## Response"],
        ["### Responsibility", "#1 input"],
    ),
    (
        "template_defects",
        "doubled end tokens",
        ["x</s></s>", "a<|im_end|>\n<|im_end|>"],
        ["x</s>"],
    ),
    (
        "model_tells",
        None,
        ["As an AI, I", "as a licensed therapist I", '"As a language model'],
        ["Has an AI", "As a child I"],
    ),
    (
        "markup_remains",
        "HTML tags",
        ["<br>", "<p class='x'>", "</div>"],
        ["a < b and c > d", "<me@example>"],
    ),
    (
        "markup_remains",
        "HTML entities",
        ["&amp;", "&#39;", "&#x27;"],
        ["R&D; x", "AT&T"],
    ),
    (
        "markup_remains",
        "control characters",
        ["a\x00b", "\ufeffa", "a\u200bb"],
        ["a\tb\nc", "naïve"],
    ),
    (
        "markup_remains",
        "broken decoding (mojibake)",
        ["donâ€™t", "cafÃ©", "a�"],
        ["São Paulo", "Ângela", "café"],
    ),
    (
        "personal_data",
        "e-mail addresses",
        ["a.b+c@d-e.org", "x @example.com"],
        ["@home", "a@b"],
    ),
    (
        "personal_data",
        "web addresses",
        ["http://x.y", "www.a.de", "see example.com.", "EXAMPLE.ORG"],
        ["end.Seriously", "e.g. this", "a@b.org"],
    ),
    (
        "personal_data",
        "phone numbers",
        ["(555) 010-0199", "1-800-273-8255", "1-800-273-TALK", "+49 89 1234567", "555.010.0199"],
        ["2010-2015", "078-05-1120", "10-20-30", "1,000,000", "12345678901234567890", "3.141592"],
    ),
    (
        "personal_data",
        "social security numbers",
        ["078-05-1120"],
        ["555-010-0199"],
    ),
    (
        "personal_data",
        "street addresses",
        ["742 Evergreen Avenue", "12 N. Old Mill Rd"],
        ["7 people on the Road", "in 2010 Drive"],
    ),
    (
        "personal_data",
        "professional credentials (sign-offs)",
        ["Jane, LMFT", "J. Doe, Ph.D.", "PsyD", "A LCSW-R."],
        ["MFTs", "lpc", "a PhDs"],
    ),
]


@pytest.mark.parametrize(("check", "kind", "hits", "misses"), PATTERNS, ids=[f"{row[0]}-{row[1]}" for row in PATTERNS])
def test_patterns(check, kind, hits, misses):
    records = [pair(n, chosen=text) for n, text in enumerate([*hits, *misses])]
    assert ids_of(report_on(records), check, kind) == {f"r{n}" for n in range(len(hits))}


def test_patterns_are_counted_by_field():
    report = report_on([pair(0, prompt="a@b.org?", chosen="mail c@d.org"), pair(1, rejected="e@f.org")])
    assert report.figures["personal_data"]["e-mail addresses"] == {
        "records": 2,
        "prompt": 1,
        "chosen": 1,
        "rejected": 1,
    }
    assert report.metrics["data/lint/personal_data_e-mail_addresses_share"] == 1.0
