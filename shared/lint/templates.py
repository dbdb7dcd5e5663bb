"""Chat-template defects: turns, roles and end tokens that stand inside a text, and tell-tale openings."""

import re

from shared.lint.patterns import pattern_check
from shared.lint.registry import Check

END_TOKENS = (
    r"(?:<\|(?:im_end|eot_id|endoftext|end_of_text|end|eom_id)\|>|</s>|<end_of_turn>|<eos>|"
    r"<\uff5cend\u2581of\u2581sentence\uff5c>)"
)
_CONTROL = re.compile(
    r"<\|[a-z_]{2,30}\|>|<(?:start|end)_of_turn>|</?s>|<eos>|<bos>|\[/?INST\]|<</?SYS>>|<\uff5c[^<>]{1,30}\uff5c>"
)
_ROLE = re.compile(
    r"^[ \t]*(?:\*\*)?(?:Human|Assistant|User|System|USER|ASSISTANT|SYSTEM|AI)(?:\*\*)?[ \t]?:(?=\s|\*)",
    re.MULTILINE,
)
_HEADING = re.compile(
    r"^#{2,4}[ \t]*(?:Instruction|Response|Input|Output|Human|Assistant|User|System)\b[ \t]*:?", re.MULTILINE
)
_DOUBLED = re.compile(rf"({END_TOKENS})\s*{END_TOKENS}")
_TELL = re.compile(
    r"\W*as an? (?:ai\b|a\.i\.|artificial|(?:large )?language model|(?:virtual|digital) assistant|"
    r"(?:licensed |trained |professional )?"
    r"(?:therapist|counsell?or|psychologist|psychiatrist|doctor|physician|expert)\b)",
    re.IGNORECASE,
)

template_defects = pattern_check(
    "template_defects",
    severity="warning",
    kinds={
        "control tokens": lambda text: ("<" in text or "[" in text) and _CONTROL.search(text),
        "role labels": lambda text: ":" in text and _ROLE.search(text),
        "instruction headings": lambda text: "##" in text and _HEADING.search(text),
        "doubled end tokens": lambda text: "<" in text and _DOUBLED.search(text),
    },
    advice="strip them, and put the turns into the conversation, or the model learns to write both sides.",
    about="Role labels, control tokens and end tokens inside a text.",
)

model_tells = pattern_check(
    "model_tells",
    severity="info",
    kinds={'openings such as "As an AI" or "As a therapist"': _TELL.match},
    advice="a judge may learn the opening instead of the answer; compare its share on both sides.",
    about='Responses that open with "As an AI" or "As a therapist".',
    fields=("chosen", "rejected"),
)

CHECKS: tuple[Check, ...] = (template_defects, model_tells)
