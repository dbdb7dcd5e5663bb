"""Texts as literal Markdown: whatever they hold, they cannot change the page they stand in."""

import html
import re
from collections.abc import Sequence


def escape_text(text: str) -> str:
    """`text` as literal Markdown on one line: no HTML, markup, lists or table cells of its own."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    escaped = re.sub(r"([\\`*_{}\[\]|~#!])", r"\\\1", html.escape(one_line, quote=False))
    # A list, rule or numbered item only arises at the start of a line.
    return re.sub(r"^([-+](?=\s|$)|[-=]+$|\d+(?=[.)](\s|$)))", lambda found: _entities(found.group()), escaped)


def _entities(text: str) -> str:
    return "".join(f"&#{ord(character)};" for character in text)


def code_span(text: str) -> str:
    """`text` as inline code, whatever backticks it holds; bars are escaped for tables."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if not one_line:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", one_line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return f"{fence}{padding}{one_line}{padding}{fence}".replace("|", "\\|")


def link_or_text(text: str) -> str:
    """A whole web address as a link that shows itself; anything else escaped."""
    return f"<{text}>" if re.fullmatch(r"https?://[^\s<>|`\\]+", text) else escape_text(text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are escaped already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
