"""The reward study as a command, on a small file of the published schema."""

import json
import random

from benchmarks.opinpref_reward import main

SEVEN = (
    "aspect-coverage", "opinion-faithfulness", "opinion-coverage", "conciseness", "relevance", "hallucination",
    "language-correctness",
)  # fmt: skip


def opinpref_row(number, draw):
    """A row whose better-scored summary is preferred, mostly."""
    better = draw.random() < 0.85
    sides = []
    for place, good in enumerate((better, not better)):
        scores = {name: round(draw.uniform(2.5, 5.0) if good else draw.uniform(1.0, 4.0), 2) for name in SEVEN}
        words = " ".join(draw.choices(["fine", "kettle", "lid", "boils", "fast", "loose"], k=draw.randint(20, 40)))
        text = f"Summary {number} of {place}: {words}."
        sides.append({"index": str(draw.randint(0, 8)), "summary-text": text, "summary-score": scores})
    return {
        "unique-id": f"row-{number}",
        "reviews": [f"Kettle {number} boils fast and I like it a lot.", f"The lid of number {number} came loose."],
        "summary-pairs": {"summary-one": sides[0], "summary-two": sides[1]},
        "preference-data": 1,
        "source": "test",
    }


def test_the_published_schema_is_studied_and_printed(tmp_path, capsys):
    draw = random.Random(0)
    data = tmp_path / "opinpref.jsonl"
    data.write_text("".join(json.dumps(opinpref_row(number, draw)) + "\n" for number in range(60)))
    changes = ["folds=3", "inner_folds=2", "l2=[0.1]", "network=null", "n_resamples=200"]
    curve = 'curve={"sizes":[10,30],"repeats":2,"inner_folds":2,"l2":[0.1],"sets":["given"]}'
    options = [argument for change in [*changes, curve] for argument in ("--set", change)]
    kept = ["--out", str(tmp_path / "study.json"), "--page", str(tmp_path / "page.html")]
    main([str(data), "--costs", "--features", str(tmp_path / "features"), *kept, *options])
    study = json.loads((tmp_path / "study.json").read_text())
    assert study["facts"]["pairs"] == 60
    assert len(study["sets"]["given"]["features"]) == 7
    assert study["sets"]["given"]["estimates"]["accuracy"]["value"] > 0.7
    printed = capsys.readouterr().out
    assert "60 pairs of 60 products, 3 folds by product" in printed
    assert "| given features, linear | 7 |" in printed
    assert "| training pairs | 10 | 30 | pairs to 0.745 |" in printed
    assert "Accuracy by number of preferences" in (tmp_path / "page.html").read_text()
