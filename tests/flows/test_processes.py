"""Whether the process that works on a run still does."""

import subprocess
import sys

import pytest

from flows.processes import has_ended, this_process


def described(process: subprocess.Popen) -> dict:
    from flows.processes import _started

    return {**this_process(), "pid": process.pid, "started": _started(process.pid)}


def test_this_process_is_at_work():
    assert not has_ended(this_process())


def test_a_killed_process_has_ended_also_before_anybody_looked():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        known = described(process)
        assert not has_ended(known)
    finally:
        process.kill()
    assert process.stdout is None
    while not has_ended(known):  # the signal is on its way; not yet waited for, it is a zombie
        pass
    process.wait()
    assert has_ended(known)


def test_another_process_of_the_same_number_is_another():
    assert has_ended({**this_process(), "started": 1})


@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}])
def test_what_cannot_be_seen_from_here_may_be_at_work(where):
    assert not has_ended({**this_process(), "pid": 2**22 + 1, **where})


def test_before_the_machine_was_started_anew():
    assert has_ended({**this_process(), "boot": "an earlier one"})


@pytest.mark.parametrize("process", [None, {}, "1", {"pid": "1"}, {"pid": None}])
def test_what_an_older_version_wrote_says_nothing(process):
    assert not has_ended(process)
