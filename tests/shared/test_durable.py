"""A disk that is full, too small, read-only: one sentence, whoever ran into it."""

import errno
import resource
from pathlib import Path

import pytest
from safetensors import SafetensorError

from shared.durable import disk_errors, is_full_disk, require_space, write_json, write_text
from shared.errors import DataError, StageError, SystemStateError


def test_a_device_that_is_full(tmp_path):
    def write() -> None:
        with disk_errors(tmp_path):
            Path("/dev/full").write_text("x")

    with pytest.raises(SystemStateError, match="no space is left on the disk that holds") as caught:
        write()
    assert str(tmp_path) in str(caught.value)
    assert "finished stages are kept" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0: file write failed"),
        StageError("the training ended with code 1 after step 3: OSError: No space left on device (see child.log)."),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_whatever_a_library_says_of_a_full_disk(tmp_path, error):
    with pytest.raises(SystemStateError, match="no space is left"), disk_errors(tmp_path):
        raise error


def test_an_error_that_came_from_a_full_disk(tmp_path):
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(SystemStateError, match="no space is left"), disk_errors(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error",
    [DataError("row 3 says: no space left on device"), ValueError("x"), FileNotFoundError(2, "x"), KeyError("x")],
)
def test_other_errors_pass(tmp_path, error):
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path):
        raise error
    assert caught.value is error


def test_a_limit_on_the_size_of_files_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"whole": True})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(SystemStateError, match="ulimit -f"):
            write_text(path, "x" * 5_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == '{\n  "whole": true\n}\n'
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_is_a_file_or_read_only_is_no_traceback(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a"))
    with pytest.raises(SystemStateError, match=r"a cannot be written \(Permission denied\)"), disk_errors(tmp_path):
        raise error


def test_space_that_a_start_needs(tmp_path):
    require_space(tmp_path, 1)
    assert not is_full_disk(tmp_path)
    with pytest.raises(SystemStateError, match=rf"too little space is left on the disk that holds {tmp_path}"):
        require_space(tmp_path, 2**62)
