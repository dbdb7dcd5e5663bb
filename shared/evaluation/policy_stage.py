"""Measuring one policy on held-out pairs, as a stage: log-probabilities, sampled answers, distance to the base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.data.record_files import read_records
from shared.device import pick_device
from shared.digest import json_digest
from shared.durable import write_json
from shared.errors import DataError
from shared.generation import GenerationConfig, generate
from shared.models import load_causal_lm, load_policy, load_tokenizer
from shared.prompts import PromptFormat, tokenize_completion, tokenize_prompt
from shared.records import Message, PreferenceRecord
from shared.stages import StageContext
from shared.training.reference import response_logps, write_logps

if TYPE_CHECKING:
    import torch


def measure_policy(context: StageContext) -> dict[str, float]:
    """Measures a policy on the test split.

    Config: ``sampling`` (GenerationConfig), ``prompts`` (how many held-out prompts are answered), ``kl_prompts``,
    ``kl_tokens``, ``max_length``, ``prompt``, ``precision``. Input ``data``, model ``base``; the policy is input
    ``model`` (an alignment's artifact), file ``model`` (a folder from the registry or disk), model ``model`` (another
    base model), or the base itself.

    Writes ``logps.arrow`` (test pairs), ``samples.json`` (answers to held-out prompts) and ``kl.json`` (token
    log-probabilities of samples at temperature 1 under policy and base; empty for the base).

    Returns:
        ``policy/tokens_per_answer`` and ``policy/pairs``.
    """
    config = context.config
    records = read_records(context.inputs["data"] / "test.arrow")
    if not records:
        raise DataError("no test pair is left after splitting: give more questions, or a larger test fraction.")
    format = PromptFormat.model_validate(config["prompt"])
    model, tokenizer, adapted = load_measured_policy(context)
    logps = response_logps(
        model,
        tokenizer,
        records,
        format,
        config["max_length"],
        precision=config["precision"],
        on_progress=lambda done, total: context.progress(done, total, "scoring held-out pairs"),
    )
    write_logps(context.out / "logps.arrow", records, logps)
    asked = held_out_prompts(records, config["prompts"])
    sampling = GenerationConfig.model_validate(config["sampling"])
    context.progress(0, len(asked), "answering held-out prompts")
    answers = generate(model, tokenizer, [one.prompt for one in asked], format, sampling, config["precision"])
    samples = [
        {"id": one.id, "group": one.group_id, "responses": texts} for one, texts in zip(asked, answers, strict=True)
    ]
    write_json(context.out / "samples.json", samples)
    kl = _divergence(context, model, tokenizer, adapted, asked[: config["kl_prompts"]], format) if adapted else []
    write_json(context.out / "kl.json", kl)
    lengths = [len(tokenizer(text)["input_ids"]) for texts in answers for text in texts]
    return {"policy/tokens_per_answer": sum(lengths) / max(1, len(lengths)), "policy/pairs": float(len(records))}


def held_out_prompts(records: Sequence[PreferenceRecord], most: int) -> list[PreferenceRecord]:
    """One record for each distinct prompt, at most `most`, in an order that depends on the prompts' text alone."""
    first: dict[str, PreferenceRecord] = {}
    for record in records:
        first.setdefault(record.prompt_text(), record)
    return [first[text] for text in sorted(first, key=json_digest)][:most]


def load_measured_policy(context: StageContext) -> tuple[Any, Any, bool]:
    """(model, tokenizer, whether it differs from the base)."""
    base = context.models["base"]
    if "model" in context.models:
        path = context.models["model"]
        return load_causal_lm(path), load_tokenizer(path), True
    folder: Path | None = context.files.get("model")
    if "model" in context.inputs:
        folder = context.inputs["model"] / "model"
    if folder is None:
        return load_causal_lm(base), load_tokenizer(base), False
    if (folder / "adapter_config.json").is_file():
        return load_policy(base, folder), load_tokenizer(base), True
    return load_causal_lm(folder), load_tokenizer(folder), True


def _divergence(
    context: StageContext,
    model: Any,
    tokenizer: Any,
    adapted: bool,
    asked: Sequence[PreferenceRecord],
    format: PromptFormat,
) -> list[dict[str, Any]]:
    """Samples at temperature 1 (unbiased for KL) with token log-probabilities under policy and base model."""
    config = context.config
    if not asked or not adapted:
        return []
    sampling = GenerationConfig(
        max_new_tokens=config["kl_tokens"], temperature=1.0, top_p=1.0, seed=1, batch_size=len(asked), n=1
    )
    prompts = [one.prompt for one in asked]
    texts = [answers[0] for answers in generate(model, tokenizer, prompts, format, sampling, config["precision"])]
    under_policy = sample_token_logps(model, tokenizer, prompts, texts, format, config["precision"])
    base_tokenizer = load_tokenizer(context.models["base"])
    if base_tokenizer.get_vocab() != tokenizer.get_vocab():
        return []  # other tokens: no divergence by token exists
    disabled = getattr(model, "disable_adapter", None)
    base = model if disabled else load_causal_lm(context.models["base"])
    with disabled() if disabled else nullcontext():
        under_base = sample_token_logps(base, tokenizer, prompts, texts, format, config["precision"])
    return [
        {"id": one.id, "group": one.group_id, "policy": policy, "base": reference}
        for one, policy, reference in zip(asked, under_policy, under_base, strict=True)
    ]


def sample_token_logps(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tuple[Message, ...]],
    responses: Sequence[str],
    format: PromptFormat,
    precision: str,
) -> list[list[float]]:
    """log p(token) of every token of each response (without the end token: a sample may have been cut), in nats."""
    import torch

    from shared.training.token_logps import plain_token_logps

    choice = pick_device(precision)
    model = model.to(choice.device).eval()
    found = []
    with torch.no_grad(), choice.autocast():
        for prompt, response in zip(prompts, responses, strict=True):
            before = tokenize_prompt(format, prompt, tokenizer)
            after = tokenize_completion(format, response, tokenizer)[:-1]
            ids = torch.tensor([before + after], device=choice.device)
            mask: torch.Tensor = torch.tensor([[0] * len(before) + [1] * len(after)], device=choice.device)
            found.append(plain_token_logps(model, ids, mask).tolist() if after else [])
    return found


def read_samples(folder: Path) -> list[dict[str, Any]]:
    """samples.json of a measured policy."""
    return json.loads((folder / "samples.json").read_text(encoding="utf-8"))
