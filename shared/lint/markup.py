"""Remains of markup and of broken decoding."""

import re

from shared.lint.patterns import pattern_check
from shared.lint.registry import Check

_TAG = re.compile(
    r"</?(?:p|br|hr|div|span|a|b|i|u|em|strong|ul|ol|li|img|h[1-6]|table|t[rdh]|tbody|font|script|style|iframe|blockquote|"
    r"pre|code|section|article)(?:\s[^<>]{0,500})?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|mdash|ndash|rsquo|lsquo|ldquo|rdquo|hellip|#\d{2,6}|#x[0-9a-f]{2,6});",
    re.I,
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u200e\u200f\u2060\ufeff]")
# UTF-8 read as Windows-1252 or Latin-1, once; and the replacement character.
_MOJIBAKE = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u02c6\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u20ac\u2122]|\u00e2\u20ac.|\u00e2\u0080.|\ufffd"
)

markup_remains = pattern_check(
    "markup_remains",
    severity="warning",
    kinds={
        "HTML tags": lambda text: "<" in text and _TAG.search(text),
        "HTML entities": lambda text: "&" in text and _ENTITY.search(text),
        "control characters": lambda text: not text.isprintable() and _CONTROL.search(text),
        "broken decoding (mojibake)": lambda text: not text.isascii() and _MOJIBAKE.search(text),
    },
    advice="clean the text where it is read, or the model learns to write it.",
    about="HTML tags and entities, control characters, broken decoding.",
)

CHECKS: tuple[Check, ...] = (markup_remains,)
