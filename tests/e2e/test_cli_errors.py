"""Whatever is wrong, the command says it in one sentence, ends with the documented code, and leaves nothing behind.

The cases that end before a stage runs are started beside each other, and each is looked at by a test of its own; then
comes a run to which one thing after another happens, until all is mended and it finishes.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAIRS = [
    {"prompt": f"How do I sleep in week {n}?", "chosen": f"Rest well, number {n}.", "rejected": f"No idea {n}, sorry."}
    for n in range(30)
]


@dataclass(frozen=True)
class Case:
    """A command with one fault; `{…}` in its arguments and variables is a place that `places` knows."""

    name: str
    arguments: tuple[str, ...]
    code: int
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def data_case(name: str, file: str, *words: str, code: int = 3, overrides: tuple[str, ...] = ()) -> Case:
    """The counseling data stage on a file."""
    options = [part for override in overrides for part in ("--set", override)]
    return Case(name, ("lint", "counseling", "--recipe", "tiny.yaml", "--data", file, *options), code, words)


def usage_case(name: str, *options: str, words: tuple[str, ...], code: int = 2) -> Case:
    """What is found before anything runs."""
    return Case(name, ("run", "counseling", "--recipe", "tiny.yaml", *options), code, words)


def override_case(override: str, *words: str) -> Case:
    return usage_case(f"--set {override}", "--set", override, words=words)


SILENT = "http://127.0.0.1:{silent}"
CASES = [
    # First, because they wait longest: servers that take the connection and say nothing.
    Case(
        "a Prefect server that does not answer",
        ("run", "tiny"),
        4,
        ("127.0.0.1:{silent}", "prefect server start", "unset PREFECT_API_URL"),
        {"PREFECT_API_URL": f"{SILENT}/api"},
    ),
    Case(
        "an MLflow server that does not answer",
        ("run", "tiny"),
        4,
        ("127.0.0.1:{silent}", "does not answer", "unset MLFLOW_TRACKING_URI"),
        {"MLFLOW_TRACKING_URI": SILENT},
    ),
    Case("no Prefect server", ("run", "tiny"), 4, ("127.0.0.1:9",), {"PREFECT_API_URL": "http://127.0.0.1:9/api"}),
    Case("no MLflow server", ("run", "tiny"), 4, ("127.0.0.1:9",), {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}),
    Case(
        "a database whose driver is missing",
        ("models",),
        4,
        ("psycopg", "://***@127.0.0.1"),
        {"MLFLOW_TRACKING_URI": "postgresql+psycopg://me:secret@127.0.0.1:9/x"},
    ),
    Case("no address", ("models",), 4, ("'nonsense'",), {"MLFLOW_TRACKING_URI": "nonsense"}),
    data_case("missing file", "none.csv", "none.csv is not there", "existing file or folder"),
    data_case("empty file", "empty.csv", "empty.csv is empty"),
    data_case("header only", "header.csv", "header.csv holds no rows"),
    data_case("wrong columns", "columns.csv", "has no column 'rejected'", "did you mean 'rejcted'?", "data.columns"),
    data_case("broken JSON on row 17", "json17.jsonl", "json17.jsonl:17: is broken JSON", "data.max_broken_share"),
    data_case(
        "too many broken rows", "json17.jsonl", "1 of 30 rows are broken", overrides=("data.max_broken_share=0.01",)
    ),
    data_case("too many bad rows", "lacking.jsonl", "lacking.jsonl:1", "10 of 30 rows", "data.max_bad_share"),
    data_case("not UTF-8", "latin.csv", "latin.csv:2 is not UTF-8 (byte 0xe4 at offset", "save the file as UTF-8"),
    data_case("a label outside its range", "label.jsonl", "label.jsonl:7", "'weight' is below its least value 0"),
    data_case("all pairs tied", "ties.jsonl", "every pair is tied", "clear preferences"),
    data_case("one group only", "group.jsonl", "one question (group) only", "give more questions"),
    data_case("a folder without data", "folder", "folder holds no file that can be read", ".csv"),
    data_case("a folder of links", "links", "holds links", "plain files"),
    data_case("an unknown ending", "pairs.xlsx", "pairs.xlsx is of no kind that can be read", ".csv"),
    data_case("a damaged table", "pairs.parquet", "pairs.parquet is no readable Parquet file"),
    data_case("no hub id", "hub:", "names no data set", code=2),
    data_case("a device", "/dev/zero", "neither a file nor a folder"),
    data_case("a name too long", "x" * 300, "File name too long"),
    Case("unknown domain", ("run", "tinny"), 2, ("unknown domain 'tinny'", "did you mean tiny?")),
    Case("unknown recipe", ("run", "counseling", "--recipe", "cpuu"), 2, ("'cpuu'", "did you mean cpu?")),
    Case("no recipe file", ("run", "counseling", "--recipe", "no.yaml"), 2, ("no.yaml is not there",)),
    Case("a folder as recipe", ("run", "counseling", "--recipe", "./folder"), 2, ("./folder is no file",)),
    Case("broken YAML", ("run", "counseling", "--recipe", "broken.yaml"), 2, ("broken.yaml, line 2",)),
    Case("a recipe that is no text", ("run", "counseling", "--recipe", "latin.yaml"), 2, ("not UTF-8",)),
    override_case("align.bta=0.1", "unknown recipe key 'align.bta'", "'align.beta'"),
    override_case("align.beta", "'align.beta' is not of the form key.sub=value"),
    override_case("align.beta=high", "'align.beta'", "valid number", "not 'high'"),
    override_case("align.beta=.inf", "'align.beta'", "finite"),
    override_case("align=3", "'align'", "group of keys"),
    override_case("align.beta.x=1", "'align.beta'", "not a group of keys"),
    override_case("data.licence=[", "data.licence", "not valid YAML"),
    override_case("model=smollm2-135", "smollm2-135 is unknown", "did you mean smollm2-135m-instruct?"),
    override_case("model=./nothing", "./nothing: there is no such folder"),
    override_case("reward.body=minilm", "did you mean minilm-l6?"),
    override_case("model={models}/plain", "models/plain has no chat template", "prompt.style=plain"),
    override_case("model={models}/half", "model.safetensors is damaged or was copied in part", "copy the model again"),
    override_case("judge.body={models}/garbled", "config.json cannot be read", "copy the model again"),
    override_case("model={models}/hollow", "has no *.safetensors file"),
    Case("unknown model", ("evaluate", "counseling", "--model", "minilm"), 2, ("did you mean minilm-l6?",)),
    Case("a home that cannot be made", ("status",), 4, ("empty.csv/home cannot be made",), {"VALIGN_HOME": "{home}"}),
]


@pytest.fixture(scope="module")
def places(tiny, tiny_model, tiny_encoder) -> Iterator[dict[str, str]]:
    """Writes the files with their faults; gives the names that cases use."""
    folder, models = tiny.folder, tiny.folder / "models"

    def lines(rows: list[dict]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)

    texts = {
        "good.jsonl": lines(PAIRS),
        "empty.csv": "",
        "header.csv": "prompt,chosen,rejected\n",
        "columns.csv": "promt,chosen,rejcted\n" + "".join(f"q{n},a{n},b{n}\n" for n in range(9)),
        "json17.jsonl": lines(PAIRS[:16]) + '{"prompt": "x", "chosen": \n' + lines(PAIRS[17:]),
        "lacking.jsonl": lines([{**row, "chosen": ""} if n % 3 == 0 else row for n, row in enumerate(PAIRS)]),
        "label.jsonl": lines([{**row, "weight": -1 if n == 6 else 1} for n, row in enumerate(PAIRS)]),
        "ties.jsonl": lines([{**row, "margin": 0} for row in PAIRS]),
        "group.jsonl": lines([{**row, "group_id": "g"} for row in PAIRS]),
        "pairs.xlsx": "PK",
        "pairs.parquet": "PAR1 and no table",
        "broken.yaml": "a: [1\nb: 2\n",
        "tiny.yaml": json.dumps(
            {
                "model": str(tiny_model),
                # Recognising names takes seconds to load, and no fault here has to do with it.
                "data": {
                    "fractions": {"train": 0.4, "judge": 0.3, "test": 0.3},
                    "deidentify": {"recognise_names": False},
                },
                "reward": {"body": str(tiny_encoder)},
                "judge": {"body": str(tiny_model)},
            }
        ),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "latin.csv").write_bytes(b"prompt,chosen,rejected\n" + b"wie geht es?,gut,schl\xe4cht\n" * 3)
    (folder / "latin.yaml").write_bytes(b"model: caf\xe9\n")
    for name in ("folder", "links"):
        (folder / name).mkdir()
        (folder / name / "README.md").write_text("no data")
    (folder / "links" / "pairs.jsonl").symlink_to(folder / "good.jsonl")
    _damaged_models(tiny_model, models)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {
            "models": str(models),
            "silent": str(silent.getsockname()[1]),
            "home": str(folder / "empty.csv" / "home"),
        }


def _damaged_models(model: Path, models: Path) -> None:
    faults: dict[str, Callable[[Path], object]] = {
        "plain": lambda folder: (folder / "chat_template.jinja").unlink(),
        "half": lambda folder: os.truncate(folder / "model.safetensors", 50_000),
        "garbled": lambda folder: (folder / "config.json").write_text('{"model_type": '),
        "hollow": lambda folder: (folder / "model.safetensors").unlink(),
    }
    for name, damage in faults.items():
        shutil.copytree(model, models / name)
        damage(models / name)


def filled(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.fixture(scope="module")
def outcomes(request, tiny, places) -> Iterator[dict[str, Future[str]]]:
    """The message of each selected case, as soon as its command has ended; a few run at a time."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", {})
    ]

    def run(case: Case) -> str:
        arguments = [filled(argument, places) for argument in case.arguments]
        environment = {name: filled(value, places) for name, value in case.environment.items()}
        return tiny.error(*arguments, "--json", code=case.code, **environment)

    with ThreadPoolExecutor(max_workers=4) as pool:
        yield {case.name: pool.submit(run, case) for case in wanted}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_fault_is_one_sentence(case, outcomes, places):
    message = outcomes[case.name].result()
    for words in case.words:
        assert filled(words, places) in message
    assert len(message) < 500
    assert "secret" not in message


def test_after_all_those_faults_the_same_home_works(outcomes, places, tiny):
    for outcome in outcomes.values():
        outcome.exception()
    assert list((tiny.home / "store" / "tmp").iterdir()) == []
    assert list((tiny.home / "store" / "objects").iterdir()) == []
    assert list((tiny.home / "runs").glob("*")) == []
    shutil.copy(tiny.folder / "good.jsonl", tiny.folder / "json17.jsonl")  # the row is mended
    reports = tiny.json("lint", "counseling", "--recipe", "tiny.yaml", "--data", "json17.jsonl")
    assert reports["source"]["splits"] == {"all": 30}
    assert tiny.json("store", "verify") == {"whole": 2, "damaged": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rum"], "Did you mean 'run'?"),
        (["run"], "Missing argument"),
        (["run", "tiny", "--dat", "x"], "--data"),
        (["evaluate", "tiny"], "'--model'"),
        (["status", "--limit", "many"], "'--limit'"),
    ],
)
def test_a_command_that_is_not_understood_says_how_to_get_help(arguments, words, tiny):
    result = tiny(*arguments, code=2)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last
    assert "--help" in result.stderr


# As root every file can be written: the command runs without that privilege, where the tests have it.
NO_PRIVILEGE = (
    sys.executable,
    "-c",
    "import ctypes, os, sys\n"
    "drop_from_bounding_set, override, search, owner = 24, 1, 2, 3\n"
    "for privilege in (override, search, owner):\n"
    "    ctypes.CDLL(None).prctl(drop_from_bounding_set, privilege, 0, 0, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])",
)


def on_small_disk(folder: Path, size: str) -> tuple[str, ...] | None:
    """A prefix that puts a small disk over `folder`, for one command; None where this machine does not allow it."""
    script = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", script, "sh")
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        return None
    return prefix


def test_one_thing_after_another_happens_to_a_run_and_then_it_finishes(tiny):
    arguments = ("run", "tiny", "--json")
    store, database = tiny.home / "store", tiny.home / "mlflow" / "mlflow.db"

    def careful(prefix: tuple[str, ...]) -> type(tiny):
        return replace(tiny, prefix=prefix)

    # No space: /dev/full is the kernel's own, and needs no privilege; the stage writes its log there.
    message = tiny.error(*arguments, code=4, TINY_LOG="/dev/full")
    assert "no space is left on the disk" in message
    assert "finished stages are kept" in message
    assert list((store / "tmp").iterdir()) == []
    assert tiny.json("status")[0]["status"] == "failed"
    if small := on_small_disk(store, "24k"):
        message = careful(small).error(*arguments, code=4)
        assert f"no space is left on the disk that holds {store}" in message
    if small := on_small_disk(tiny.home, "1m"):
        assert "too little space is left" in careful(small).error(*arguments, code=4)

    unprivileged = careful(NO_PRIVILEGE)
    tiny.home.chmod(0o555)
    message = unprivileged.error(*arguments, code=4)
    assert f"{tiny.home} cannot be written" in message
    assert "VALIGN_HOME" in message
    tiny.home.chmod(0o755)
    database.chmod(0o444)
    assert f"{database} is read-only" in unprivileged.error(*arguments, code=4)
    database.chmod(0o644)

    holder = sqlite3.connect(database)
    holder.execute("begin exclusive")
    message = tiny.error(*arguments, code=4)
    assert f"{database} is locked by another process" in message
    assert tiny.json("status")[0]["status"] == "failed"  # which needs no database
    holder.rollback()
    holder.close()

    record = tiny.json(*arguments)
    assert record["status"] == "finished"
    assert record["registered"]["version"] == 1
    assert tiny.json("store", "verify")["damaged"] == []
    assert list((store / "tmp").iterdir()) == []


def test_interrupted_and_killed_a_run_says_so_and_goes_on(tiny):
    arguments = ("run", "tiny", "--set", "align.rate=0.2")
    slow = replace(tiny, environment={"TINY_SLEEP": "0.3"})
    slow.log.unlink(missing_ok=True)
    process = slow.start(*arguments)
    slow.wait_for("align/seed-0 1", process)
    assert slow.json("status")[0]["status"] == "running"
    code, out, err = slow.interrupt(process, signal.SIGINT)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == (
        "Interrupted: finished stages and checkpoints are kept; run the same command to continue."
    )
    assert "Traceback" not in err

    process = slow.start(*arguments)
    slow.wait_for("align/seed-0 3", process)
    process.kill()
    # Not waited for yet: a zombie is no process at work.
    run = tiny.json("status")[0]
    assert run["status"] == "interrupted"
    assert tiny.json("show", run["run_id"])["status"] == "interrupted"
    assert "interrupted" in tiny("status").stdout
    process.communicate()

    record = tiny.json(*arguments)
    assert record["status"] == "finished"
    assert record["run_id"] == run["run_id"]
    assert tiny.steps().count("data") <= 1  # none where an earlier run of this home has read the same data
    assert len([step for step in tiny.steps() if step.startswith("align")]) <= 6 + 2
