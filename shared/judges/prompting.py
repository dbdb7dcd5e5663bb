"""The messages a judge model gets: rubric, fenced texts, form of the answer. The wording is templates/prompts.yaml."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from string import Template
from typing import Any

import yaml

from shared.digest import file_digest
from shared.judges.fencing import fence_tag, fenced
from shared.judges.protocol import PairItem, ResponseItem
from shared.judges.rubric import TEMPLATES, Rubric
from shared.records import Message

PROMPTS = TEMPLATES / "prompts.yaml"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a chat model, without what the endpoint's settings add.

    Attributes:
        messages: the conversation.
        schema_name: name of the answer's form.
        schema: JSON schema of the answer.
        sample: number of the repetition; added to the seed, so that repetitions are drawn anew and cached apart.
    """

    messages: tuple[Message, ...]
    schema_name: str
    schema: Mapping[str, Any] = field(hash=False)
    sample: int = 0


@lru_cache(maxsize=1)
def _templates() -> Mapping[str, Template]:
    values = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))
    return {name: Template(values[name]) for name in ("system", "pair", "score", "correction")}


def prompts_digest() -> str:
    """sha256 of the wording; part of a stage's key, since no Python code holds it."""
    return file_digest(PROMPTS)


def pair_request(rubric: Rubric, item: PairItem, *, swapped: bool = False, sample: int = 0) -> ChatRequest:
    """Asks which of two responses is better.

    Args:
        rubric: what to judge by.
        item: the pair.
        swapped: b is shown first.
        sample: number of the repetition.
    """
    first, second = (item.b, item.a) if swapped else (item.a, item.b)
    material = {**_before(item), "first": first, "second": second}
    return _request(rubric, "pair", material, pair_schema(), sample)


def score_request(rubric: Rubric, item: ResponseItem, *, sample: int = 0) -> ChatRequest:
    """Asks for a score by every criterion."""
    return _request(rubric, "score", {**_before(item), "response": item.response}, score_schema(rubric), sample)


def correction_request(request: ChatRequest, answer: str, problem: str) -> ChatRequest:
    """The same question once more, with the answer that could not be read and what was wrong with it.

    Args:
        request: as it was asked.
        answer: the text that could not be read; its first 2,000 characters are shown.
        problem: what was wrong, without words of the answer.
    """
    text = _templates()["correction"].substitute(problem=problem, form=_form(request.schema))
    messages = (*request.messages, Message("assistant", answer[:2000]), Message("user", text))
    return ChatRequest(messages, request.schema_name, request.schema, request.sample)


def pair_schema() -> dict[str, Any]:
    """JSON schema of a verdict; the reason comes first, so that it is thought of first."""
    verdict = {"type": "string", "enum": ["first", "second", "tie"]}
    return _object({"reason": {"type": "string"}, "verdict": verdict})


def score_schema(rubric: Rubric) -> dict[str, Any]:
    """JSON schema of the scores: an object with reason and score for every criterion."""
    numbers = list(range(rubric.scale.least, rubric.scale.most + 1))
    one = _object({"reason": {"type": "string"}, "score": {"type": "integer", "enum": numbers}})
    return _object({criterion.name: one for criterion in rubric.criteria})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _before(item: PairItem | ResponseItem) -> dict[str, str]:
    material = {"conversation": "\n\n".join(f"{turn.role}: {turn.content}" for turn in item.prompt)}
    return material if item.context is None else {"context": item.context, **material}


def _request(
    rubric: Rubric, kind: str, material: Mapping[str, str], schema: Mapping[str, Any], sample: int
) -> ChatRequest:
    tag = fence_tag([rubric.digest, *material.values()])
    templates = _templates()
    text = templates[kind].substitute(
        instructions=rubric.instructions.strip(),
        criteria="\n".join(_criterion(rubric, index) for index in range(len(rubric.criteria))),
        material="\n\n".join(fenced(tag, name, text) for name, text in material.items()),
        least=rubric.scale.least,
        most=rubric.scale.most,
        form=_form(schema),
    )
    messages = (Message("system", templates["system"].substitute(tag=tag)), Message("user", text))
    return ChatRequest(messages, kind, schema, sample)


def _criterion(rubric: Rubric, index: int) -> str:
    one = rubric.criteria[index]
    weight = "" if one.weight == 1 else f" (weight {one.weight:g})"
    anchors = "; ".join(f"{score}: {text}" for score, text in sorted(one.anchors.items()))
    return f"- {one.name}{weight}: {one.definition.strip()}" + (f" [{anchors}]" if anchors else "")


def _form(schema: Mapping[str, Any]) -> str:
    return json.dumps(_example(schema), ensure_ascii=False)


def _example(schema: Mapping[str, Any]) -> Any:
    if schema["type"] == "object":
        return {name: _example(part) for name, part in schema["properties"].items()}
    if schema["type"] == "integer":
        return f"<whole number from {schema['enum'][0]} to {schema['enum'][-1]}>"
    return " or ".join(schema["enum"]) if "enum" in schema else "<why, in one sentence>"
