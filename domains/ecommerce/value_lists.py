"""Lists as they stand in files: real ones, or written out in a cell as JSON or Python (``"['good', 'bad']"``)."""

import ast
import io
import json
import math
import tokenize
from collections.abc import Mapping
from typing import Any

from shared.data.columns import checked_text

LONGEST_LITERAL = 4_000_000  # characters; a parsed literal takes some fifty times its text
TEXT_KEYS = (
    "text",
    "review_text",
    "reviewText",
    "review",
    "summary_text",
    "summary-text",
    "summary",
    "body",
    "content",
)
_PASSED_OVER = {tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}


def listed(values: Mapping[str, Any], name: str, what: str) -> list[Any]:
    """A column's list; empty where it is missing, null or an empty cell.

    Text is read as JSON, or as a Python literal (`ast.literal_eval`: nothing in it is ever run).

    Args:
        values: the row.
        name: the column.
        what: what the list should hold, for messages ("reviews").

    Raises:
        ValueError: it holds something else, or a list that cannot be read for certain.
    """
    value = values.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, str):
        if not (text := value.strip()):
            return []
        value = _written(text, name, what)
    if not isinstance(value, list | tuple):
        raise ValueError(f"column {name!r} holds {_kind(value)} where a list of {what} is expected")
    return list(value)


def texts_in(values: Mapping[str, Any], name: str, what: str) -> list[str]:
    """A column's list of texts; objects with a text of a usual name (`TEXT_KEYS`) count as that text.

    Raises:
        ValueError: as `listed`, or an item is no text.
    """
    return [text_in(item, name, what) for item in listed(values, name, what)]


def text_in(item: Any, name: str, what: str) -> str:
    """The text of an item of a list; empty for null.

    Raises:
        ValueError: it is no text.
    """
    if isinstance(item, Mapping):
        item = next((item[key] for key in TEXT_KEYS if key in item), item)
    if item is None or (isinstance(item, float) and math.isnan(item)):
        return ""
    if not isinstance(item, str):
        raise ValueError(f"column {name!r} holds {_kind(item)} among its {what}, not a text")
    return checked_text(item, name)


def _written(text: str, name: str, what: str) -> Any:
    if text[0] not in "[(":
        raise ValueError(f"column {name!r} holds a text where a list of {what} is expected")
    if len(text) > LONGEST_LITERAL:
        raise ValueError(f"column {name!r} holds a written list of more than {LONGEST_LITERAL:,} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # no JSON: a Python literal
    try:
        value = ast.literal_eval(text)
        glued = _glued(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"column {name!r} holds no list of {what} that can be read") from error
    if glued:
        raise ValueError(
            f"column {name!r} holds a list of {what} without commas between them (a printed array), whose ends cannot "
            "be told"
        )
    return value


def _glued(text: str) -> bool:
    """Whether two strings follow each other without a comma, which Python would read as one."""
    before = None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _PASSED_OVER:
            continue
        if token.type == before == tokenize.STRING:
            return True
        before = token.type
    return False


def _kind(value: Any) -> str:
    names = {
        str: "a text",
        dict: "an object",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
    }
    return names.get(type(value), f"a {type(value).__name__}")
