"""The whole translation pipeline from the command line, with a tiny random model and a real SimulEval."""

import json
import random
import shutil

import pytest

pytestmark = pytest.mark.slow

WORDS = {"rot": "red", "blau": "blue", "Hund": "dog", "Katze": "cat", "rennt": "runs", "schläft": "sleeps"}


@pytest.fixture(scope="module")
def options(tmp_path_factory, tiny_model) -> tuple[str, ...]:
    """--data and --recipe: sentences of three words with two renderings, a tiny model."""
    folder = tmp_path_factory.mktemp("translation")
    rng, words = random.Random(0), list(WORDS)
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as file:
        seen = set()
        while len(seen) < 48:
            drawn = tuple(rng.choice(words) for _ in range(rng.randint(3, 5)))
            if drawn in seen:
                continue
            seen.add(drawn)
            target = " ".join(WORDS[word] for word in drawn)
            row = {"source": " ".join(drawn), "target": target, "rejected": f"well then {target}"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    training = {"epochs": 1, "batch_size": 4, "max_length": 256, "micro_batch_tokens": 2048, "learning_rate": 1e-2}
    values = {
        "model": str(tiny_model),
        "precision": "float32",
        "data": {"fractions": {"train": 0.5, "validation": 0.1, "test": 0.4}},
        "lint": {"severities": {"length_bias": "off"}},
        "sft": {**training, "epochs": 6, "lora": {"rank": 8, "alpha": 16}},
        "align": {**training, "learning_rate": 1e-3, "seeds": [1]},
        "baselines": {
            "alpha_zero": True,
            "wait_k_tuned": True,
            "wait_k": [1, 3],
            "lsg": ["lsg:1,0.9,1,3"],
            "latency_prompt": True,
        },
        "evaluate": {
            "sentences": 6,
            "thresholds": [0.3, 0.5],
            "shown": 0.5,
            "timed": 2,
            "simuleval": 2,
            "examples": 2,
            "shots": 1,
            "resamples": 100,
            "decoding": {"batch_size": 4, "extra_tokens": 4, "tokens_per_source_token": 1},
        },
        "gate": {"primary": "eval/utility"},
    }
    (folder / "tiny.yaml").write_text(json.dumps(values))  # JSON is YAML
    return ("--data", str(folder / "pairs.jsonl"), "--recipe", str(folder / "tiny.yaml"))


@pytest.fixture(scope="module")
def record(tiny, options):
    """A finished run."""
    return tiny.json("run", "translation", *options)


def test_every_stage_runs_and_the_report_shows_all_systems(tiny, record) -> None:
    assert record["status"] == "finished"
    stages = {one["stage"] for one in record["stages"]}
    for policy in ("sft", "align", "alpha-0", "wait-k", "latency-prompt"):
        assert {f"{policy}/seed-1", f"decode/{policy}/seed-1"} <= stages
    assert {"lint", "paths", "base", "preferences", "simuleval", "eval", "gate", "card"} <= stages
    report = (tiny.home / "runs" / record["run_id"] / "report.html").read_text(encoding="utf-8")
    for text in ("SimulPL, alpha = 0", "wait-k, tuned", "LSG on SFT", "latency prompt", "SimulEval", "inversion_rate"):
        assert text in report
    assert (
        "t about equal latency: SFT only at threshold:" in report
    )  # a table of its own, or with that of one threshold
    assert "The whole source read: SFT only at offline" in report
    assert "rejected_chrf" in report
    assert "What each preference counts in a score" not in report  # given preferences: no score decides
    assert "Where renderings came from" in report
    card = (tiny.home / "runs" / record["run_id"] / "card.md").read_text(encoding="utf-8")
    assert "reconstructed" in card
    assert "load_for_decoding" in card


def test_simuleval_finds_the_delays_of_the_batch_decoder(tiny, record) -> None:
    [found] = (tiny.home / "store" / "objects").glob("simuleval/*/simuleval.json")
    check = json.loads(found.read_text(encoding="utf-8"))
    assert check["same_delays"] == check["same_words"] == check["sentences"] == 2
    for one in check["figures"].values():
        assert one["simuleval"] == pytest.approx(one["ours"], abs=2e-3)  # it rounds


def test_the_reference_serves_another_alpha(tiny, options, record) -> None:
    again = tiny.json("run", "translation", *options, "--set", "align.alpha=3")
    hits = {one["stage"]: one["hit"] for one in again["stages"]}
    assert hits["reference/seed-1"]
    assert hits["sft/seed-1"]
    assert not hits["align/seed-1"]
    assert hits["alpha-0/seed-1"]  # the ablation has no alpha


def test_a_registered_policy_is_evaluated_and_its_log_scored(tiny, options, record, tmp_path) -> None:
    folder = record["registered"]["folder"]
    found = tiny.json("evaluate", "translation", "--model", folder, *options)
    stages = {one["stage"] for one in found["stages"]}
    assert "decode/model" in stages
    assert not any(stage.startswith(("sft", "align")) for stage in stages)
    log = sorted((tiny.home / "store" / "objects").glob("decode/*/logs/0/instances.log"))[0]
    shutil.copy(log, tmp_path / "instances.log")
    scored = tiny.json("evaluate", "latency", str(tmp_path / "instances.log"))
    assert scored["latency"]["sentences"] == 6


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("data.source_language=xx", "latency unit"),
        ("evaluate.shown=0.4", "evaluate.thresholds"),
        ("construction.weights.quality=-1", "quality"),
        ("sft.prefix.count=2", "prefixes"),
        ("baselines.lsg=[wait-k:3]", "LSG"),
        ("align.lora.rank=4", "lora"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tiny, options, setting, told) -> None:
    line = tiny.error("run", "translation", *options, "--set", setting, code=2)
    assert told in line


def test_wrong_data_are_one_sentence(tiny, options, tmp_path) -> None:
    folder = tmp_path / "parallel"
    folder.mkdir()
    (folder / "train.de").write_text("Ein Hund.\nEine Katze.\n", encoding="utf-8")
    (folder / "train.en").write_text("A dog.\n", encoding="utf-8")
    told = tiny("run", "translation", *options[2:], "--data", str(folder), code=3).stderr
    assert "train.de has 2 lines and train.en has 1" in told.splitlines()[-1]
    path = tmp_path / "long.jsonl"
    path.write_text('{"source": "a b", "target": "x y", "target_path": [1, 5]}\n', encoding="utf-8")
    told = tiny("run", "translation", *options[2:], "--data", str(path), code=3).stderr
    assert "long.jsonl:1" in told.splitlines()[-1]
    assert "Traceback" not in told
    line = tiny.error("evaluate", "latency", str(tmp_path / "none.log"), code=3)
    assert "none.log" in line
