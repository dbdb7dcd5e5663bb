"""Freed memory is kept while it is asked for, and given back afterwards."""

import platform
import subprocess
import sys

import pytest

from shared import allocator

GLIBC = platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"

SCRIPT = """
import resource, sys
from pathlib import Path
from shared import allocator

def touched(megabytes):
    # pages that the system had to clear for ten blocks of that size, one after the other
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = bytearray(megabytes * 2**20)
        block[::4096] = b"1" * len(block[::4096])
        del block
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / 2**20

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

with allocator.freed_memory_kept():
    assert touched(64) < 2.5 * 64, "within"
    with allocator.freed_memory_kept():
        touched(8)
    assert touched(64) < 2.5 * 64, "an inner use ended the outer one"
    held = resident()
assert held - resident() > 48, f"{held} -> {resident()} MiB: not given back"
touched(8)
assert touched(8) < 2.5 * 8, "blocks of everyday size are cleared anew every time"
assert touched(64) > 5 * 64, "large blocks are still kept"
assert allocator.keep_freed_memory()
with allocator.freed_memory_kept():
    pass
assert touched(64) < 2.5 * 64, "the process no longer keeps"
"""


RETURNED = """
import gc, os
from pathlib import Path
from shared import allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def used(megabytes):
    # blocks of the heap with small ones between them that stay, and a ring that only the collector takes apart
    kept, ring = [], []
    for _ in range(10 * megabytes):
        ring.append(bytearray(b"1") * 100_000)
        kept.append(bytearray(600))
    ring.append(ring)
    return kept

gc.disable()
first = used(100)
held = resident()
with allocator.freed_memory_returned():
    little = used(100)
assert resident() - held > 80, "a search for a little"
with allocator.freed_memory_returned():
    much = used(500)
assert resident() < held + 60, f"{held} -> {resident()} MiB"
"""


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_much_that_was_freed_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not GLIBC, reason="the allocator is not glibc's")
def test_memory_is_reused_within_and_returned_afterwards() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda *_: called.append(1))
    assert allocator.keep_freed_memory() is False
    with allocator.freed_memory_kept():
        pass
    assert not called
