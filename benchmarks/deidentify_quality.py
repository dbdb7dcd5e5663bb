"""Recall and precision of de-identification on the authored test set, with 95 % Wilson intervals.

    python benchmarks/deidentify_quality.py [--errors] [--update]

A span of the test set counts as found when every letter and digit of it is masked, whatever the placeholder says; a
masked span counts as right when it overlaps a span of the test set. The part `tune` was looked at while the rules were
written, the part `held` was not.
"""

import argparse
import json
import math
import pprint
from collections import defaultdict
from pathlib import Path
from typing import Any

from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.deidentifier import Deidentifier

LABELLED = Path(__file__).parent.parent / "tests/shared/deidentify/labelled.jsonl"
CRISIS_LINES = ("988", "911", "741741", "1-800-273-8255", "1-800-799-7233", "1-866-488-7386")


def wilson(hits: int, total: int) -> list[float] | None:
    """Wilson's 95 % interval of a proportion (E. B. Wilson 1927), or None without trials."""
    if not total:
        return None
    z, p = 1.959964, hits / total
    centre, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return [
        round(max(0.0, (centre - spread) / (1 + z * z / total)), 3),
        round(min(1.0, (centre + spread) / (1 + z * z / total)), 3),
    ]


def read_labelled() -> list[dict[str, Any]]:
    """Rows {text, spans [[start, end, entity]], register, case, part}."""
    return [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]


def measure(recognise_names: bool, errors: list[str] | None = None, part: str | None = None) -> dict[str, Any]:
    """Counts by row name (``NAME cased``, ``EMAIL``, ...): found of gold, right of masked, with intervals.

    Args:
        recognise_names: model and lists on.
        errors: gets a line for every miss and false alarm.
        part: only this part of the set.
    """
    masker = Deidentifier(DeidentifyConfig(recognise_names=recognise_names, allow_list=CRISIS_LINES))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in read_labelled():
        if part and row["part"] != part:
            continue
        text, case = row["text"], row["case"]
        _, findings = masker.mask_text(text)

        def names(entity: str, case: str = case) -> list[str]:
            return [entity, "all"] + ([f"NAME {case}"] if entity == "NAME" else [])

        covered = {place for finding in findings for place in range(finding.start, finding.end)}
        for start, end, entity in row["spans"]:
            hit = all(place in covered or not text[place].isalnum() for place in range(start, end))
            for name in names(entity):
                counts[name][0] += hit
                counts[name][1] += 1
            if not hit and errors is not None:
                errors.append(f"missed {entity}: {text[start:end]!r} in {text!r}")
        for finding in findings:
            right = any(start < finding.end and finding.start < end for start, end, _ in row["spans"])
            for name in names(finding.entity):
                counts[name][2] += right
                counts[name][3] += 1
            if not right and errors is not None:
                errors.append(
                    f"false {finding.entity} ({finding.recogniser}): {text[finding.start : finding.end]!r} in {text!r}"
                )
    return {
        name: {
            "recall": round(found / gold, 3) if gold else None,
            "recall_interval": wilson(found, gold),
            "gold": gold,
            "precision": round(right / masked, 3) if masked else None,
            "precision_interval": wilson(right, masked),
            "masked": masked,
        }
        for name, (found, gold, right, masked) in sorted(counts.items())
    }


def main() -> None:
    """Prints the tables; with --update, writes them to shared/deidentify/measured.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", action="store_true", help="print misses and false alarms of the part `tune`")
    parser.add_argument("--update", action="store_true", help="write the numbers into the package")
    arguments = parser.parse_args()
    tables: dict[str, Any] = {}
    for title, on in (("names off", False), ("names on", True)):
        for part in (None, "held"):
            table = measure(on, None, part)
            if part is None:
                tables[title] = table
            print(f"\n{title}, {part or 'all'}\n{'':12} recall  interval         of  precision  interval         of")
            for name, row in table.items():
                recall, precision = (f"{v:.3f}" if v is not None else "-" for v in (row["recall"], row["precision"]))
                print(
                    f"{name:12} {recall:>6}  {row['recall_interval']!s:16} {row['gold']:3}  {precision:>8}  "
                    f"{row['precision_interval']!s:16} {row['masked']:3}"
                )
        if arguments.errors:
            wrong: list[str] = []
            measure(on, wrong, "tune")
            print("\n".join(wrong))
    if arguments.update:
        path = Path(__file__).parent.parent / "shared/deidentify/measured.py"
        source = path.read_text(encoding="utf-8")
        head, rest = source.split("MEASURED: dict[str, Any] = ", 1)
        tail = rest[rest.index("\n\n\ndef ") :]
        path.write_text(
            head + "MEASURED: dict[str, Any] = " + pprint.pformat(tables, width=105) + tail, encoding="utf-8"
        )


if __name__ == "__main__":
    main()
