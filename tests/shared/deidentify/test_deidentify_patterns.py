import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.deidentify.config import DeidentifyConfig, require_deidentification
from shared.deidentify.deidentifier import Deidentifier, deidentify_texts
from shared.deidentify.findings import PLACEHOLDER, Finding, resolve
from shared.deidentify.identifiers import safe_id, slug_names, split_source
from shared.deidentify.patterns import luhn
from shared.deidentify.recognisers import register_recogniser
from shared.errors import UsageError

OFF = DeidentifyConfig(recognise_names=False)


def mask(text: str, **options) -> str:
    return Deidentifier(DeidentifyConfig(recognise_names=False, **options)).mask_text(text)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail me at a.b@c.org.", "mail me at [EMAIL_1]."),
        ("john at mail dot com", "[EMAIL_1]"),
        ("see https://a.org/x?y=1, or b.org.", "see [URL_1], or [URL_2]."),
        ("call (555) 201-3348 x12", "call [PHONE_1]"),
        ("SSN 219-09-9999", "SSN [ID_1]"),
        ("card 4111 1111 1111 1111", "card [CARD_1]"),
        ("from 203.0.113.77", "from [IP_1]"),
        ("at 12 oak street, then", "at [ADDRESS_1], then"),
        ("a 500 GB external hard drive and 2 usb drives", "a 500 GB external hard drive and 2 usb drives"),
        ("a 16 GB flash drive", "a 16 GB flash drive"),
        ("Portland, OR 97205", "Portland, [ADDRESS_1]"),
        ("hi @mia_bakes!", "hi [HANDLE_1]!"),
        ("key sk-abcdefghijkl1234", "key [SECRET_1]"),
        ("postgres://u:pw@h/db", "[SECRET_1]"),
        ("Be well. Robin J. Landwehr, DBH, LPC", "Be well. [NAME_1], DBH, LPC"),
    ],
)
def test_forms_are_masked(text, expected):
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I am sad.It is hard. etc.In the end",
        "5 minutes down the road, 2 years of his drive",
        "from 2004-05-06 to 2004-05-11, 30-40 people, 20 mg",
        "version 2.10.4.1 and BP 140/90",
        "card 4111 1111 1111 1112 fails the check digit",
        "my name is not important, dr. said so",
    ],
)
def test_ordinary_text_stays(text):
    assert mask(text) == text


def test_same_value_same_number_in_any_spelling():
    assert mask("A@B.org, a@b.org, c@d.org") == "[EMAIL_1], [EMAIL_1], [EMAIL_2]"
    assert mask("(555) 201-3348 or 1-555-201-3348") == "[PHONE_1] or [PHONE_1]"


def test_allow_list_by_digits_and_host():
    options = {"allow_list": ("1-800-273-8255", "988lifeline.org", "1-800-273-TALK")}
    kept = "call (800) 273-8255, 1-800-273-TALK or see https://chat.988lifeline.org/now"
    assert mask(kept, **options) == kept
    assert mask("988lifeline.org.evil.com", **options) == "[URL_1]"


def test_existing_placeholders_are_kept_and_their_numbers_not_given_again():
    assert mask("[EMAIL_3] and a@b.org") == "[EMAIL_3] and [EMAIL_4]"


def test_plain_style_and_entities():
    assert mask("a@b.org 555-201-3348", placeholder="plain", entities=("EMAIL",)) == "[EMAIL] 555-201-3348"


def test_disabled_changes_nothing_and_sensitive_domains_refuse_it():
    off = DeidentifyConfig(enabled=False)
    assert Deidentifier(off).mask_text("a@b.org") == ("a@b.org", [])
    with pytest.raises(UsageError, match="counseling"):
        require_deidentification(off, "counseling")
    with pytest.raises(UsageError, match="NAME"):
        require_deidentification(DeidentifyConfig(entities=("EMAIL",)), "counseling")
    require_deidentification(DeidentifyConfig(enabled=False, accept_identifiable_data="synthetic data"), "counseling")
    require_deidentification(DeidentifyConfig(), "counseling")


def test_registered_recogniser_runs():
    class Badges:
        name = "badges"

        def find(self, texts):
            return [
                [Finding(t.index("B-"), t.index("B-") + 4, "BADGE", 0.9, "badge")] if "B-" in t else [] for t in texts
            ]

    register_recogniser("test-badges", Badges)
    config = DeidentifyConfig(recognise_names=False, recognisers=("test-badges",), entities=("BADGE",))
    assert deidentify_texts(["I wear B-12", "none"], config) == ["I wear [BADGE_1]", "none"]
    with pytest.raises(UsageError, match="test-badges"):
        Deidentifier(DeidentifyConfig(recognise_names=False, recognisers=("test-badge",)))


def test_one_scope_numbers_across_texts():
    assert deidentify_texts(["a@b.org", "c@d.org"], OFF) == ["[EMAIL_1]", "[EMAIL_1]"]
    masker = Deidentifier(OFF)
    assert masker.deidentify_texts(["a@b.org", "c@d.org"], one_scope=True) == ["[EMAIL_1]", "[EMAIL_2]"]
    assert masker.report.by_field == {("text", "EMAIL"): 2}


def test_losing_span_leaves_no_half_behind():
    text = "Karen karen@x.org"
    spans = resolve(text, [Finding(6, 17, "EMAIL", 0.9, "e"), Finding(0, 11, "NAME", 0.9, "n")])
    assert [(s.start, s.end, s.entity) for s in spans] == [(0, 5, "NAME"), (6, 17, "EMAIL")]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("0123456789abcdef", True),
        ("17", True),
        ("q-12:3", True),
        ("train/12", True),
        ("sherry-katz", False),
        ("a@b.org", False),
        ("219-09-9999", False),
        ("555-201-3348", False),
    ],
)
def test_ids(value, kept):
    assert (safe_id(value) == value) is kept
    assert safe_id(safe_id(value)) == safe_id(value)


def test_slugs_and_sources():
    assert [f.entity for f in slug_names("notes_sherry_garcia_2")] == ["NAME"]
    assert slug_names("counsel_chat") == []
    assert split_source("a/b.csv:17") == ("a/b.csv", ":17")


def test_luhn():
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab1.@ -:/[]_NAME\n+()5h"), max_size=60) | st.text(max_size=80))
def test_masking_twice_changes_nothing_and_text_outside_is_kept(text):
    masker = Deidentifier(OFF)
    masked, findings = masker.mask_text(text)
    assert masker.mask_text(masked)[0] == masked
    assert all(0 <= f.start < f.end <= len(text) for f in findings)
    outside, position = [], 0
    for finding in findings:
        outside.append(text[position : finding.start])
        position = finding.end
    outside.append(text[position:])
    rest = masked
    for piece in outside:
        assert piece in rest
        rest = rest[rest.index(piece) + len(piece) :]
    assert not findings or PLACEHOLDER.search(masked)
