"""Keeping freed memory for reuse while a processor computes with large tensors, and giving it back afterwards.

By default glibc gives every block above some megabytes back to the system when it is freed and asks for fresh pages
for the next one. A training pass makes thousands of such blocks, and fresh pages are cleared first: that takes time
(`benchmarks/preference_engine.py --sides valign valign-malloc`). On other systems, and with other allocators, nothing
is changed.
"""

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4  # of mallopt(3)
KEEPING = {TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 256 * 2**20, MMAP_MAX: 0}
# Once told anything, glibc no longer adapts its thresholds to the blocks that are freed: what it adapts them to at most
# is set instead. Its start values would have every block above 128 KiB cleared anew.
AFTERWARDS = {TRIM_THRESHOLD: 64 * 2**20, TOP_PAD: 128 * 1024, MMAP_THRESHOLD: 32 * 2**20, MMAP_MAX: 65536}

LARGE = 256 * 2**20  # bytes a process has grown by, from which it is worth the search for what can be given back

_kept = False


def _glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def _set(values: dict[int, int]) -> bool:
    if not _glibc():
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(name, value) == 1 for name, value in values.items())


def keep_freed_memory() -> bool:
    """Keeps freed memory until the process ends: for a process that does nothing but train.

    Returns:
        Whether the allocator could be told.
    """
    global _kept
    _kept = _set(KEEPING)
    return _kept


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Gives freed memory back at the end where the process has grown by much within.

    What a stage computed with is freed when it ends, but glibc keeps pages that lie between blocks still in use: a
    command that has computed with a model would hold on to some hundred megabytes while its training, a process of its
    own, needs them.
    """
    before = _resident()
    try:
        yield
    finally:
        if not _kept and _resident() - before > LARGE:
            gc.collect()
            if _glibc():
                ctypes.CDLL(None).malloc_trim(0)


def _resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say so in a file."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keeps freed memory for a while, and gives it back at the end; within itself, the outermost does."""
    global _kept
    if _kept or not keep_freed_memory():
        yield
        return
    try:
        yield
    finally:
        _kept = False
        _set(AFTERWARDS)
        ctypes.CDLL(None).malloc_trim(0)
