import dataclasses
import json
import logging
from itertools import pairwise

import pytest

from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.deidentifier import Deidentifier, deidentify_texts
from shared.deidentify.file_names import PLAIN_WORDS, masked_file_name
from shared.deidentify.redaction import RedactionFilter, redact
from shared.records import Message, PreferenceRecord

NAME = "Marisela Thornquist"
KEY = "sk-canary-4f9aQ2LmX81Zb7"


def record(number: int = 0, **changes) -> PreferenceRecord:
    values = {
        "id": f"{number:016x}",
        "group_id": "q1",
        "source": f"pairs.csv:{number}",
        "prompt": (Message("user", "How do I sleep?"),),
        "chosen": "Go to bed early.",
        "rejected": "No idea.",
    }
    return PreferenceRecord(**(values | changes))


def names_on() -> Deidentifier:
    pytest.importorskip("spacy", reason="name recognition needs spaCy")
    return Deidentifier(DeidentifyConfig())


def leaks(value: object) -> bool:
    text = json.dumps(value, default=str).lower()
    return any(part in text for part in ("marisela", "thornquist", KEY.lower()))


PLACES = {
    "question": {"prompt": (Message("user", f"My friend {NAME} gave me {KEY}."),)},
    "answer": {"chosen": f"Talk to {NAME}, and do not share {KEY}."},
    "therapistInfo": {"metadata": {"therapistInfo": f"{NAME}, LCSWFamily Therapist {KEY}"}},
    "url slug": {"rejected": f"See https://chat.org/therapists/marisela-thornquist-lcsw?key={KEY}."},
    "signature": {"rejected": f"I wish you well.\n{NAME}, LMFT\n{KEY}"},
    "file name": {"source": f"notes_marisela_thornquist_{KEY}.csv:3"},
    "column name": {"metadata": {f"rating by {NAME} {KEY}": 3, "views": 2}},
    "score name": {"scores_chosen": {f"marisela_thornquist {KEY}": 1.0}},
    "metadata": {"metadata": {"note": f"asked {NAME} with {KEY}"}},
    "context": {"context": f"{NAME} said: {KEY}", "rationale": f"{NAME} prefers it ({KEY})."},
    "ids": {"id": "marisela-thornquist-1", "group_id": f"{KEY}"},
}


@pytest.mark.parametrize("place", PLACES)
def test_canary_is_gone_from_every_place_of_a_record(place):
    masker = names_on()
    (masked,) = masker.mask_records([record(**PLACES[place])])
    assert not leaks(dataclasses.asdict(masked))
    assert not leaks(masker.report.to_json())
    assert masker.report.records == 1


def test_canary_in_a_prompt_template_and_an_exception():
    names_on()
    assert not leaks(deidentify_texts([f"You are {NAME}, a counselor. Key: {KEY}"]))
    error = ValueError(f"cannot reach https://bot:{KEY}@host/v1 for Dr. {NAME} (a@b.org, 555-201-3348)")
    assert not leaks(redact(str(error)))
    assert redact(str(error)) == "cannot reach [SECRET] for Dr. [NAME] ([EMAIL], [PHONE])"


def test_redact_keeps_what_logs_are_for():
    line = "stage data: 3f2a9c0d4e5b6a7f8091a2b3c4d5e6f7 at http://127.0.0.1:4200/runs/17 took 12.5 s"
    assert redact(line) == line


def test_redaction_filter_masks_message_and_traceback(caplog):
    caplog.handler.addFilter(RedactionFilter())
    log = logging.getLogger("valign.test")
    try:
        raise ValueError(f"token={KEY}")
    except ValueError:
        log.exception("failed for %s", "a@b.org")
    assert KEY not in caplog.text
    assert "a@b.org" not in caplog.text
    assert "ValueError" in caplog.text


def test_numbers_are_shared_within_a_group_and_not_across():
    masker = Deidentifier(DeidentifyConfig(recognise_names=False, batch_records=1))
    one = record(1, chosen="a@b.org")
    two = record(2, chosen="c@d.org", rejected="A@b.org")
    three = record(3, group_id="q2", chosen="c@d.org")
    masked = list(masker.mask_records([one, two, three]))
    assert [(m.chosen, m.rejected) for m in masked] == [
        ("[EMAIL_1]", "No idea."),
        ("[EMAIL_2]", "[EMAIL_1]"),
        ("[EMAIL_1]", "No idea."),
    ]
    assert masker.report.by_field == {("chosen", "EMAIL"): 3, ("rejected", "EMAIL"): 1}
    assert masker.report.records_touched == 3


def test_a_name_found_in_a_signature_is_masked_in_lower_case_elsewhere():
    masker = Deidentifier(DeidentifyConfig(recognise_names=False))
    (masked,) = masker.mask_records([record(chosen=f"Be well. {NAME}, LMFT", rejected="as marisela thornquist said")])
    assert masked.rejected == "as [NAME_1] said"


def test_untouched_records_are_the_same_objects_and_streaming_reads_one_batch_ahead():
    seen = []

    def source():
        for number in range(10):
            seen.append(number)
            yield record(number)

    masker = Deidentifier(DeidentifyConfig(recognise_names=False, batch_records=2))
    stream = masker.mask_records(source())
    first = next(stream)
    assert first == record(0)
    assert len(seen) == 2


def test_masked_column_names_do_not_collide():
    masker = Deidentifier(DeidentifyConfig(recognise_names=False))
    (masked,) = masker.mask_records([record(metadata={"a@b.org": 1, "c@d.org": 2})])
    assert masked.metadata == {"[EMAIL]": 1, "[EMAIL]_2": 2}


def test_report_says_what_was_not_done():
    report = Deidentifier(DeidentifyConfig(recognise_names=False, languages=("en", "ja"))).report.to_json()
    assert not report["names_by_model"]
    assert any("ja" in note for note in report["notes"])
    off = Deidentifier(DeidentifyConfig(enabled=False, accept_identifiable_data="synthetic")).report.to_json()
    assert "synthetic" in off["notes"][0]


def test_the_name_model_reads_only_the_fields_it_is_given() -> None:
    names_on()
    masker = Deidentifier(DeidentifyConfig(), name_fields=("chosen",))
    told = "Talk to Jennifer Miller about it."
    first, second = masker.mask_records(
        [record(1, chosen=told, rejected="Jennifer Miller hilft."), record(2, group_id="q2", rejected=told)]
    )
    # What it finds is masked in the other fields too; where it does not read, a name remains, the same text or not.
    assert (first.chosen, first.rejected) == ("Talk to [NAME_1] about it.", "[NAME_1] hilft.")
    assert second.rejected == told


def test_file_names_with_two_endings_are_no_addresses() -> None:
    masker = Deidentifier(DeidentifyConfig(recognise_names=False))
    for name in ("train.de.gz", "train.de", "pairs.csv"):
        assert masked_file_name(name, masker) == masker.masked_identifier(name) == name
    assert masked_file_name("a@example.org.csv.gz", masker) == "[EMAIL_1].csv.gz"


def test_plain_words_of_file_names_need_no_masker(monkeypatch):
    masker = names_on()
    words = sorted(PLAIN_WORDS)
    for stem in [
        *words,
        *map(str.title, words),
        *(f"{one} {other}" for one, other in pairwise(words)),
    ]:
        assert masker.mask_text(stem) == (stem, [])
    monkeypatch.setattr(Deidentifier, "__init__", None)
    assert masked_file_name("Train_pairs.jsonl.gz") == "Train_pairs.jsonl.gz"
    with pytest.raises(TypeError):  # whatever else it says, it is looked at
        masked_file_name("pairs_marisela.jsonl")
