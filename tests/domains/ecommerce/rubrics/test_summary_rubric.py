"""The packaged rubric: seven features, each asked about by itself and by nothing else."""

import pytest

from domains.ecommerce.rubrics.config import RubricFeaturesConfig, asked, feature_name, summary_rubric
from shared.errors import UsageError
from shared.judges.prompting import score_request
from shared.judges.protocol import ResponseItem
from shared.records import Message

SEVEN = (
    "judge.aspect-coverage", "judge.opinion-faithfulness", "judge.opinion-coverage", "judge.conciseness",
    "judge.relevance", "judge.hallucination", "judge.language-correctness",
)  # fmt: skip


def test_the_packaged_rubric_has_the_seven_features_with_both_ends_explained():
    rubric = summary_rubric()
    assert tuple(feature_name(one) for one in rubric.criteria) == SEVEN
    for one in rubric.criteria:
        assert {rubric.scale.least, rubric.scale.most} <= set(one.anchors)
        assert len(one.anchors) >= 5
    definitions = [one.definition for one in rubric.criteria]
    assert len(set(definitions)) == 7


def test_apart_a_request_asks_about_one_feature_only():
    rubric = summary_rubric()
    single = asked(rubric, "apart")
    assert [len(one.criteria) for one in single] == [1] * 7
    item = ResponseItem("1", "g", (Message("user", "- fine"),), "fine")
    for one in single:
        request = score_request(one, item)
        (mine,) = one.criteria
        assert list(request.schema["properties"]) == [mine.name]
        text = request.messages[1].content
        assert mine.definition in text
        assert not any(other.definition in text for other in rubric.criteria if other != mine)
    assert len({one.digest for one in single}) == 7
    assert asked(rubric, "together") == [rubric]


def test_a_rubric_of_ones_own_and_mistakes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nscale: {least: 1, most: 5}\ncriteria:\n  - {name: helps, definition: It helps.}\n")
    assert [feature_name(one) for one in summary_rubric(str(path)).criteria] == ["judge.helps"]
    with pytest.raises(UsageError, match="no rubric nothing-there"):
        summary_rubric("nothing-there")
    with pytest.raises(ValueError, match="temperature above 0"):
        RubricFeaturesConfig.model_validate({"endpoint": {"base_url": "http://x/v1", "model": "m"}, "repeats": 2})
