"""The reference's view of the pairs in the lint section: a plot, and the hardest pairs by source."""

from shared.records import Message, PreferenceRecord
from shared.report.lint_section import lint_section
from shared.training.pair_difficulty import difficulty_report


def test_the_hardest_pairs_are_named_and_the_share_ranked_right_is_said() -> None:
    records = [
        PreferenceRecord(
            id=str(number),
            group_id=str(number),
            source=f"pairs.csv:{number + 2}",
            prompt=(Message("user", "q"),),
            chosen="a",
            rejected="b",
        )
        for number in range(12)
    ]
    logps = [{"chosen": [-1.0, -1.0], "rejected": [-3.0 + 0.5 * number]} for number in range(12)]
    report = difficulty_report(records, logps)
    section = lint_section({}, None, report)
    [plot], [table] = section.plots, section.tables
    assert "25.0%" in plot.note  # differences of -1, -0.5 and 0 are ranked right
    assert "<svg" in plot.svg
    assert table.rows[0] == ["pairs.csv:13", 4.5, 2, 1]
    assert len(table.rows) == 10
