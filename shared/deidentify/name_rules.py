"""The rules by which words of one analysed English text count as a person's name; see `shared.deidentify.names`."""

import re
from typing import Any

from shared.deidentify import common_names as words
from shared.deidentify.findings import PLACEHOLDER
from shared.deidentify.name_lists import NameLists

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\Z")
_BRAND = re.compile("|".join(re.escape(phrase) for phrase in words.BRAND_PHRASES), re.IGNORECASE)
_ENDINGS = ("s", "es", "ed", "d", "er", "r", "ing", "in", "ly", "n", "y")
_MODALS = frozenset(("will", "may", "might", "would", "can", "could", "should", "must"))
_VERBS = frozenset(("VBD", "VBZ", "MD", "VBP", "VB", "VBN", "VBG"))
_NOUNS = frozenset(("NN", "NNP", "NNPS", "NNS", "JJ", "FW", "UH", "XX"))
_PLACE_LABELS = frozenset(("GPE", "LOC", "FAC", "ORG", "PRODUCT", "WORK_OF_ART", "LAW", "EVENT", "NORP"))


class SentenceNames:
    """The rules applied to one analysed text; `find` returns (spans with score and rule, spans to try capitalised)."""

    def __init__(self, doc: Any, lists: NameLists) -> None:
        self.doc = doc
        self.lists = lists
        self.lower = [token.lower_.strip(".’'") for token in doc]
        self.tags = [token.tag_ for token in doc]
        self.blocked = [m.span() for m in PLACEHOLDER.finditer(doc.text)]
        self.blocked += [m.span() for m in _BRAND.finditer(doc.text)]
        alphabetic = [token for token in doc if token.is_alpha and len(token) > 1]
        capitals = sum(token.text[0].isupper() for token in alphabetic[1:])
        # In a heading or in capitals throughout, a capital says nothing.
        self.heading = len(alphabetic) >= 4 and capitals > 0.7 * (len(alphabetic) - 1)
        self.shouting = sum(token.is_upper for token in alphabetic) > len(alphabetic) / 2
        self.label = [token.ent_type_ for token in doc]

    def _foreign(self, index: int) -> bool:
        """Whether the passage around a token is in another language, of which the English model knows nothing."""
        around = self.lower[max(0, index - 12) : index + 13]
        other = sum(word in words.OTHER_WORDS for word in around)
        return other >= 2 and other > sum(word in words.ENGLISH_WORDS for word in around)

    def find(self) -> tuple[list[tuple[int, int, float, str]], list[tuple[int, int]]]:
        taken: dict[int, tuple[int, float, str]] = {}  # first token -> (one past the last, score, rule)
        for entity in self.doc.ents:
            if entity.label_ == "PERSON" and not self._foreign(entity.start):
                span = self._from_model(entity.start, entity.end)
                if span is not None:
                    taken[span[0]] = (span[1], 0.85, "name-model")
        covered = {i for start, (end, _, _) in taken.items() for i in range(start, end)}
        doubtful: list[tuple[int, int]] = []
        for index in range(len(self.doc)):
            if index in covered:
                continue
            rule, score = self._from_words(index)
            if rule == "doubtful":
                if (
                    self._foreign(index)
                    or self._tag(index) not in ("NN", "NNP", "FW")
                    or self._ordinary(self._word(index))
                ):
                    continue
                end = index + 1 + (index + 1 < len(self.doc) and self._surname(index + 1))
                doubtful.append(self._characters(index, end))
                covered.update(range(index, end))
            elif rule:
                end = self._with_surname(index)
                taken[index] = (end, score, rule)
                covered.update(range(index, end))
        spans = []
        for start, (end, score, rule) in taken.items():
            a, b = self._characters(start, end)
            if not any(x < b and a < y for x, y in self.blocked):
                spans.append((a, b, score, rule))
        return spans, doubtful

    def _characters(self, start: int, end: int) -> tuple[int, int]:
        last = self.doc[end - 1]
        return self.doc[start].idx, last.idx + len(last.text.rstrip(".’'")) if len(last) > 2 else last.idx + len(last)

    def _word(self, index: int) -> str:
        return self.lower[index] if 0 <= index < len(self.lower) else ""

    def _tag(self, index: int) -> str:
        return self.tags[index] if 0 <= index < len(self.tags) else ""

    def _cased(self, index: int) -> bool:
        text = self.doc[index].text
        return not self.heading and text[0].isupper() and (len(text) == 1 or not text.isupper())

    def _starts_sentence(self, index: int) -> bool:
        return index == 0 or self.doc[index - 1].text[-1:] in '.!?\n:"“' or self.doc[index - 1].is_space

    def _eponym(self, end: int) -> bool:
        if self._word(end) in ("s", "'s", "’s") and self._word(end + 1) in words.EPONYM_NOUNS:
            return True
        return self._word(end) in words.EPONYM_NOUNS

    def _given(self, index: int) -> bool:
        word = self._word(index)
        return word in words.GIVEN_NAMES or word in words.AMBIGUOUS_GIVEN_NAMES or self.lists.rare_given(word)

    def _from_model(self, start: int, end: int) -> tuple[int, int] | None:
        while start < end and (
            self._word(start) in words.TITLES | words.GREETINGS | words.KIN or not _WORD.match(self.doc[start].text)
        ):
            start += 1
        while end > start and not _WORD.match(self.doc[end - 1].text.rstrip(".")):
            end -= 1
        if start >= end or any(token.like_num or token.is_digit for token in self.doc[start:end]):
            return None
        first = self._word(start)
        if self._eponym(end) or first in words.NOT_A_NAME:
            return None
        if self._cased(start):
            known = any(self._given(i) or self._word(i) in self.lists.surnames for i in range(start, end))
            ordinary = all(self._word(i) in self.lists.ordinary for i in range(start, end))
            if end - start == 1 and first in words.BRANDS and not self._cue(start):
                return None
            if end - start == 1 and (
                first in words.AMBIGUOUS_GIVEN_NAMES or (not known and self._ordinary(first)) or ordinary
            ):
                return (start, end) if self._ambiguous(start) else None
            if end - start == 1 and not known and self._starts_sentence(start) and self._tag(start + 1) not in _VERBS:
                return None
            return None if ordinary and not any(self._given(i) for i in range(start, end)) else (start, end)
        # Lower case, a heading or capitals: the model's word counts for names of the lists only.
        whole = end - start > 1 and all(tag == "NNP" for tag in self.tags[start:end]) and self._given(start)
        if whole and not any(self._word(i) in words.CONTRACTIONS | words.SAYING for i in range(start, end)):
            return start, end
        if first in words.GIVEN_NAMES or self.lists.rare_given(first):
            return start, self._with_surname(start)
        if first in words.AMBIGUOUS_GIVEN_NAMES and self._ambiguous(start):
            return start, self._with_surname(start)
        if self._word(start - 1) in words.TITLES and first not in self.lists.ordinary:
            return start, end
        return None

    def _ordinary(self, word: str) -> bool:
        """Whether a word, or what is left without a common ending, stands in the dictionary."""
        if word in self.lists.ordinary:
            return True
        stems = (
            word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending) and len(word) > len(ending) + 2
        )
        return any(stem in self.lists.ordinary or stem + "e" in self.lists.ordinary for stem in stems)

    def _cue(self, index: int) -> bool:
        before, second = self._word(index - 1), self._word(index - 2)
        if before in words.TITLES | words.KIN:
            return True
        if before == "," and second in words.KIN:
            return self._cased(index)
        if before in words.GREETINGS:
            return self._starts_sentence(index - 1) and self._word(index + 1) in (
                ",",
                "!",
                "",
                ".",
                "and",
                "-",
            )
        if before == "is" and second == "name":
            return True
        return before in ("called", "named")

    def _ambiguous(self, index: int) -> bool:
        """Whether a word that is both a name and something else is a name here."""
        word, tag, after, tag_after = (
            self._word(index),
            self._tag(index),
            self._word(index + 1),
            self._tag(index + 1),
        )
        cued = self._cue(index)
        if word in _MODALS:
            spoken = after in _MODALS or after in words.SAYING or tag_after in ("VBD", "VBZ", "POS")
            return spoken and (cued or self._cased(index))
        if cued and self._cased(index):
            return True
        if cued and (
            tag_after in ("VBD", "VBZ", "MD", "POS", "CC") or after in (",", ".", "!", "") or after in words.SAYING
        ):
            return tag in _NOUNS or after in words.SAYING
        if not self._cased(index) or self.label[index] in _PLACE_LABELS:
            return False
        if tag not in ("NNP", "NNPS", "NN"):
            return False
        says = after in words.SAYING or tag_after in ("VBD", "POS") or after in ("'s", "’s")
        if self._starts_sentence(index):
            return says and after not in ("and", "or")
        if word not in words.AMBIGUOUS_GIVEN_NAMES and word not in self.lists.given:
            return says and after not in ("is", "was", "has", "had") and self.label[index] == "PERSON"
        # A capital within a sentence is evidence; a run of capitalised words is a title or a brand.
        neighbours = [i for i in (index - 1, index + 1) if 0 <= i < len(self.doc) and self.doc[i].is_alpha]
        return self.label[index] == "PERSON" and (
            says or not any(self._cased(i) and self._word(i) != "i" for i in neighbours)
        )

    def _from_words(self, index: int) -> tuple[str, float]:
        token, word = self.doc[index], self._word(index)
        if len(word) < 2 or not _WORD.match(token.text.rstrip(".")) or word in words.NOT_A_NAME:
            return "", 0.0
        if self._eponym(index + 1) or self._word(index - 1) in ("st", "saint", "san", "santa", "&"):
            return "", 0.0
        if word in words.GIVEN_NAMES:
            if token.is_upper and len(token) <= 4 and not self.shouting and not self._cue(index):
                return "", 0.0  # TED, PAM: letters that stand for something
            if self._foreign(index) and (not token.is_title or self._starts_sentence(index)):
                return "", 0.0
            place = (
                self.label[index] in _PLACE_LABELS
                and self._cased(index)
                and (self.doc[index].ent_iob_ == "I" or self._word(index + 1) in ("&", "inc", "street", "and co"))
            )
            return ("", 0.0) if place or self._word(index + 1) == "&" else ("name-list", 0.8)
        if self._word(index - 1) in words.TITLES and self._tag(index) in (
            "NN",
            "NNP",
            "NNS",
            "NNPS",
            "JJ",
            "FW",
        ):
            surname = word in self.lists.surnames and (word not in self.lists.ordinary or word in words.SURNAMES)
            if surname or self._cased(index):
                return "name-title", 0.75
        if word in words.AMBIGUOUS_GIVEN_NAMES:
            follows = index + 1 < len(self.doc) and self._full_name(index)
            return ("name-cue", 0.65) if follows or self._ambiguous(index) else ("", 0.0)
        if len(word) > 2 and self.lists.rare_given(word):
            if self._cue(index) and self._tag(index) not in ("IN", "DT", "PRP", "CC", "MD", "RB"):
                return "name-cue", 0.7
            if self._cased(index):
                return self._rare_cased(index)
            return "doubtful", 0.0
        return "", 0.0

    def _full_name(self, index: int) -> bool:
        """Whether an ambiguous given name and the next word are a full name ("Rose Kelly", "mark morris")."""
        following = self._word(index + 1)
        if self._cased(index) != self._cased(index + 1) or self._tag(index) in (
            "MD",
            "VB",
            "VBP",
            "VBZ",
            "IN",
        ):
            return False
        if self._cased(index):
            return following in words.SURNAMES
        proper = self._tag(index) == self._tag(index + 1) == "NNP" or following not in self.lists.ordinary
        return proper and self._surname(index + 1) and len(following) > 3

    def _rare_cased(self, index: int) -> tuple[str, float]:
        """A rare given name with a capital that the model did not call PERSON."""
        after = index + 1
        if self.label[index] in _PLACE_LABELS or self._tag(index) not in ("NNP", "NNPS"):
            return "", 0.0
        spoken = self._word(after) in words.SAYING or self._tag(after) == "POS"
        surname = after < len(self.doc) and self._cased(after) and self._word(after) in self.lists.surnames
        return ("name-list", 0.6) if spoken or surname else ("", 0.0)

    def _with_surname(self, index: int) -> int:
        """One past the last token of the name that starts here: initials, particles and a surname are taken along."""
        end = index + 1
        while end < len(self.doc) and end - index < 5:
            token, word, tag = self.doc[end], self._word(end), self._tag(end)
            if (
                self._cased(index) != self._cased(end)
                and len(token.text.rstrip(".")) > 1
                and word not in words.PARTICLES
            ):
                break
            if self._cased(end) and len(token.text.rstrip(".")) == 1 and word != "i":
                end += 1
                continue
            if word in words.PARTICLES and end + 1 < len(self.doc) and self._surname(end + 1):
                end += 2
                continue
            if not self._surname(end) or (tag in ("MD", "IN", "DT", "CC", "PRP") and not self._cased(end)):
                break
            end += 1
        return end

    def _surname(self, index: int) -> bool:
        word, token = self._word(index), self.doc[index]
        if len(word) < 2 or not _WORD.match(token.text) or word in words.NOT_A_NAME:
            return False
        if self._cased(index):
            return self._tag(index) in ("NNP", "NNPS") and (
                word in self.lists.surnames or word not in self.lists.ordinary
            )
        if word in words.SAYING or word in words.CONTRACTIONS:
            return False
        if word in self.lists.surnames and len(word) > 3 and (self._tag(index) == "NNP" or not self._ordinary(word)):
            return True
        known = word in words.SURNAMES or (word in self.lists.surnames and word not in self.lists.ordinary)
        return known and self._tag(index) in ("NN", "NNP", "NNS", "JJ", "NNPS", "FW")
