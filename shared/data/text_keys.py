"""When two texts count as the same: Unicode form, case and white space aside."""

import hashlib
import unicodedata


def text_key(text: str) -> str:
    """The text in NFKC, case-folded, white space collapsed; applying it twice changes nothing."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Case-folding may leave the normal form, and normalising may bring capitals back.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def text_hash(text: str) -> int:
    """64 bits of the sha256 of `text_key`: small enough to keep for millions of texts."""
    return int.from_bytes(hashlib.sha256(text_key(text).encode("utf-8", "surrogatepass")).digest()[:8], "big")
