"""kill -9 of the command or of its training child, at random moments: resumed runs end with the same figures.

VALIGN_KILLS sets how many kills of each kind (3 by default).
"""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("VALIGN_KILLS", "3"))


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_model, tiny_encoder) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("kill")
    training = {"batch_size": 4, "max_length": 128, "save_steps": 2}
    values = {
        "model": str(tiny_model),
        "data": {"fractions": {"train": 0.4, "judge": 0.3, "test": 0.3}},
        "reward": {"body": str(tiny_encoder), "training": {**training, "lora": None}},
        "judge": {"body": str(tiny_model), "training": {**training, "lora": None}},
        "align": {**training, "learning_rate": 1e-2, "epochs": 4, "lora": {"rank": 4, "alpha": 8}, "seeds": [0]},
        "evaluate": {
            "prompts": 3,
            "kl_prompts": 2,
            "kl_tokens": 4,
            "max_length": 256,
            "sampling": {"max_new_tokens": 4},
        },
    }
    (folder / "tiny.yaml").write_text(json.dumps(values))
    rows = [
        {
            "prompt": f"How do I sleep in week {n}?",
            "chosen": f"Rest well, number {n}.",
            "rejected": f"No idea {n}, sorry.",
        }
        for n in range(30)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return ("run", "counseling", "--data", str(folder / "pairs.jsonl"), "--recipe", str(folder / "tiny.yaml"), "--json")


@pytest.fixture(scope="module")
def undisturbed(tiny, arguments) -> tuple[dict, float]:
    """(record of a run nobody killed, its seconds)."""
    start = time.monotonic()
    record = json.loads(tiny(*arguments).stdout)
    return record, time.monotonic() - start


def _figures(record: dict) -> dict:
    return {one["stage"]: (one["digest"], one["metrics"]) for one in record["stages"]}


def _children(pid: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", "shared.training.worker"], capture_output=True, text=True, check=False
    ).stdout
    own = []
    for text in found.split():
        status = Path(f"/proc/{text}/status")
        if status.exists() and f"PPid:\t{pid}\n" in status.read_text():
            own.append(int(text))
    return own


def _check(command, arguments, expected: dict) -> None:
    record = json.loads(command(*arguments).stdout)
    assert _figures(record) == _figures(expected)
    assert [one["version"] for one in command.json("models")["registered"]] == [1]
    assert command.json("store", "verify")["damaged"] == []


def test_the_command_is_killed(own_tiny, arguments, undisturbed):
    expected, seconds = undisturbed
    moments = random.Random(7)
    for _ in range(KILLS):
        process = own_tiny.start(*arguments)
        time.sleep(moments.uniform(4, 0.8 * seconds))
        process.kill()
        process.communicate()
    _check(own_tiny, arguments, expected)


def test_the_training_child_is_killed(own_tiny, arguments, undisturbed):
    expected, seconds = undisturbed
    moments = random.Random(8)
    killed = 0
    for _ in range(KILLS * 4):
        if killed == KILLS:
            break
        process = own_tiny.start(*arguments)
        end = time.monotonic() + 2 * seconds
        while process.poll() is None and time.monotonic() < end:
            children = _children(process.pid)
            if children:
                time.sleep(moments.uniform(0, 6))
                if children[0] in _children(process.pid):
                    os.kill(children[0], signal.SIGKILL)
                    killed += 1
                    break
            time.sleep(0.05)
        # The flow tries once more; then the command is ended, so that the next start resumes.
        time.sleep(moments.uniform(0, 4))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=180)
    assert killed >= 1
    _check(own_tiny, arguments, expected)
