"""Tokens a second of sampling: transformers' generate against the engines here, on real questions.

    python -m benchmarks.sampling_rate QUESTIONS.csv [--model smollm2-135m-instruct] [--column questionText]

Every side writes the same number of tokens (no token ends a response), in turn, `--repeats` times; the best is
printed. Seconds are processor time of this process, so with one thread other work on the machine disturbs little.
"""

import argparse
import csv
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def questions(path: Path, column: str, most: int) -> list[str]:
    """The first different texts of a column with 20 to 1,200 characters."""
    found: list[str] = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = row.get(column) or ""
            if 20 < len(text) < 1_200 and text not in found:
                found.append(text)
            if len(found) == most:
                break
    return found


def plain_generate(model: Any, tokenizer: Any, prompts: list[list[int]], config: Any, precision: str) -> int:
    """`transformers.generate` with a row a response, sorted by length; gives the tokens written."""
    import torch
    from transformers import GenerationConfig

    from shared.device import pick_device

    choice = pick_device(precision)
    rows = sorted((ids for ids in prompts for _ in range(config.n)), key=len, reverse=True)
    settings = GenerationConfig(
        max_new_tokens=config.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=0,
    )
    settings.eos_token_id = None
    tokens = 0
    with torch.no_grad(), choice.autocast():
        for start in range(0, len(rows), config.batch_size):
            part = rows[start : start + config.batch_size]
            longest = len(part[0])
            ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(row)) + row for row in part])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part])
            output = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
            tokens += output[:, longest:].numel()
    return tokens


def main() -> None:
    """Measures and prints a table."""
    import torch

    from shared.device import DeviceChoice
    from shared.home import models_folder
    from shared.models import load_causal_lm, load_tokenizer, resolve
    from shared.prompts import PromptFormat, tokenize_prompt
    from shared.records import Message
    from shared.sampling.engines import TorchEngine
    from shared.sampling.settings import GenerationConfig, rows_of

    parser = argparse.ArgumentParser()
    parser.add_argument("questions", type=Path)
    parser.add_argument("--column", default="questionText")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    told = parser.parse_args()
    path = resolve(told.model, models_folder()).path
    model, tokenizer = load_causal_lm(path), load_tokenizer(path)
    texts = questions(told.questions, told.column, told.prompts)
    prompts = [tokenize_prompt(PromptFormat(), (Message("user", text),), tokenizer) for text in texts]
    config = GenerationConfig(
        max_new_tokens=told.tokens, temperature=0.7, top_p=0.95, batch_size=told.batch_size, n=told.n
    )
    rows = rows_of(prompts, told.n, 0)

    def engine(make: Callable[[], Any]) -> Callable[[], int]:
        made = make()
        return lambda: sum(len(one.tokens) for one in made.write(prompts, rows, config, []))

    sides: dict[str, Callable[[], int]] = {}
    for precision, bf16 in (("float32", False), ("bf16", True)):
        name = "float32" if not bf16 else "float32 weights, bf16 autocast"
        sides[f"transformers.generate, {name}"] = lambda precision=precision: plain_generate(
            model, tokenizer, prompts, config, precision
        )
        choice = DeviceChoice("cpu", bf16, "")
        sides[f"shared.sampling, {precision} weights"] = engine(lambda: TorchEngine(model, tokenizer, choice))  # noqa: B023
    if importlib.util.find_spec("llama_cpp"):
        from shared.sampling.llama_cpp_engine import LlamaCppEngine

        for weights in ("bf16", "q8_0"):
            sides[f"llama.cpp, {weights}"] = engine(lambda: LlamaCppEngine(model, tokenizer, config, weights))  # noqa: B023
    best: dict[str, float] = {}
    for _ in range(told.repeats):
        for name, write in sides.items():
            start = time.process_time()
            tokens = write()
            best[name] = max(best.get(name, 0.0), tokens / (time.process_time() - start))
    lengths = sorted(map(len, prompts))
    print(f"{told.model}, {len(prompts)} prompts of {lengths[0]} to {lengths[-1]} tokens, {told.n} samples each,")
    print(f"{told.tokens} tokens a sample, {told.batch_size} rows a batch, {torch.get_num_threads()} thread(s)\n")
    print("| | tokens/s |\n|---|---|")
    for name, rate in best.items():
        print(f"| {name} | {rate:.0f} |")


if __name__ == "__main__":
    main()
