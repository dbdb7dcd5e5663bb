"""File names as they may be stored and shown: a person's name in one is masked like one in a text."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.deidentify.deidentifier import Deidentifier

# File names of these words alone name nobody, and the masker finds nothing in them.
PLAIN_WORDS = frozenset(
    [
        "all",
        "answers",
        "data",
        "dataset",
        "eval",
        "examples",
        "export",
        "full",
        "pairs",
        "parallel",
        "preference",
        "preferences",
        "questions",
        "ratings",
        "records",
        "responses",
        "rows",
        "sample",
        "samples",
        "sentences",
        "small",
        "test",
        "texts",
        "train",
        "training",
        "valid",
        "validation",
    ]
)


def masked_file_name(name: str, masker: "Deidentifier | None" = None) -> str:
    """The file name, unchanged where it names nobody.

    Args:
        name: without folders, e.g. ``Jane_Doe_export.csv``.
        masker: one that is at hand; to make one loads a language model (seconds), which `PLAIN_WORDS` do not need.
    """
    # "train.de" packed is train.de.gz: without its first ending the rest would read like the address of a host.
    path = Path(name[:-3] if name.lower().endswith(".gz") else name)
    words = path.stem.replace("_", " ").replace("-", " ")
    if PLAIN_WORDS.issuperset(words.lower().split()):
        return name
    from shared.deidentify.deidentifier import Deidentifier

    masked, findings = (masker or Deidentifier()).mask_text(words)
    return name if not findings else masked.replace(" ", "_") + name[len(path.stem) :]


def masked_source(source: str, names: dict[str, str], masker: "Deidentifier") -> str:
    """A record's source, ``file:row``, with its file name masked; `names` remembers the files seen."""
    name, sign, row = source.rpartition(":")
    if not sign:
        return source
    if name not in names:
        names[name] = masked_file_name(Path(name).name, masker)
    return f"{names[name]}:{row}"
