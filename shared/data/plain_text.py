"""Plain text from scraped text: tags and entities resolved, odd white space made plain."""

import html
import re

# Only names of real elements, so that "a < b" and "<sigh>" stay.
ELEMENTS = (
    "a|abbr|b|big|blockquote|br|center|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|s|small|span|strong|sub|sup|"
    "table|tbody|td|th|tr|u|ul"
)
BREAKS = re.compile(r"<(?:br|/p|/div|/li|/h[1-6]|/tr|/blockquote|hr)\b[^<>]{0,1000}>", re.IGNORECASE)
TAGS = re.compile(rf"</?(?:{ELEMENTS})(?:\s[^<>]{{0,1000}})?/?>", re.IGNORECASE)
INVISIBLE: dict[int, str | None] = dict.fromkeys((0x200B, 0x2060, 0xFEFF, 0xAD), None)


def plain_text(text: str) -> str:
    """The text without HTML tags and entities, with plain spaces and at most one empty line in a row.

    Ends of paragraphs, list items and lines become line breaks.
    """
    text = TAGS.sub("", BREAKS.sub("\n", text)) if "<" in text else text
    text = html.unescape(text).translate(INVISIBLE).replace("\r\n", "\n").replace("\r", "\n")
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
