"""Personal data by pattern: a count for the report, on raw and on masked data alike. Masking is done elsewhere.

Names are not looked for here: patterns cannot tell them.
"""

import re

from shared.lint.patterns import pattern_check
from shared.lint.registry import Check

_EMAIL = re.compile(r"[\w.+-]+\s?@\s?[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b", re.IGNORECASE)
_URL = re.compile(
    r"https?://|\bwww\.[\w-]+\.|(?<![\w@.-])(?:[\w-]+\.)+(?:com|org|net|edu|gov|info|co\.uk)\b(?!@)", re.IGNORECASE
)
# A cheap look first: the pattern above tries every word.
_URL_HINT = re.compile(r"https?://|www\.|\.(?:com|org|net|edu|gov|info|co\.uk)\b", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.,/$-])(?:"
    r"(?:\+?1[ .-]{0,2})?(?:\(\d{3}\)[ .-]{0,2}|\d{3}[ .-]{1,2})\d{3}[ .-]{1,2}\d{4}"  # North America
    r"|1[ .-]8\d\d[ .-][\dA-Z]{3,4}[ .-]?[\dA-Z]{3,4}"  # with letters: 1-800-273-TALK
    r"|\+[2-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,5}"  # international
    r"|0(?!\d\d-\d\d-\d{4}\b)\d{1,4}[ /-]\d{2,4}[ -]?\d{3,8}"  # with a national prefix
    r")(?![\w/])"
)
_DIGIT = re.compile(r"\d")
_CREDENTIAL = re.compile(
    r"\b(?:LMFT|LCMFT|LCSW(?:-[A-Z])?|LICSW|LMSW|LCMHC|LMHC|LPCC|LCPC|LPC(?:-[A-Z]+)?|LPC-?MHSP|LCADC|LCDC|LMFTA|MFT|AMFT|"
    r"NCC|CADC|RN|MSW|M\.S\.W|MFCC|Psy\.?\s?D|Ph\.?\s?D|Ed\.?D|M\.Ed|M\.D|MD|M\.A\.|M\.S\.)(?=[\s.,;:)!/]|$)"
)
_SOCIAL = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_ADDRESS = re.compile(
    r"\b\d{1,5}\s+(?:[NSEW]\.?\s+)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)?\s+"
    r"(?:Street|St\.|Avenue|Ave\.?|Road|Rd\.?|Boulevard|Blvd\.?|Lane|Ln\.?|Drive|Dr\.|Court|Way|Highway|Hwy)\b"
)

personal_data = pattern_check(
    "personal_data",
    severity="warning",
    kinds={
        "e-mail addresses": lambda text: "@" in text and _EMAIL.search(text),
        "web addresses": lambda text: _URL_HINT.search(text) and _URL.search(text),
        "phone numbers": lambda text: _DIGIT.search(text) and _PHONE.search(text),
        "social security numbers": lambda text: "-" in text and _SOCIAL.search(text),
        "street addresses": lambda text: _DIGIT.search(text) and _ADDRESS.search(text),
        "professional credentials (sign-offs)": lambda text: _CREDENTIAL.search(text),
    },
    advice="switch de-identification on (public help lines may stay), or the model learns to give them out.",
    about="E-mail, web, phone, social security number, street, and credentials as in a sign-off.",
)

CHECKS: tuple[Check, ...] = (personal_data,)
