"""Counseling's own checks of its data."""

import pytest

from domains.counseling.lint import CHECKS
from shared.lint.config import LintConfig
from shared.lint.run import lint
from shared.records import Message, PreferenceRecord

HELP = "I am glad that you wrote. Please call 988 now, or go to the nearest hospital."
NONE = "I am glad that you wrote. Take a walk and rest a little, and write down three good things."


def pair(number, question, chosen, rejected="Something else entirely, said in other words."):
    prompt = (Message("user", question),)
    return PreferenceRecord(f"r{number}", f"g{number}", f"f.csv:{number}", prompt, chosen, rejected)


@pytest.mark.parametrize(
    ("question", "crisis"),
    [
        ("I feel suicidal since the spring.", True),
        ("Sometimes I think of killing myself.", True),
        ("I don't want to live any more", True),
        ("My son cuts himself. I found out that she self-harms.", True),
        ("I want to end my life of crime jokes aside", True),
        ("My phone dies every day and it kills me.", False),
        ("How do I live with a partner who lies?", False),
    ],
)
def test_questions_of_suicide_and_self_harm_and_answers_that_name_no_help(question, crisis):
    report = lint({"all": lambda: [pair(1, question, NONE), pair(2, question, HELP)]}, LintConfig(), None, CHECKS)
    assert [each.count for each in report.of("crisis_questions")] == ([2] if crisis else [])
    without = report.of("crisis_without_help")
    assert [example.id for each in without for example in each.examples] == (["r1"] if crisis else [])


def test_counsel_chat_has_such_questions(real_data):
    from domains.counseling.data import CounselingDataConfig, read_preferences
    from shared.data.rows import RowTally

    def records():
        return read_preferences(real_data / "counseling" / "counsel_chat.csv", CounselingDataConfig(), RowTally())[1]

    others = {"label_flips": "off", "wrong_language": "off", "personal_data": "off"}
    report = lint({"all": records}, LintConfig(severities=others), None, CHECKS)  # pyright: ignore
    assert report.of("crisis_questions")[0].count >= 40
    assert report.of("crisis_without_help")[0].severity == "warning"
    assert report.about["crisis_questions"].startswith("Questions that speak of suicide")
