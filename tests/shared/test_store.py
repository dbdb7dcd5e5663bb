"""The store: whole or absent, verified before use, once per key."""

import errno
import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import store as store_module
from shared.errors import SystemStateError
from shared.store import MANIFEST, CorruptArtifactError, Store, safe_relative

KEY = "ab" * 32


def make(store: Store, text: str = "weights", key: str = KEY):
    with store.writing("align/seed-0", key) as out:
        (out / "sub").mkdir()
        (out / "sub" / "model.bin").write_text(text)
        return store.commit("align/seed-0", key, out, {"seconds": 1.0})


def test_commit_then_get_gives_the_same_files_and_digest(tmp_path):
    store = Store(tmp_path)
    made = make(store)
    found = store.get("align/seed-0", KEY)
    assert found is not None
    assert found.digest == made.digest
    assert (found.path / "sub" / "model.bin").read_text() == "weights"
    assert found.path.parent.name == "align"


def test_digest_depends_on_content_not_on_time(tmp_path):
    one = make(Store(tmp_path / "one"))
    time.sleep(0.01)
    two = make(Store(tmp_path / "two"))
    other = make(Store(tmp_path / "three"), "other weights")
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("damage", ["flip", "missing", "extra", "manifest", "digest"])
def test_damage_is_found_and_set_aside(tmp_path, damage, caplog):
    store = Store(tmp_path)
    folder = make(store).path
    model = folder / "sub" / "model.bin"
    if damage == "flip":
        data = bytearray(model.read_bytes())
        data[3] ^= 1
        status = model.stat()
        model.write_bytes(data)
        os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif damage == "missing":
        model.unlink()
    elif damage == "extra":
        (folder / "more.txt").write_text("x")
    elif damage == "manifest":
        (folder / MANIFEST).write_text("{")
    else:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["digest"] = "0" * 64
        (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifactError):
        store.verify("align", KEY)
    assert store.get("align", KEY) is None
    assert "set aside" in caplog.text
    assert not folder.exists()
    assert len(list((tmp_path / "corrupt").iterdir())) == 1
    assert make(store).digest


def test_a_crash_before_the_rename_leaves_nothing_that_counts(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(store_module, "fsync_tree", lambda folder: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        make(store)
    assert not store.has("align", KEY)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_space_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "fsync_tree", full)
    with pytest.raises(SystemStateError, match="no space is left"):
        make(store)
    assert not store.has("align", KEY)


def test_links_are_refused(tmp_path):
    store = Store(tmp_path)
    with store.writing("data", KEY) as out:
        (out / "link").symlink_to("/etc/passwd")
        with pytest.raises(SystemStateError, match="link"):
            store.commit("data", KEY, out, {})


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\0b", "a\\..\\b"])
def test_unsafe_names_are_refused(name):
    with pytest.raises(ValueError, match="unsafe"):
        safe_relative(name)


@given(st.text(min_size=1))
def test_safe_names_stay_inside(name):
    try:
        path = safe_relative(name)
    except ValueError:
        return
    assert not (Path("/root") / path).relative_to("/root").is_absolute()
    assert ".." not in path.parts


def test_a_manifest_naming_a_file_outside_is_corrupt(tmp_path):
    store = Store(tmp_path)
    folder = make(store).path
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../../../secret"] = {"sha256": "0" * 64, "bytes": 1}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptArtifactError, match="unsafe"):
        store.verify("align", KEY)


def test_commit_removes_the_work_folder(tmp_path):
    store = Store(tmp_path)
    work = store.work("align/seed-0", KEY)
    (work / "checkpoint").write_text("x")
    make(store)
    assert not work.exists()


def _work_once(root: str, done: str) -> None:
    store = Store(Path(root))
    with store.lock("align", KEY):
        if store.get("align", KEY) is None:
            with (Path(done)).open("a") as file:
                file.write("worked\n")
            time.sleep(0.3)
            make(store)


def test_two_starts_of_one_key_do_the_work_once(tmp_path):
    done = tmp_path / "done"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work_once, args=(str(tmp_path / "s"), str(done))) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert done.read_text() == "worked\n"


def test_remove_frees_the_artifact(tmp_path):
    store = Store(tmp_path)
    make(store)
    assert store.remove("align", KEY) > len("weights")
    assert list(store.list()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("created"),
        lambda manifest: manifest.update(created="yesterday"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest.update(files={"sub/model.bin": None}),
        lambda manifest: manifest.update(files={"sub/model.bin": {"sha256": 1}}),
        lambda manifest: manifest.update(files={"../x": {"sha256": "00"}}),
        lambda manifest: manifest.update(stage=None),
        lambda manifest: manifest.update(digest=None),
    ],
)
def test_a_manifest_that_was_meddled_with_is_damage(tmp_path, change):
    store = Store(tmp_path)
    path = make(store).path / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    list(store.list())
    with pytest.raises(CorruptArtifactError):
        store.verify("align/seed-0", KEY)
    assert store.get("align/seed-0", KEY) is None


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_a_manifest_that_is_none_is_damage(tmp_path, text):
    store = Store(tmp_path)
    (make(store).path / MANIFEST).write_bytes(text)
    assert list(store.list()) == []
    assert store.get("align/seed-0", KEY) is None


def test_an_artifact_that_may_not_be_read_is_not_damaged(tmp_path, monkeypatch):
    store = Store(tmp_path)
    folder = make(store).path

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(store_module, "file_digest", refuse)
    with pytest.raises(SystemStateError, match=r"model\.bin cannot be read \(Permission denied\)"):
        store.get("align/seed-0", KEY)
    assert folder.is_dir()
