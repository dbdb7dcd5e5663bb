"""Turning conversations into text and tokens: one way, for training, sampling, judging and serving.

A prompt's tokens are made on their own and a completion's tokens on their own, then joined: so that what a policy
is trained on is, token for token, what it sees and writes when it is sampled.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.errors import UsageError
from shared.records import Message, PreferenceRecord

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTINEL = "valignresponse"


class PromptFormat(BaseModel):
    """How a conversation is rendered.

    Attributes:
        style: ``chat`` uses the tokenizer's chat template; ``plain`` the prefixes below (for base models).
        system: put before every conversation that has no system turn of its own.
        user_prefix: stands before each user turn (plain style).
        assistant_prefix: stands before each assistant turn, and ends the prompt (plain style).
        separator: stands between turns (plain style).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Literal["chat", "plain"] = "chat"
    system: str | None = None
    user_prefix: str = "Question:\n"
    assistant_prefix: str = "Answer:\n"
    separator: str = "\n\n"


def no_chat_template(model: str) -> UsageError:
    """What is raised where style ``chat`` meets a model without a chat template."""
    return UsageError(
        f"the model {model} has no chat template: set `prompt.style=plain` in the recipe, or name a chat model."
    )


def _with_system(format: PromptFormat, messages: Sequence[Message]) -> list[Message]:
    if format.system and not (messages and messages[0].role == "system"):
        return [Message("system", format.system), *messages]
    return list(messages)


def _apply_template(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], open_turn: bool) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise no_chat_template(tokenizer.name_or_path)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        text: Any = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=open_turn)
    except TemplateError as error:
        raise UsageError(
            f"the chat template of {tokenizer.name_or_path} refuses a conversation with the turns "
            f"{', '.join(message.role for message in messages)} ({error}): change `prompt.system` or set "
            "`prompt.style=plain`."
        ) from error
    return text


def render_prompt(format: PromptFormat, messages: Sequence[Message], tokenizer: "PreTrainedTokenizerBase") -> str:
    """The text that a response continues.

    Args:
        format: how to render.
        messages: the conversation, oldest turn first.
        tokenizer: of the model that reads it; its chat template is used under style ``chat``.

    Returns:
        The text, ending where the assistant's turn begins.

    Raises:
        UsageError: where the tokenizer has no chat template, or its template refuses the turns.
    """
    turns = _with_system(format, messages)
    if format.style == "chat":
        return _apply_template(tokenizer, turns, open_turn=True)
    prefixes = {"system": "", "user": format.user_prefix, "assistant": format.assistant_prefix}
    parts = [prefixes[turn.role] + turn.content for turn in turns]
    return format.separator.join([*parts, format.assistant_prefix])


def _turn_frame(format: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """What a format puts (before, after) an assistant's text inside its turn; after ends with the turn's end token."""
    return _frame(format.model_dump_json(), tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _frame(format_json: str, tokenizer: Any, _chat_template: str) -> tuple[str, str]:
    format = PromptFormat.model_validate_json(format_json)
    eos = tokenizer.eos_token or ""
    if not isinstance(eos, str) or not eos:
        raise UsageError(f"the tokenizer of {tokenizer.name_or_path} has no end token, so responses cannot end.")
    if format.style == "plain":
        return "", eos
    question = _with_system(format, [Message("user", "?")])
    opened = _apply_template(tokenizer, question, open_turn=True)
    closed = _apply_template(tokenizer, [*question, Message("assistant", SENTINEL)], open_turn=False)
    before, found, after = closed.rpartition(SENTINEL)
    if not found:
        return "", eos
    opening = before[len(opened) :] if before.startswith(opened) else ""
    special = {str(token): after.find(str(token)) for token in tokenizer.all_special_tokens}
    special |= {text: after.find(text) for text in tokenizer.get_added_vocab()}
    places = [(place, -len(text), text) for text, place in special.items() if place >= 0 and text]
    if not places:
        return opening, eos
    place, _, text = min(places)
    return opening, after[: place + len(text)]


def stop_ids(format: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Token ids that end a response: the turn's end token of the format and the tokenizer's own end token."""
    last: Any = tokenizer(_turn_frame(format, tokenizer)[1], add_special_tokens=False)["input_ids"]
    eos: Any = tokenizer.eos_token_id
    return sorted({int(last[-1]), int(eos)})


def tokenize_prompt(
    format: PromptFormat, messages: Sequence[Message], tokenizer: "PreTrainedTokenizerBase"
) -> list[int]:
    """Token ids of `render_prompt`'s text (with the begin token where the tokenizer puts one before plain text)."""
    text = render_prompt(format, messages, tokenizer)
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if format.style == "plain" and tokenizer.bos_token_id is not None:
        probe = list(tokenizer("a")["input_ids"])
        if probe and probe[0] == tokenizer.bos_token_id:
            ids = [tokenizer.bos_token_id, *ids]
    return ids


def tokenize_completion(format: PromptFormat, response: str, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Token ids of a response inside its turn, ending with the turn's end token."""
    opening, end = _turn_frame(format, tokenizer)
    ids = list(tokenizer(opening + response, add_special_tokens=False)["input_ids"])
    return ids + list(tokenizer(end, add_special_tokens=False)["input_ids"])


def fit(prompt: list[int], completions: Sequence[list[int]], max_length: int) -> tuple[list[int], list[list[int]]]:
    """Cuts a prompt and the completions that share it to `max_length` tokens each.

    Completions are kept whole where possible: first the prompt loses its beginning, down to a quarter of
    `max_length` (a response without any question teaches nothing), then completions lose their end, and with it the
    end token.

    Returns:
        (prompt, completions), every ``len(prompt) + len(completion) <= max_length``.
    """
    longest = max(len(completion) for completion in completions)
    room = max(max_length - longest, max_length // 4, 1)
    kept = prompt[-room:] if len(prompt) > room else prompt
    return kept, [completion[: max_length - len(kept)] for completion in completions]


def tokenize_pair(
    format: PromptFormat, record: PreferenceRecord, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> tuple[list[int], list[int], list[int], bool]:
    """Tokens of a preference record.

    Args:
        format: how to render.
        record: the pair.
        tokenizer: of the model.
        max_length: most tokens of prompt and completion together (see `fit` for what is cut).

    Returns:
        (prompt ids, chosen ids, rejected ids, whether anything was cut). Both completions follow the same prompt ids.
    """
    prompt = tokenize_prompt(format, record.prompt, tokenizer)
    both = [tokenize_completion(format, text, tokenizer) for text in (record.chosen, record.rejected)]
    kept, (chosen, rejected) = fit(prompt, both, max_length)
    truncated = len(kept) < len(prompt) or len(chosen) < len(both[0]) or len(rejected) < len(both[1])
    return kept, chosen, rejected, truncated


def tokenize_for_encoder(
    messages: Sequence[Message], response: str, tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> tuple[list[int], list[int], bool]:
    """Tokens of a (conversation, response) text pair for an encoder with a [CLS] a [SEP] b [SEP] layout.

    Args:
        messages: the conversation; turns are joined by newlines, without system turns.
        response: the second text.
        tokenizer: of the encoder.
        max_length: most tokens in all (see `fit`).

    Returns:
        (token ids, token type ids, whether anything was cut).

    Raises:
        UsageError: where the tokenizer has no [CLS] or [SEP] token.
    """
    begin, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    if begin is None or end is None:
        raise UsageError(
            f"the tokenizer of {tokenizer.name_or_path} has no [CLS] and [SEP] tokens: it is no encoder that "
            "reads text pairs; name another model."
        )
    text = "\n".join(message.content for message in messages if message.role != "system")
    first = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    second = list(tokenizer(response, add_special_tokens=False)["input_ids"])
    kept, (cut,) = fit(first, [second], max_length - 3)
    ids = [begin, *kept, end, *cut, end]
    types = [0] * (len(kept) + 2) + [1] * (len(cut) + 1)
    return ids, types, len(kept) < len(first) or len(cut) < len(second)
