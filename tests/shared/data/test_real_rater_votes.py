"""PandaLM's human test set: raters' votes on real pairs, as standard rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.data.preferences import preferences
from shared.data.reading import iter_rows
from shared.data.rows import Row, RowTally
from shared.errors import DataError


def as_pair(row: Row) -> Row:
    """First response as chosen where more raters prefer it, second where more prefer that one (1, 2; 0 is a tie)."""
    values: dict[str, Any] = row.values
    given = [values[f"annotator{number}"] for number in (1, 2, 3)]
    first, second = given.count(1), given.count(2)
    better, worse = (1, 2) if first >= second else (2, 1)
    pair = {
        "id": values["idx"],
        "prompt": "\n\n".join(text for text in (values["instruction"], values["input"]) if text),
        "chosen": values[f"response{better}"],
        "rejected": values[f"response{worse}"],
        "votes_chosen": max(first, second),
        "votes_rejected": min(first, second),
        "votes_ties": given.count(0),
    }
    return Row(pair, row.source)


def test_votes_of_three_raters(real_data: Path) -> None:
    path = real_data / "general" / "pandalm_human.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    tally = RowTally(max_bad_share=1, max_broken_share=0.01)
    read = list(iter_rows(path, tally))
    assert [row.values for row in read] == rows
    assert (read[0].source, read[-1].source) == ("pandalm_human.json:1", "pandalm_human.json:999")
    # Some responses are the JSON value true, not a text; by default the first such row ends reading.
    with pytest.raises(DataError, match=r"^pandalm_human\.json:158: column 'chosen' holds a bool, not text; mend"):
        list(preferences(map(as_pair, read), RowTally(max_bad_share=1)))
    records = list(preferences(map(as_pair, read), tally))
    truths = [
        f"pandalm_human.json:{n}" for n, row in enumerate(rows, 1) if True in (row["response1"], row["response2"])
    ]
    assert [row.source for row in tally.bad if row.reason.endswith("holds a bool, not text")] == truths
    tally.check()
    assert len(records) + len(tally.bad) + len(tally.left_out) == 999
    votes = [record.votes for record in records if record.votes is not None]
    assert len(votes) == len(records)
    assert all(one.chosen > one.rejected and one.chosen + one.rejected + one.ties == 3 for one in votes)
    ties = sum(row.reason == "tie: as many votes for both" for row in tally.left_out)
    counts = [[row[f"annotator{number}"] for number in (1, 2, 3)] for row in rows]
    assert 0 < ties <= sum(one.count(1) == one.count(2) for one in counts)
    assert records[0].id == "0"
