"""kill -9 of the command and of its training child, at random moments: resumed runs end with the same figures.

VALIGN_KILLS sets how many runs are killed so, each once in both ways (1 by default, 10 for a night).
"""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.training_children import training_children

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("VALIGN_KILLS", "1"))


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
    return ("run", "counseling", "--data", str(folder / "pairs.jsonl"), "--recipe", str(folder / "tiny.yaml"))


@pytest.fixture(scope="module")
def undisturbed(tiny, arguments) -> dict:
    """The record of a run nobody killed."""
    return tiny.json(*arguments)


def _figures(record: dict) -> dict:
    return {one["stage"]: (one["digest"], one["metrics"]) for one in record["stages"]}


def _done(home: Path) -> int:
    """How many stages are finished."""
    return len(list((home / "store" / "objects").glob("*/*/manifest.json")))


def _kill_command(command, arguments, stages: int, moments: random.Random) -> None:
    """Kills the command some time after a stage; the last two (gate and card) are left to be done."""
    wanted = moments.randrange(max(1, _done(command.home)), stages - 2)
    process = command.start(*arguments)
    end = time.monotonic() + 600
    while _done(command.home) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(moments.uniform(0, 2))
    assert process.poll() is None
    process.kill()
    process.communicate()


def _kill_child(command, arguments, moments: random.Random) -> bool:
    """Whether a training child was still there to be killed some seconds after it began."""
    process = command.start(*arguments)
    killed = False
    while not killed and process.poll() is None:
        if children := training_children(process.pid):
            time.sleep(moments.uniform(0, 1))
            if children[0] in training_children(process.pid):
                os.kill(children[0], signal.SIGKILL)
                killed = True
        time.sleep(0.05)
    # The flow tries once more; then the command is ended, so that the next start resumes.
    time.sleep(moments.uniform(0, 4))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=180)
    return killed


@pytest.mark.parametrize("number", range(KILLS))
def test_the_command_and_its_training_child_are_killed(served_tiny, arguments, undisturbed, number):
    moments = random.Random(8 + number)
    assert _kill_child(served_tiny, arguments, moments)  # there are three
    _kill_command(served_tiny, arguments, len(undisturbed["stages"]), moments)
    record = served_tiny.json(*arguments)
    assert _figures(record) == _figures(undisturbed)
    assert [one["version"] for one in served_tiny.json("models")["registered"]] == [1]
    assert served_tiny.json("store", "verify")["damaged"] == []
