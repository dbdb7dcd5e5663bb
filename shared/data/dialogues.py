"""Conversations as data sets write them: lists of turns, their JSON, or one text with "Human:" and "Assistant:"."""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.data.columns import checked_text
from shared.data.rows import InvalidValueError
from shared.records import Message

Dialogue = tuple[Message, ...]

# HH-RLHF writes "\n\nHuman: ...\n\nAssistant: ..."; the empty lines tell a turn from a word in a text.
TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):[ \t]?")
ROLES = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


def is_dialogue(value: Any) -> bool:
    """Whether a value is a conversation rather than plain text."""
    return as_turns(value) is not None or (isinstance(value, str) and TURN.match(value) is not None)


def as_turns(value: Any) -> list[Any] | None:
    """The list of turns that a value is, or whose JSON it is (as in CSV cells); else None."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and re.match(r"\s*\[\s*\{", value):
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, list) else None
    return None


def read_dialogue(value: Any, name: str) -> Dialogue:
    """A conversation, oldest turn first; neighbouring turns of one role are joined.

    Args:
        value: list of ``{role, content}`` (or ``{from, value}``), its JSON, or "Human: ... Assistant: ..." text.
        name: the column, for errors.

    Raises:
        InvalidValueError: no conversation, or a turn without a known role and a text.
    """
    turns = as_turns(value)
    if turns is None:
        if not isinstance(value, str):
            raise InvalidValueError(f"column {name!r} holds no conversation")
        return _joined(_from_text(value, name))
    read = []
    for turn in turns:
        if not isinstance(turn, Mapping):
            raise InvalidValueError(f"column {name!r} holds a turn that is no object")
        role = ROLES.get(str(turn.get("role", turn.get("from"))).lower())
        content = _content(turn.get("content", turn.get("value")))
        if role is None or content is None:
            raise InvalidValueError(f"column {name!r} holds a turn without a known role and text")
        read.append(Message(role, checked_text(content, name)))  # pyright: ignore[reportArgumentType]
    return _joined(read)


def split_common(chosen: Dialogue, rejected: Dialogue) -> tuple[Dialogue, str, str]:
    """(prompt, chosen response, rejected response) of two whole dialogues that differ in their last turn.

    Raises:
        ValueError: they differ earlier, or do not end with the assistant.
    """
    if not chosen or not rejected:
        raise ValueError("has an empty dialogue")
    if chosen[:-1] != rejected[:-1]:
        raise ValueError("has dialogues that differ before their last assistant turn")
    if chosen[-1].role != "assistant" or rejected[-1].role != "assistant":
        raise ValueError("has dialogues that do not end with the assistant")
    return chosen[:-1], chosen[-1].content, rejected[-1].content


def _content(value: Any) -> str | None:
    """Text of a turn; of a list of parts, the text parts."""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, Mapping) and part.get("type") == "text"]
        return "\n".join(part for part in parts if isinstance(part, str)) if len(parts) == len(value) else None
    return value if isinstance(value, str) else None


def _from_text(text: str, name: str) -> list[Message]:
    marks = list(TURN.finditer(text))
    if not marks or marks[0].start() != 0:
        raise InvalidValueError(f"column {name!r} holds no dialogue of Human and Assistant turns")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        Message("user" if mark.group(1) == "Human" else "assistant", checked_text(text[mark.end() : end], name))
        for mark, end in zip(marks, ends, strict=True)
    ]


def _joined(turns: list[Message]) -> Dialogue:
    """Chat templates want turns that alternate."""
    joined: list[Message] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role:
            both = "\n\n".join(text for text in (joined[-1].content, turn.content) if text)
            joined[-1] = Message(turn.role, both)
        else:
            joined.append(turn)
    return tuple(joined)
