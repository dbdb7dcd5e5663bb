"""The model card's "how to use": Python that loads the model and answers one prompt."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.card import ModelCard


def usage_snippet(card: "ModelCard") -> str:
    """Python that loads the model with transformers (and peft, for an adapter) and answers one prompt."""
    here = 'location = "."  # the folder that this card stands in'
    # An adapter of a packaged model: its base has no hub id that peft could resolve.
    packaged = card.adapter and card.base_model is not None and "/" not in card.base_model
    if packaged:
        imports = [
            "from pathlib import Path",
            "from transformers import AutoTokenizer",
            "from shared.home import models_folder  # valign's own packages",
            "from shared.models import load_policy, resolve",
        ]
        loader = ""
    elif card.adapter:
        loader = "AutoPeftModelForCausalLM"
        imports = [f"from peft import {loader}", "from transformers import AutoTokenizer"]
    else:
        loader = "AutoModelForCausalLM"
        imports = [f"from transformers import {loader}, AutoTokenizer"]
    lines = [
        *imports,
        "",
        here if card.location is None else f"location = {card.location!r}",
        "tokenizer = AutoTokenizer.from_pretrained(location)",
        f"base = resolve({card.base_model!r}, models_folder()).path"
        if packaged
        else f"model = {loader}.from_pretrained(location)",
        *(["model = load_policy(base, Path(location))"] if packaged else []),
        'prompt = "..."  # put your prompt here',
    ]
    if card.prompt_style == "chat":
        if card.system_prompt is None:
            lines.append('messages = [{"role": "user", "content": prompt}]')
        else:
            lines += [
                "messages = [",
                f'    {{"role": "system", "content": {card.system_prompt!r}}},',
                '    {"role": "user", "content": prompt},',
                "]",
            ]
        lines += [
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        ]
    else:
        lines += [
            f'text = {card.plain_template!r}.replace("{{prompt}}", prompt)',
            'inputs = tokenizer(text, return_tensors="pt")',
        ]
    lines += [
        "output = model.generate(**inputs, max_new_tokens=256)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    return "\n".join(lines) + "\n"
