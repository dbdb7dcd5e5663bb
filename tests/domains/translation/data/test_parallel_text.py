"""Parallel text: which files belong together, and files that cannot be read."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.translation.adapters import data_files
from domains.translation.data_config import PairLanguages, TranslationDataConfig
from domains.translation.parallel_text import ParallelFiles, find_parallel, parallel_rows
from shared.errors import DataError

DE_EN = PairLanguages(source="de", target="en", source_unit="word", target_unit="word")
EN_ZH = PairLanguages(source="en", target="zh", source_unit="word", target_unit="char")


def write(folder: Path, **files: str) -> Path:
    """Files whose names have ``__`` for every dot."""
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_bytes(text.encode())
    return folder


def names(found: list[ParallelFiles]) -> list[tuple[str | None, list[str]]]:
    return [(one.split, [path.name for path in one.paths()]) for one in found]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    write(tmp_path, train__de__gz="a\n", train__en__gz="b\n", train__fr="c\n", val__de="d\n", val__en="e\n")
    write(tmp_path, test_2016_flickr__de__txt="f\n", test_2016_flickr__en__txt="g\n", LICENSE="x", train__align="0-0")
    write(tmp_path / ".cache", train__de="x\n")
    assert names(find_parallel(tmp_path, DE_EN)) == [
        ("test", ["test_2016_flickr.de.txt", "test_2016_flickr.en.txt"]),
        ("train", ["train.de.gz", "train.en.gz"]),
        ("validation", ["val.de", "val.en"]),
    ]


def test_two_renderings_and_regions(tmp_path: Path) -> None:
    write(tmp_path, test__en="a\n", test__original__zh="b\n", test__monotone__zh="c\n")
    assert names(find_parallel(tmp_path, EN_ZH)) == [("test", ["test.en", "test.monotone.zh", "test.original.zh"])]
    write(tmp_path / "more", talk__en="a\n", **{"talk__rejected__zh-CN": "b\n", "talk__chosen__zh-CN": "c\n"})
    found = find_parallel(tmp_path / "more", EN_ZH)
    assert names(found) == [(None, ["talk.en", "talk.chosen.zh-CN", "talk.rejected.zh-CN"])]
    assert [row.values for row in parallel_rows(found[0])] == [{"source": "a\n", "target": "c\n", "rejected": "b\n"}]


@pytest.mark.parametrize(
    ("one", "other"),
    [("news.de-en.de", "news.de-en.en"), ("source.txt", "target.txt"), ("train.src", "train.tgt"), ("a.DE", "a.EN")],
)
def test_one_file_names_its_partner(tmp_path: Path, one: str, other: str) -> None:
    write(tmp_path, **{one.replace(".", "__"): "a\n", other.replace(".", "__"): "b\n", "zzz__de": "c\n"})
    config = TranslationDataConfig()
    source, target = tmp_path / one, tmp_path / other
    assert names(find_parallel(source, DE_EN))[0][1] == names(find_parallel(target, DE_EN))[0][1] == [one, other]
    assert data_files(source, config) == {"data": source, "target": target}
    assert data_files(target, config) == {"data": target, "source": source}
    assert data_files(tmp_path, config) == {"data": tmp_path}


def test_a_stated_partner(tmp_path: Path) -> None:
    write(tmp_path, left="a\n", right="b\n")
    config = TranslationDataConfig(target_file="right")
    assert data_files(tmp_path / "left", config) == {"data": tmp_path / "left", "target": tmp_path / "right"}
    with pytest.raises(DataError, match="gone is not there beside left"):
        find_parallel(tmp_path / "left", DE_EN, "gone")
    with pytest.raises(DataError, match=r"target_file goes with one source file"):
        find_parallel(tmp_path, DE_EN, "right")
    with pytest.raises(DataError, match=r"left is neither a table .* NAME\.de and NAME\.en"):
        find_parallel(tmp_path / "left", DE_EN)


def test_files_without_a_partner(tmp_path: Path) -> None:
    write(tmp_path, train__de="a\n")
    with pytest.raises(DataError, match=r"train\.de has no partner: train\.en .* is not there"):
        find_parallel(tmp_path, DE_EN)
    write(tmp_path, train__de__gz="a\n", train__en="b\n")
    with pytest.raises(DataError, match=r"train\.de and train\.de\.gz, both with the source sentences"):
        find_parallel(tmp_path, DE_EN)


def rows(folder: Path, source: bytes, target: bytes) -> list[tuple[str, str, str]]:
    (folder / "a.de").write_bytes(source)
    (folder / "a.en").write_bytes(target)
    found = parallel_rows(ParallelFiles(None, folder / "a.de", folder / "a.en"))
    return [(row.source, row.values["source"], row.values["target"]) for row in found]


def test_line_ends_and_marks(tmp_path: Path) -> None:
    found = rows(tmp_path, b"\xef\xbb\xbfJa\r\nNein\r\n\r\n", "Yes\x0b\u2028\x85 it is\nNo".encode())
    # Only a line feed ends a line: other separators stand inside sentences; blank lines at the end do not count.
    assert found == [("a.de:1", "Ja\r\n", "Yes\x0b\u2028\x85 it is\n"), ("a.de:2", "Nein\r\n", "No")]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (b"a\nb\nc\n", b"d\ne\n", r"a\.de has 3 lines and a\.en has 2: line n"),
        (b"a\n\n\nb\n", b"d\ne\n", r"a\.de has 4 lines and a\.en has 2"),
        (b"a\nb\n", b"a\nb", r"a\.de and a\.en hold the same text"),
        (b"", b"b\n", r"a\.de holds no text"),
        (b"a\n", b"\n \n", r"a\.en holds no text"),
        (b"a\n", b"b\0\0\0\0\0\n", r"a\.en is UTF-16 or binary, not UTF-8"),
        ("Grüße\n".encode("utf-16"), b"b\n", r"a\.de is UTF-16 or binary"),
        (b"Ja\nGr\xfc\xdfe\n", b"b\nc\n", r"a\.de:2 is not UTF-8 \(byte 0xfc at offset 5\)"),
        (b"a\rb\rc", b"d\re\rf", r"a\.de ends its lines with carriage returns alone"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, source: bytes, target: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        rows(tmp_path, source, target)
    assert "\n" not in str(caught.value)


def test_damaged_gzip(tmp_path: Path) -> None:
    write(tmp_path, a__de="a\n")
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"b\n" * 500)[:-9])
    (found,) = find_parallel(tmp_path, DE_EN)
    with pytest.raises(DataError, match=r"a\.en\.gz is a damaged \.gz file"):
        list(parallel_rows(found))


LINES = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\0\ufeff"), max_size=12), max_size=8
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, LINES)
def test_any_two_files_give_aligned_rows_or_one_sentence(tmp_path: Path, one: list[str], other: list[str]) -> None:
    texts = [[line.strip() for line in side] for side in (one, other)]
    for side in texts:
        while side and not side[-1]:
            side.pop()
    lengths = list(map(len, texts))
    if not all(lengths) or lengths[0] != lengths[1] or list(filter(None, texts[0])) == list(filter(None, texts[1])):
        with pytest.raises(DataError):
            rows(tmp_path, "\n".join(one).encode(), "\n".join(other).encode())
        return
    found = rows(tmp_path, "\n".join(one).encode(), "\n".join(other).encode())
    sides = [[line.rstrip("\n") for line in side] for side in zip(*[row[1:] for row in found], strict=True)]
    assert sides == [one[: len(found)], other[: len(found)]]
    assert len(found) == lengths[0]
