"""Sentence pairs with paths, and a tiny policy, for tests of SimulDPO."""

import random
from pathlib import Path

import torch

from domains.translation.policy import SimulPolicy, save_policy
from domains.translation.records import SentencePair
from domains.translation.settings import SimulFormat
from shared.models import load_causal_lm, load_tokenizer
from shared.training.config import LoraConfig

FORMAT = SimulFormat(source_language="de", target_language="en", before="de:", marker="\nen:", target_position=48)


def staircase(units: int, source_units: int, ahead: int) -> tuple[int, ...]:
    """Wait-k: `ahead` source units before the first target unit, then one for each."""
    return tuple(min(source_units, ahead + place) for place in range(units))


def path_pairs_of(count: int = 8, seed: int = 0) -> list[SentencePair]:
    """Pairs of the same text in the first half of the records; the chosen path waits for 1 unit, the other for all."""
    draw = random.Random(seed)
    words = ["uno", "due", "tre", "casa", "via", "oggi", "mai"]
    found = []
    for number in range(count):
        source = " ".join(draw.choices(words, k=draw.randint(3, 6)))
        units = len(source.split())
        target = " ".join(draw.choices(words, k=draw.randint(2, 5)))
        other = target if number < count // 2 else " ".join(draw.choices(words, k=draw.randint(2, 5)))
        found.append(
            SentencePair(
                id=f"pair-{number}",
                group_id=f"group-{number}",
                source=f"toy.de:{number + 1}",
                source_text=source,
                target_text=target,
                rejected_text=other,
                target_path=staircase(len(target.split()), units, 1),
                rejected_path=staircase(len(other.split()), units, units),
            )
        )
    return found


def tiny_policy(model: Path, lora: LoraConfig | None = None, seed: int = 0) -> SimulPolicy:
    """A policy over a tiny model, its confidence head and adapters away from their start."""
    torch.manual_seed(seed)
    language_model = load_causal_lm(model)
    if lora is not None:
        from peft import LoraConfig as PeftLora
        from peft import get_peft_model

        adapted = PeftLora(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets, task_type="CAUSAL_LM")
        language_model = get_peft_model(language_model, adapted)
    policy = SimulPolicy(language_model, FORMAT)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name or name.startswith("confidence"):
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return policy.eval()


def saved_policy(folder: Path, model: Path, lora: LoraConfig | None = None, seed: int = 0) -> Path:
    """Folder of `tiny_policy`, with its tokenizer."""
    save_policy(tiny_policy(model, lora, seed), folder, base=str(model))
    load_tokenizer(model).save_pretrained(folder)
    return folder
