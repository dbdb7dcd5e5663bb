"""The cache of measured factors: bytes come back, damage and several processes do no harm."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import SystemStateError
from shared.explain.factor_cache import FactorCache, default_factor_cache


@settings(max_examples=20, deadline=None)
@given(values=st.dictionaries(st.text(max_size=20), st.binary(max_size=40), max_size=8))
def test_what_is_put_comes_back_and_nothing_else(
    values: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with FactorCache(tmp_path_factory.mktemp("cache") / "a.sqlite") as cache:
        readable = {key.encode("utf-8", "replace").decode(): value for key, value in values.items()}
        cache.put_many(readable)
        assert cache.get_many([*readable, "not there\0"]) == readable
        assert len(cache) == len(readable)


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    values = {f"key-{number}": str(number).encode() for number in range(1_700)}
    with FactorCache(tmp_path / "a.sqlite") as cache:
        cache.put_many(values)
        assert cache.get_many(values) == values


def test_a_later_value_replaces_an_earlier_one(tmp_path: Path) -> None:
    with FactorCache(tmp_path / "a.sqlite") as cache:
        cache.put_many({"a": b"1"})
        cache.put_many({"a": b"2"})
        assert cache.get_many(["a"]) == {"a": b"2"}


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with FactorCache(path) as cache:
        cache.put_many({"a": b"1"})
        assert cache.get_many(["a"]) == {"a": b"1"}
    assert len(list(tmp_path.glob("a.sqlite.damaged-*"))) == 1


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = default_factor_cache("toys")
    with FactorCache(path):
        assert path.stat().st_mode & 0o077 == 0
    assert path.name == "toys.sqlite"


def test_a_file_of_other_columns_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE measured (something TEXT)")
    with FactorCache(path) as cache, pytest.raises(SystemStateError, match="delete the file"):
        cache.get_many(["a"])


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    FactorCache(path).close()
    code = (
        "import sys; from pathlib import Path; from shared.explain.factor_cache import FactorCache\n"
        "with FactorCache(Path(sys.argv[1])) as cache:\n"
        "    for number in range(50):\n"
        "        cache.put_many({f'{sys.argv[2]}-{number}-{one}': b'x' for one in range(5)} | {'common': b'y'})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in range(3)]
    assert [one.wait(timeout=300) for one in running] == [0, 0, 0]
    with FactorCache(path) as cache:
        assert len(cache) == 3 * 50 * 5 + 1
