"""Rows of every schema of the e-commerce domain, and one run of its data stage."""

import csv
import json
from pathlib import Path
from typing import Any

from domains.ecommerce.data import prepare
from domains.ecommerce.data_config import SPLITS, EcommerceDataConfig
from domains.ecommerce.products import Product, read_products
from domains.ecommerce.sources import data_files
from shared.data.record_files import read_records
from shared.data.text_keys import text_key
from shared.records import PreferenceRecord
from shared.stages import StageContext

FEATURES = (
    "aspect-coverage",
    "opinion-faithfulness",
    "opinion-coverage",
    "conciseness",
    "relevance",
    "hallucination",
    "language-correctness",
)
WORDS = ("kettle", "lamp", "chair", "mug", "pan", "knife", "shoe", "watch", "cable", "brush", "towel", "clock", "phone")


def reviews(number: int, count: int = 3) -> list[str]:
    thing = f"{WORDS[number % len(WORDS)]} {number}"
    return [f"The {thing} is {word}." for word in ("great", "bad", "so small", "very loud", "cheap")[:count]]


def opinpref(number: int, preferred: object = 1, **changes: object) -> dict[str, Any]:
    sides = {
        name: {
            "index": str(index),
            "summary-text": f"{text} summary of product {number}.",
            "summary-score": dict.fromkeys(FEATURES, score),
        }
        for name, text, index, score in (("summary-one", "First", 1, 4.0), ("summary-two", "Second", 7, 2.5))
    }
    row = {"unique-id": f"{number:08x}-0000-0000-0000-000000000000", "reviews": reviews(number), "source": "anna"}
    return {**row, "summary-pairs": sides, "preference-data": preferred, **changes}


def changed(row: dict[str, Any], side: str, **changes: object) -> dict[str, Any]:
    """A row with some values of one side changed; ``_`` stands for ``-``."""
    sides = {name: dict(value) for name, value in row["summary-pairs"].items()}
    sides[side].update({name.replace("_", "-"): value for name, value in changes.items()})
    return {**row, "summary-pairs": sides}


def prompt_opin_summ(number: int) -> dict[str, Any]:
    flags = ("is-good", "is-sbad", "is-vbad")
    summaries = [
        {
            "summary_text": f"{flag} {place} of product {number}",
            "score": {**dict.fromkeys(FEATURES, 4.0 - tier), "relevance": float("nan")},
            **{other: other == flag for other in flags},
        }
        for tier, flag in enumerate(flags)
        for place in range(2)
    ]
    return {"unique-id": f"{number:032x}", "reviews": reviews(number), "summaries": summaries}


def gold(number: int) -> dict[str, Any]:
    texts = reviews(number, 4)
    row: dict[str, Any] = {"prod_id": f"B000{number}", "cat": "kitchen"}
    row |= {f"rev{place}": text for place, text in enumerate(texts, start=1)}
    row |= {f"rating{place}": f"{place}.0" for place in range(1, 5)}
    return row | {f"summ{place}": f"Person {place} on product {number}." for place in range(1, 4)}


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(
    data: Path, out: Path, *, names: bool = False, **config: Any
) -> tuple[dict[str, float], dict[str, Any], dict[str, list[PreferenceRecord]], dict[str, list[Product]]]:
    """(metrics, summary, records by split, products by split) of one run; names are looked for by patterns alone."""
    out.mkdir()
    masking = {"recognise_names": names, **config.pop("deidentify", {})}
    checked = EcommerceDataConfig(deidentify=masking, **config)  # pyright: ignore[reportArgumentType]
    values = checked.model_dump(mode="json")
    files = data_files(data, checked)
    metrics = prepare(StageContext(config=values, inputs={}, files=files, models={}, out=out, work=out))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    records = {name: read_records(out / f"{name}.arrow") for name in SPLITS}
    return metrics, summary, records, {name: read_products(out / f"products-{name}.arrow") for name in SPLITS}


def flat(by_split: dict[str, list[Any]]) -> list[Any]:
    return [one for split in by_split.values() for one in split]


def dropped(out: Path) -> dict[str, str]:
    """Reason by source of all that was left out."""
    lines = (out / "dropped.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["source"]: row["reason"] for row in map(json.loads, lines)}


def nothing_is_torn(records: dict[str, list[PreferenceRecord]], products: dict[str, list[Product]]) -> bool:
    """Whether no product, review set, prompt or summary stands in two splits, and every pair beside its product."""
    where: dict[str, str] = {}
    for split in SPLITS:
        keys = [text for record in records[split] for text in (record.prompt_text(), record.chosen, record.rejected)]
        keys += ["\n".join(sorted(product.reviews)) for product in products[split]]
        keys += [summary for product in products[split] for summary in product.summaries]
        ids = {product.id for product in products[split]}
        if not {record.group_id for record in records[split]} <= ids:
            return False
        keys += [f"id {one}" for one in ids]
        if any(where.setdefault(text_key(key), split) != split for key in keys):
            return False
    return True
