"""Parallel text in line-aligned files: which files belong together, and their rows.

A file is named ``NAME.LANGUAGE``, also with ``.txt`` and ``.gz`` behind it: ``train.de``, ``news.de-en.en.gz``.
``NAME.chosen.LANGUAGE`` (also ``monotone``, ``preferred``) and ``NAME.rejected.LANGUAGE`` (also ``original``,
``offline``) are two renderings of the same sentences. Endings ``.source``/``.src`` and ``.target``/``.tgt`` do too.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domains.translation.data_config import PairLanguages, primary
from shared.data.given_splits import split_in
from shared.data.reading import ENDINGS, TEXT_ENDINGS
from shared.data.rows import Row
from shared.data.text_files import text_lines
from shared.errors import DataError

CHOSEN = frozenset(("chosen", "monotone", "preferred"))
REJECTED = frozenset(("rejected", "original", "offline"))
SOURCE_ENDINGS = frozenset(("source", "src"))
TARGET_ENDINGS = frozenset(("target", "tgt"))
TABLES = (*ENDINGS, *(f"{one}.gz" for one in TEXT_ENDINGS))


@dataclass(frozen=True, slots=True)
class ParallelFiles:
    """Files whose n-th lines are one sentence and its renderings.

    Attributes:
        split: ``train``, ``validation``, ``test`` or another that the name speaks of; None where it speaks of none.
        source: file of the source sentences.
        target: file of the translations; of the chosen ones where there is a rejected one.
        rejected: file of the less preferred translations, or None.
    """

    split: str | None
    source: Path
    target: Path
    rejected: Path | None = None

    def paths(self) -> list[Path]:
        """All files, the source first."""
        return [self.source, self.target, *([self.rejected] if self.rejected else [])]


@dataclass(frozen=True, slots=True)
class _Named:
    stem: str
    role: str  # source, target or rejected
    path: Path


def is_table(path: Path) -> bool:
    """Whether a file name is one of a table (``.csv``, ``.tsv.gz``, ``.jsonl``, ``.parquet``, ...)."""
    return path.name.lower().endswith(TABLES)


def find_parallel(path: Path, languages: PairLanguages, target_file: str | None = None) -> list[ParallelFiles]:
    """The parallel files of a folder, or the one set that a file belongs to.

    Args:
        path: a folder, or a file in one of the two languages whose partner lies beside it.
        languages: whose codes the file names end with; files in other languages are passed over.
        target_file: name of the file with the translations, where `path` is the source file and the names do not tell.

    Returns:
        Sets in the order of their names; empty where a folder holds none.

    Raises:
        DataError: a file without its partner, two files for one role, or a file that is no parallel text by its name.
    """
    if target_file is not None:
        if path.is_dir():
            raise DataError(
                f"data.target_file goes with one source file, but --data names the folder {path.name}: name the file."
            )
        target = path.parent / target_file
        if not target.is_file():
            raise DataError(
                f"{target_file} is not there beside {path.name}: data.target_file names a file in the same folder."
            )
        return [ParallelFiles(None, path, target)]
    if path.is_dir():
        files = [one for one in sorted(path.rglob("*")) if one.is_file()]
        hidden = [any(part.startswith(".") for part in one.relative_to(path).parts) for one in files]
        named = [
            found
            for one, is_hidden in zip(files, hidden, strict=True)
            if not is_hidden and (found := _parse(one, path, languages))
        ]
        return _sets(named, path, languages)
    own = _parse(path, path.parent, languages)
    if own is None:
        source, target = languages.source, languages.target
        raise DataError(
            f"{path.name} is neither a table ({', '.join(ENDINGS)}) nor named for a language: name the two files of "
            f"parallel text NAME.{source} and NAME.{target} and give either, or set data.target_file."
        )
    named = [
        found
        for one in sorted(path.parent.iterdir())
        if one.is_file()
        for found in [_parse(one, path.parent, languages)]
        if found and found.stem == own.stem
    ]
    return _sets(named, path.parent, languages)


def _parse(path: Path, folder: Path, languages: PairLanguages) -> _Named | None:
    """Stem and role of a file by its name; None where it ends with neither language."""
    parts = path.name.split(".")
    for packing in ("gz", "txt"):
        if len(parts) > 1 and parts[-1].lower() == packing:
            parts.pop()
    ending = parts.pop().lower()
    role = _role(ending, languages)
    if role is None:
        return None
    if role == "target" and parts and parts[-1].lower() in CHOSEN | REJECTED:
        role = "rejected" if parts.pop().lower() in REJECTED else "target"
    parent = path.relative_to(folder).parent.as_posix()
    stem = ".".join(parts)
    return _Named(stem if parent == "." else f"{parent}/{stem}", role, path)


def _role(ending: str, languages: PairLanguages) -> str | None:
    ending = ending.replace("_", "-")
    codes = {"source": languages.source.lower().replace("_", "-"), "target": languages.target.lower().replace("_", "-")}
    for role, words in (("source", SOURCE_ENDINGS), ("target", TARGET_ENDINGS)):
        if ending == codes[role] or ending in words:
            return role
    # train.zh-CN for zh; not where both languages are variants of one (pt-BR and pt-PT).
    if primary(codes["source"]) != primary(codes["target"]):
        for role, code in codes.items():
            if primary(ending) == primary(code):
                return role
    return None


def _sets(named: list[_Named], folder: Path, languages: PairLanguages) -> list[ParallelFiles]:
    by_stem: dict[str, dict[str, Path]] = {}
    for one in named:
        roles = by_stem.setdefault(one.stem, {})
        if one.role in roles:
            raise DataError(
                f"{folder.name} holds {roles[one.role].name} and {one.path.name}, both with the {one.role} sentences "
                f"of {one.stem or 'one text'}: keep one."
            )
        roles[one.role] = one.path
    found = []
    for stem, roles in by_stem.items():
        for role, language in (("source", languages.source), ("target", languages.target)):
            if role not in roles:
                there = next(iter(roles.values())).name
                wanted = f"{Path(stem).name}.{language}" if stem else f"target.{language}"
                raise DataError(
                    f"{there} has no partner: {wanted} (the {role} sentences, data.{role}_language is {language!r}) is "
                    "not there; put it beside, take the other out, or set the languages."
                )
        found.append(ParallelFiles(split_in(stem), roles["source"], roles["target"], roles.get("rejected")))
    return found


def parallel_rows(
    files: ParallelFiles, source: str = "source", target: str = "target", rejected: str = "rejected"
) -> Iterator[Row]:
    """One row a line, with columns of the names given; a row's place is the line of the source file.

    Raises:
        DataError: before the first row: unequal numbers of lines (blank lines at the end aside), two files with the
            same text, an empty file, one that is binary or not UTF-8, or with lines that end in carriage returns.
    """
    names = [path.name for path in files.paths()]
    surveys = [_survey(path, name) for path, name in zip(files.paths(), names, strict=True)]
    lines = [survey[0] for survey in surveys]
    for name, count in zip(names, lines, strict=True):
        if not count:
            raise DataError(f"{name} holds no text: give one sentence a line.")
    for name, count in zip(names[1:], lines[1:], strict=True):
        if count != lines[0]:
            raise DataError(
                f"{names[0]} has {lines[0]} lines and {name} has {count}: line n of one must be the translation of "
                "line n of the other; give two files of the same length."
            )
    for place, name in enumerate(names):
        if surveys[place][1] in [other[1] for other in surveys[:place]]:
            same = names[[other[1] for other in surveys].index(surveys[place][1])]
            raise DataError(f"{same} and {name} hold the same text: one must be a translation of the other.")
    columns = [source, target, rejected][: len(names)]
    readers = [text_lines(path, name) for path, name in zip(files.paths(), names, strict=True)]
    for number in range(1, lines[0] + 1):
        yield Row(
            {column: next(reader) for column, reader in zip(columns, readers, strict=True)}, f"{names[0]}:{number}"
        )


def _survey(path: Path, name: str) -> tuple[int, bytes]:
    """(lines up to the last that is not blank, digest of their text)."""
    count = number = 0
    digest = hashlib.blake2b(digest_size=16)
    returns = 0
    for number, line in enumerate(text_lines(path, name), start=1):
        text = line.strip()
        if text:
            count = number
            digest.update(text.encode("utf-8") + b"\n")
            returns += "\r" in text
    # One line with many returns inside is a file of an old Macintosh: it would be read as one sentence.
    if count == 1 and returns:
        raise DataError(f"{name} ends its lines with carriage returns alone: save it with line feeds.")
    return count, digest.digest()
