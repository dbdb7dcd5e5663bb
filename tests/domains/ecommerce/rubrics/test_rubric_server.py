"""The rubric over the wire of a real server: every score is answered or counted, and paid for once."""

from domains.ecommerce.rubrics.config import RubricFeaturesConfig
from domains.ecommerce.rubrics.scoring import rubric_scores
from shared.judges.answer_cache import AnswerCache
from shared.judges.rubric import Criterion, Rubric, Scale
from shared.records import Message
from tests.shared.judges.test_real_server import pytestmark as needs_server
from tests.shared.judges.test_real_server import served  # noqa: F401 - fixture

pytestmark = needs_server


def test_every_score_is_answered_or_counted(served, tmp_path):  # noqa: F811
    """The packaged model has 135M parameters and seldom keeps to the form without a grammar: nothing is made up."""
    criteria = tuple(Criterion(name=name, definition="It says so.") for name in ("short", "true"))
    rubric = Rubric(name="small", scale=Scale(least=0, most=10), criteria=criteria)
    prompt = (Message("user", "Reviews:\n- boils fast\n- its lid is loose\n\nSummarise."),)
    config = RubricFeaturesConfig(endpoint=served, max_failed_share=1.0)
    with AnswerCache(tmp_path / "answers.sqlite") as cache:
        found = rubric_scores(
            [prompt, prompt], ["It boils fast; the lid is loose.", "A fine toaster."], config, rubric, cache
        )
        answered = sum(len(row) for row in found.rows)
        assert answered + found.failed == 4
        assert all(0 <= value <= 5 for row in found.rows for value in row.values())
        usages = [one["usage"] for one in found.facts.values()]
        assert [one["answers"] for one in usages] == [one["requests"] for one in usages]
        assert sum(one["requests"] for one in usages) == len(cache) >= 4
        again = rubric_scores(
            [prompt, prompt], ["It boils fast; the lid is loose.", "A fine toaster."], config, rubric, cache
        )
    assert again.rows == found.rows
    assert sum(one["usage"]["requests"] for one in again.facts.values()) == 0
