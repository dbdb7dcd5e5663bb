"""Pairs built straight from public files, as raw as they are, for tests of lint on real data."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from shared.records import Message, PreferenceRecord, Votes, content_id


def counsel_chat(folder: Path) -> Iterator[PreferenceRecord]:
    """All pairs of answers to one question id whose upvotes differ; nothing cleaned, capped or joined."""
    path = folder / "counseling" / "counsel_chat.csv"
    answers = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if row["answerText"] and row["upvotes"]:
                answers[row["questionID"]].append((number, row))
    for question, rows in answers.items():
        for (number, one), (_, other) in combinations(rows, 2):
            a, b = int(float(one["upvotes"])), int(float(other["upvotes"]))
            if a == b:
                continue
            chosen, rejected = (one, other) if a > b else (other, one)
            yield PreferenceRecord(
                id=content_id(question, chosen["answerText"], rejected["answerText"], str(number)),
                group_id=question,
                source=f"counsel_chat.csv:{number}",
                prompt=(Message("user", f"{chosen['questionTitle']}\n\n{chosen['questionText']}"),),
                chosen=chosen["answerText"],
                rejected=rejected["answerText"],
                margin=abs(a - b),
                covariates_chosen={"views": float(chosen["views"])},
                covariates_rejected={"views": float(rejected["views"])},
            )


def ads(folder: Path, split: str) -> Iterator[PreferenceRecord]:
    """The decided pairs of one split of the preference-tuning file; ties are left in with an even vote."""
    path = folder / "ads" / "adparaphrase_v2_pt.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if row["split"] != split:
                continue
            a, b = int(row["count.preference_ad1"]), int(row["count.preference_ad2"])
            sides = (("ad1", a), ("ad2", b)) if a >= b else (("ad2", b), ("ad1", a))
            (first, more), (second, fewer) = sides
            yield PreferenceRecord(
                id=row["id"],
                group_id=row["source_input_ad"],
                source=f"adparaphrase_v2_pt.csv:{number}",
                prompt=(Message("user", row["input_ad"]),),
                chosen=row[f"generated_{first}"],
                rejected=row[f"generated_{second}"],
                votes=Votes(more, fewer, int(row["count.preference_skip"])),
                metadata={"chosen_model": row[f"model_{first}"], "rejected_model": row[f"model_{second}"]},
            )


def opinpref(folder: Path) -> Iterator[PreferenceRecord]:
    """The expert preferences of OpinPref, with the seven feature scores and the generation tier of both summaries."""
    path = folder / "ecommerce" / "opinpref_train.jsonl"
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        pair = row["summary-pairs"]
        one, two = pair["summary-one"], pair["summary-two"]
        chosen, rejected = (one, two) if int(row["preference-data"]) == 1 else (two, one)
        yield PreferenceRecord(
            id=f"{row['unique-id']}-{number}",
            group_id=content_id(*row["reviews"]),
            source=f"opinpref_train.jsonl:{number}",
            prompt=(Message("user", "\n".join(row["reviews"])),),
            chosen=chosen["summary-text"],
            rejected=rejected["summary-text"],
            scores_chosen=chosen["summary-score"],
            scores_rejected=rejected["summary-score"],
            metadata={
                "chosen_tier": f"t{int(chosen['index']) // 3}",
                "rejected_tier": f"t{int(rejected['index']) // 3}",
            },
        )
