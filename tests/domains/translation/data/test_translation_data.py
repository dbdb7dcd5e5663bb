"""Translation's data stage, from files to splits."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domains.translation.data import prepare
from domains.translation.data_config import SPLITS, TranslationDataConfig
from domains.translation.pair_files import read_pairs
from domains.translation.records import SentencePair
from shared.data.text_keys import text_key
from shared.errors import DataError, SystemStateError, UsageError
from shared.stages import StageContext

SAMPLE = Path(__file__).parents[4] / "domains" / "translation" / "sample" / "pairs.jsonl"
SECRET = "canary@example.org"
Result = tuple[dict[str, float], dict[str, Any], dict[str, list[SentencePair]]]


def run(data: Path | None, out: Path, **config: Any) -> Result:
    """(metrics, summary, pairs by split) of one run of the stage."""
    out.mkdir()
    files = {} if data is None else {"data": data}
    values = TranslationDataConfig(**config).model_dump(mode="json")
    metrics = prepare(StageContext(config=values, inputs={}, files=files, models={}, out=out, work=out))
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["dropped.jsonl", "summary.json", *(f"{name}.arrow" for name in SPLITS)]
    )
    return metrics, summary, {name: read_pairs(out / f"{name}.arrow") for name in SPLITS}


def no_text_in_two_splits(splits: dict[str, list[SentencePair]]) -> bool:
    where: dict[str, str] = {}
    for name, pairs in splits.items():
        for pair in pairs:
            for text in (f"group {pair.group_id}", *(text for _, text in pair.texts())):
                if where.setdefault(text_key(text), name) != name:
                    return False
    return True


def parallel(folder: Path, **texts: list[tuple[str, ...]]) -> Path:
    """A folder of parallel text: stem -> rows of (source, target[, rejected])."""
    folder.mkdir(exist_ok=True)
    for stem, rows in texts.items():
        endings = ("de", "en") if len(rows[0]) == 2 else ("de", "chosen.en", "rejected.en")
        for ending, lines in zip(endings, zip(*rows, strict=True), strict=True):
            (folder / f"{stem}.{ending}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def sentences(count: int, start: int = 0) -> list[tuple[str, str]]:
    return [(f"Das ist der Satz {n}.", f"This is sentence {n}.") for n in range(start, start + count)]


def jsonl(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_given_splits_are_kept_and_leaks_left_out(tmp_path: Path) -> None:
    test, validation = sentences(5, 100), sentences(5, 200)
    train = [
        *sentences(20),
        (test[0][0], "Another translation."),  # a source sentence of the test split
        ("Ein anderer Satz.", validation[0][1].upper()),  # a translation of the validation split
        sentences(1)[0],  # an exact repeat
        test[2],  # a pair of the test split
        validation[1],  # one of the validation split, whose file is read later
    ]
    validation.append((test[1][0], "Yet another translation."))
    data = parallel(tmp_path / "data", train=train, val=validation, test_2016=test)
    metrics, summary, splits = run(data, tmp_path / "out")
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": 20, "validation": 5, "test": 5}
    assert [pair.source_text for pair in splits["test"]] == [source for source, _ in test]
    assert (summary["split"]["given"], summary["split"]["leaks"]) == (list(SPLITS), {"train": 4, "validation": 1})
    assert summary["dropped"] == {"shares a text or group with a held-out split": 5, "repeats an earlier pair": 1}
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert sorted(row["source"] for row in dropped) == [*(f"train.de:{n}" for n in range(21, 26)), "val.de:6"]
    assert (metrics["data/pairs"], metrics["data/leaks"], metrics["data/left_out"]) == (30, 5, 6)
    assert splits["train"][0].source == "train.de:1"
    assert no_text_in_two_splits(splits)


def test_a_split_that_is_not_given_is_cut_from_training(tmp_path: Path) -> None:
    data = parallel(tmp_path / "data", train=sentences(90), val=sentences(10, 100))
    _, summary, splits = run(data, tmp_path / "out")
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": 80, "validation": 10, "test": 10}
    assert summary["split"]["given"] == ["train", "validation"]
    assert no_text_in_two_splits(splits)
    with pytest.raises(DataError, match="give the splits validation and test but no training split"):
        run(parallel(tmp_path / "held", test=sentences(3), val=sentences(3, 9)), tmp_path / "two")
    with pytest.raises(DataError, match=r"stands in a split 'judge'.*train, validation, test"):
        run(parallel(tmp_path / "odd", train=sentences(3), judge=sentences(3, 9)), tmp_path / "three")
    same = parallel(tmp_path / "same", train=sentences(3), test=sentences(5))
    with pytest.raises(DataError, match=r"'train' is empty \(left out for .*: 3 of train\)"):
        run(same, tmp_path / "four")


def test_fractions_groups_and_limits(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"source": source, "target": target, "group_id": n // 4} for n, (source, target) in enumerate(sentences(400))
    ]
    data = jsonl(tmp_path / "a.jsonl", *rows)
    _, summary, splits = run(data, tmp_path / "all")
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": 320, "validation": 40, "test": 40}
    assert (summary["groups"], summary["components"], summary["split"]["given"]) == (100, 100, [])
    assert no_text_in_two_splits(splits)
    kept: list[set[str]] = []
    for most in (20, 60):
        _, summary, fewer = run(data, tmp_path / f"{most}", max_pairs={"train": most, "test": 10})
        assert (len(fewer["train"]), len(fewer["test"]), len(fewer["validation"])) == (most, 10, 40)
        assert {pair.id for pair in fewer["test"]} <= {pair.id for pair in splits["test"]}
        kept.append({pair.id for pair in fewer["train"]})
    assert kept[0] < kept[1] < {pair.id for pair in splits["train"]}
    reversed_rows = jsonl(tmp_path / "b.jsonl", *reversed(rows))
    _, _, other = run(reversed_rows, tmp_path / "reversed", max_pairs={"train": 20, "test": 10})
    assert {pair.id for pair in other["train"]} == kept[0]
    _, summary, capped = run(data, tmp_path / "capped", max_pairs_per_group=1)
    assert sum(map(len, capped.values())) == summary["groups"] == 100
    assert summary["dropped"] == {"beyond the 1 pairs kept of one group": 300}


def test_length_limits_and_near_duplicates(tmp_path: Path) -> None:
    long = " ".join(f"wort{n}" for n in range(60))
    pairs = [*sentences(40), ("Ja", "Yes indeed"), (f"{long} a", "Many words"), ("Viele kurze Worte.", f"{long} b")]
    data = parallel(tmp_path / "data", talk=pairs)
    limits = {"min_units": 2, "max_source_units": 60, "max_target_units": 60}
    _, summary, _ = run(data, tmp_path / "out", **limits)
    assert summary["pairs"] == {"read": 43, "kept": 40}
    assert summary["dropped"] == {
        "fewer than 2 units": 1,
        "source of more than 60 units": 1,
        "translation of more than 60 units": 1,
    }
    near = [(f"{long} neu", f"{long} new"), (f"{long} alt", f"{long} old")]
    # Of near-duplicates in a held-out and in the training split, the held-out one stays.
    data = parallel(tmp_path / "near", train=[*sentences(20), near[0]], test=[*sentences(5, 50), near[1]])
    metrics, summary, splits = run(data, tmp_path / "dropped", near_duplicates="drop", fractions={"validation": 0})
    assert (summary["near_duplicates"], metrics["data/near_duplicates"]) == (1, 1)
    assert [pair.source_text[-3:] for pair in splits["test"]][-1] == "alt"
    assert len(splits["train"]) == 20
    assert splits["validation"] == []


def test_personal_data_are_masked_alike_on_both_sides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = sentences(30)
    rows += [
        (f"Schreiben Sie an {SECRET} oder an b@example.org.", f"Write to b@example.org or to {SECRET}."),
        ("Rufen Sie +49 30 1234567 an.", "Call +49 30 1234567 now."),
        ("Schreiben Sie uns einfach.", f"Just write to {SECRET}."),
        ("Nach [Musik] kommt Applaus.", "After [MUSIC] comes applause."),
    ]
    with caplog.at_level(logging.DEBUG):
        metrics, summary, splits = run(parallel(tmp_path / "Jane_Doe_talk", talk=rows), tmp_path / "out")
    everything = [pair for pairs in splits.values() for pair in pairs]
    masked = next(pair for pair in everything if "[EMAIL_1]" in pair.source_text)
    assert masked.source_text == "Schreiben Sie an [EMAIL_1] oder an [EMAIL_2]."
    assert masked.target_text == "Write to [EMAIL_2] or to [EMAIL_1]."
    assert any(pair.target_text == "Call [PHONE_1] now." for pair in everything)
    assert any(pair.target_text.startswith("After [MUSIC]") for pair in everything)
    assert summary["dropped"] == {"personal data were found on one side only": 1}
    assert summary["masking"] == {
        "patterns": ["de", "en"],
        "names": [],
        "one_sided": "pairs masked on one side only are left out",
    }
    assert summary["deidentified"]["languages"] == ["de", "en"]
    assert "Jane" not in summary["name"]
    assert metrics["data/deidentify/email"] == 5
    assert "32 pairs" not in caplog.text
    assert "33 pairs of 33 groups kept, 1 rows or pairs left out" in caplog.text
    for file in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in file.read_bytes()
    assert SECRET not in caplog.text


def test_names_are_looked_for_in_english_only(tmp_path: Path) -> None:
    rows = sentences(30)
    rows += [("Gestern sprach Jennifer Miller im Rathaus.", "Yesterday Jennifer Miller spoke at the town hall.")]
    rows += [("Die Rosen blühen im Garten von Frau Neumann.", "The roses bloom in the garden.")]
    rows += [("Sie heißt bei uns nur Jenny.", "Here Jennifer Miller is just called that.")]
    data = parallel(tmp_path / "data", talk=rows)
    _, summary, splits = run(data, tmp_path / "out", deidentify={"recognise_names": True})
    texts = [text for pairs in splits.values() for pair in pairs for _, text in pair.texts()]
    assert "Gestern sprach [NAME_1] im Rathaus." in texts
    assert "Yesterday [NAME_1] spoke at the town hall." in texts
    assert "Die Rosen blühen im Garten von Frau Neumann." in texts
    assert summary["dropped"] == {"personal data were found on one side only": 1}
    assert (summary["masking"]["names"], summary["deidentified"]["names_by_model"]) == (["en"], True)
    with pytest.raises(UsageError, match="`deidentify` is off, but the domain translation holds sensitive data"):
        run(data, tmp_path / "off", deidentify={"enabled": False})
    reason = {"enabled": False, "accept_identifiable_data": "published talks"}
    _, summary, _ = run(data, tmp_path / "stated", deidentify=reason)
    assert summary["masking"]["patterns"] == []
    assert "published talks" in summary["deidentified"]["notes"][0]


def test_preferences_with_paths(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"source": source, "target": target, "rejected": f"It is {n} really.", "target_path": [2, 3, 3, 5]}
        for n, (source, target) in enumerate(sentences(20))
    ]
    rows.append({"source": "Nur ein Paar.", "target": "Just a pair."})
    contact = "Schreiben Sie an a@example.org heute."
    rows.append({"source": contact, "target": "Write to a@example.org today.", "target_path": [1, 2, 4, 5]})
    metrics, summary, splits = run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")
    assert (metrics["data/preferences"], metrics["data/paths"], metrics["data/pairs"]) == (20, 20, 22)
    assert metrics["data/preferences_train"] == summary["splits"]["train"]["preferences"]
    everything = [pair for pairs in splits.values() for pair in pairs]
    assert {pair.target_path for pair in everything if pair.rejected_text} == {(2, 3, 3, 5)}
    # A placeholder may have other units than what it stands for: its pair keeps no path.
    assert summary["paths_dropped_by_masking"] == 1
    assert next(pair for pair in everything if "[EMAIL_1]" in pair.source_text).target_path is None


def test_text_that_is_tokenised_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(source.replace(".", " ."), target) for source, target in sentences(30)]
    metrics, summary, _ = run(parallel(tmp_path / "data", talk=rows), tmp_path / "out")
    assert (metrics["data/tokenised_share_source"], metrics["data/tokenised_share_target"]) == (1.0, 0.0)
    assert [(note["side"], note["share"]) for note in summary["findings"]] == [("source", 1.0)]
    assert "100% of the source sentences look tokenised" in caplog.text


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"source_language": "xx"}, UsageError, r"'xx' has no latency unit.*data\.source_unit"),
        ({"source_language": "en"}, UsageError, "are both 'en'"),
        ({"min_units": 50}, DataError, r"no sentence pair that can be used.*a\.jsonl:1: fewer than 50 units"),
        ({"source_language": "zh"}, DataError, r"hold no Chinese .* data\.source_language is 'zh'"),
        ({"location": "hub:nobody/nothing"}, SystemStateError, "nobody/nothing"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, config: dict[str, Any], error: type[Exception], message: str) -> None:
    data = jsonl(tmp_path / "a.jsonl", *({"source": source, "target": target} for source, target in sentences(20)))
    with pytest.raises(error, match=message) as caught:
        run(data, tmp_path / "out", **config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / ".pairs.spool.arrow").exists()


def test_too_few_to_split(tmp_path: Path) -> None:
    rows = [{"source": f"Satz {n}", "target": "The same."} for n in range(20)]
    with pytest.raises(DataError, match="20 pairs make 1 parts without a text in common"):
        run(jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "out")


def test_the_packaged_sample(tmp_path: Path) -> None:
    metrics, summary, splits = run(SAMPLE, tmp_path / "out", licence="CC0-1.0")
    assert metrics["data/pairs"] == metrics["data/preferences"] == 140
    assert summary["dropped"] == {}
    assert summary["findings"] == []
    assert summary["deidentified"]["by_entity"] == {}
    everything = [pair for pairs in splits.values() for pair in pairs]
    lengths = [len(pair.source_text.split()) for pair in everything]
    assert (min(lengths), max(lengths)) == (6, 28)
    assert all(len(pair.target_text.split()) < len((pair.rejected_text or "").split()) for pair in everything)
    assert {pair.metadata["topic"] for pair in everything} == {"talk", "announcement", "everyday"}
    for name in SPLITS:
        assert metrics[f"data/pairs_{name}"] >= 14


def test_same_data_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(SAMPLE, tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_real_simustc(real_data: Path, tmp_path: Path) -> None:
    languages = {"source_language": "en", "target_language": "zh"}
    metrics, summary, splits = run(real_data / "translation" / "simustc", tmp_path / "out", **languages)
    assert (summary["rows"]["bad"], summary["findings"], summary["languages"]["target_unit"]) == (0, [], "char")
    assert metrics["data/preferences"] > 1_600
    first = next(pair for pairs in splits.values() for pair in pairs if pair.source == "test.en:2")
    assert first.target_text.startswith("当我没有在反抗贫穷的时候")
    assert (first.rejected_text or "").startswith("在我消灭贫穷之余")
    assert no_text_in_two_splits(splits)
    means = [summary["splits"]["train"][f"units_{side}"] for side in ("target", "rejected")]
    assert means[0] > means[1]  # the monotone reference is not the shorter one here


def test_real_tokenised_text(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "translation" / "zh_en_gold_alignment"
    metrics, summary, _ = run(folder, tmp_path / "out", source_language="zh")
    assert metrics["data/pairs"] == 150
    assert [note["side"] for note in summary["findings"]] == ["source", "target"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "language", "given", "least"),
    [("multi30k", "de", list(SPLITS), 31_000), ("3am", "zh", ["train", "validation"], 24_850)],
)
def test_real_captions(real_data: Path, tmp_path: Path, name: str, language: str, given: list[str], least: int) -> None:
    metrics, summary, splits = run(real_data / "translation" / name, tmp_path / "out", source_language=language)
    assert metrics["data/pairs"] >= least
    assert (summary["split"]["given"], summary["findings"], summary["rows"]["bad"]) == (given, [], 0)
    assert no_text_in_two_splits(splits)
    assert 0 < summary["split"]["leaks"]["train"] < 10


def test_punctuation_is_dropped_from_both_renderings_on_request(tmp_path):
    rows = [(f"Das ist, sagt er, Satz {n}.", f"This is, he says, {n}.", f"{n}, he says: that is.") for n in range(20)]
    rows += [
        ("Schreib an canary@example.org, bitte!", "Write to canary@example.org, please!", "To canary@example.org.")
    ]
    rows += [("So?", "...", "Well?")]
    data = parallel(tmp_path / "text", train=rows)
    _, _, kept = run(data, tmp_path / "kept")
    _, summary, found = run(data, tmp_path / "out", target_marks="drop")
    texts = {text for pairs in found.values() for pair in pairs for text in (pair.target_text, pair.rejected_text)}
    assert {"This is he says 3", "3 he says that is", "Write to [EMAIL_1] please", "To [EMAIL_1]"} <= texts
    assert "Das ist, sagt er, Satz 3." in {pair.source_text for pairs in found.values() for pair in pairs}
    assert sum(summary["dropped"].values()) == 1  # it was all marks
    assert {pair.id for pairs in kept.values() for pair in pairs} > {p.id for pairs in found.values() for p in pairs}
