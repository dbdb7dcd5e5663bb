"""Speed and memory of preference training: valign beside TRL's DPOTrainer, alternating, on real pairs.

    python -m benchmarks.preference_engine --data counsel_chat.csv [--data hh_harmless_base.jsonl.gz] [--rounds 2]
    python -m benchmarks.preference_engine --sweep

Every measurement is a process of its own: all weights of SmolLM2-135M-Instruct in float32, trained under bf16 autocast
(where the processor has it) by AdamW at learning rate 5e-7, 8 pairs an optimizer step, on the same pairs, none of which
either side cuts. The first step is not timed. Sides:

    trl-default     DPOTrainer's own settings (gradient checkpointing, reference in the loop), 4 pairs a forward pass
    trl-best        no checkpointing, reference precomputed and not timed, fused AdamW, freed memory kept
    valign          reference stored and not timed
    valign-scratch  the reference pass of the timed pairs is timed too
    valign-plain    as valign, in the plain layout
    valign-malloc   as valign, freed memory not kept

The share is: floating-point operations that the pairs ask for (prompt once a pair, head on completion tokens, no
recomputation) / (time x rate of the model's own matrix products, measured in the same run).
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PAIRS_A_STEP, MAX_LENGTH, LEARNING_RATE = 8, 512, 5e-7
SIDES = ("trl-default", "valign", "trl-best", "valign-scratch")
SWEEP = ((32, 64), (32, 224), (128, 128), (256, 64), (256, 192), (448, 32))  # tokens of prompt and of each response


def main() -> None:
    """Runs the sides in turn and prints one line a measurement, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--sides", nargs="+", default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps, of which the first is not timed")
    parser.add_argument("--sweep", action="store_true", help="lengths of prompt and response instead of real pairs")
    parser.add_argument("--lora", action="store_true", help="adapters on all linear layers, in place of all weights")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.side:
        print(json.dumps(measure(told.side, told.rows, told.model, told.steps, told.lora)))
        return
    rate = matrix_rate(told.model)
    print(f"matrix products of {told.model}: {rate / 1e12:.3f} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in _sets(told, Path(folder)):
            _alternate(name, rows, rate, told)


def _sets(told: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    wanted = PAIRS_A_STEP * told.steps
    if told.sweep:
        generator = random.Random(0)
        for prompt, response in SWEEP:
            rows = [
                [[generator.randrange(100, 40_000) for _ in range(size)] for size in (prompt, response, response)]
                for _ in range(wanted)
            ]
            yield f"prompt {prompt}, responses {response}", _written(folder / f"{prompt}-{response}.json", rows)
    for path in told.data:
        yield path.name, _written(folder / f"{path.name}.json", _untruncated(path, told.model, wanted))


def _written(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def _untruncated(path: Path, model: str, count: int) -> list[list[list[int]]]:
    """Token ids (prompt, chosen, rejected) of a random sample of pairs that fit."""
    from domains.counseling.adapters import adapter_for, counsel_chat
    from shared.data.preferences import preferences
    from shared.data.reading import iter_rows
    from shared.data.rows import RowTally
    from shared.home import store_folder
    from shared.models import load_tokenizer, resolve
    from shared.prompts import PromptFormat, tokenize_pair

    tally = RowTally(0.05, 0.05)
    rows = list(iter_rows(path, tally))
    counsel = adapter_for(rows[0].values) == "counsel-chat"
    records = list(counsel_chat(rows, tally, 1.0) if counsel else preferences(rows, tally))
    tokenizer = load_tokenizer(resolve(model, store_folder()).path)
    random.Random(0).shuffle(records)
    found: list[list[list[int]]] = []
    for record in records:
        *ids, cut = tokenize_pair(PromptFormat(), record, tokenizer, MAX_LENGTH)
        if not cut and len(found) < count:
            found.append([list(part) for part in ids])
    return found


def _alternate(name: str, rows: Path, rate: float, told: argparse.Namespace) -> None:
    pairs = json.loads(rows.read_text(encoding="utf-8"))
    means = [statistics.mean(len(pair[part]) for pair in pairs) for part in range(3)]
    print(f"\n{name}: {len(pairs)} pairs, mean tokens of prompt, chosen, rejected: {[round(m) for m in means]}")
    titles = ("side", "pairs/s", "tokens/s", "share", "peak GB", "loss")
    print("".join(f"{title:>16}" for title in titles), flush=True)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(told.rounds):
        for side in told.sides:
            command = [sys.executable, "-m", "benchmarks.preference_engine", "--side", side, "--rows", str(rows)]
            command += ["--steps", str(told.steps), "--model", told.model, *(["--lora"] if told.lora else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment(side))
            if done.returncode:
                print(f"{side:>16}  failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            result = json.loads(done.stdout.strip().splitlines()[-1])
            result["share"] = result["flops"] / result["seconds"] / rate
            found[side].append(result)
            _print(side, result)
    for side, results in found.items():
        middle = {key: statistics.median(one[key] for one in results) for key in results[0]}
        _print(f"median {side}"[:16], middle)
    if "trl-default" in found:
        base = statistics.median(one["pairs_per_second"] for one in found["trl-default"])
        for side in found:
            ratios = [one["pairs_per_second"] / base for one in found[side]]
            print(
                f"{side:>16}  {statistics.median(ratios):.2f} times trl-default ({min(ratios):.2f}-{max(ratios):.2f})"
            )


def _print(side: str, result: dict[str, float]) -> None:
    cells = [f"{result['pairs_per_second']:.3f}", f"{result['tokens_per_second']:.0f}", f"{result['share']:.2f}"]
    cells += [f"{result['peak'] / 2**30:.2f}", f"{result['loss']:.4f}"]
    print("".join(f"{cell:>16}" for cell in (side, *cells)), flush=True)


def _environment(side: str) -> dict[str, str]:
    more = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    if side == "trl-best":  # what `shared.allocator` does for valign
        more |= {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(256 * 2**20), "MALLOC_MMAP_MAX_": "0"}
    return {**os.environ, **more}


def measure(side: str, rows: Path, model: str, steps: int, lora: bool) -> dict[str, float]:
    """Trains on the pairs; seconds are those of all steps but the first."""
    from shared.home import store_folder
    from shared.models import resolve

    path = resolve(model, store_folder()).path
    pairs = [tuple(pair) for pair in json.loads(rows.read_text(encoding="utf-8"))][: steps * PAIRS_A_STEP]
    order = [index for step in range(steps) for index in _order(len(pairs))[step]]
    timed = [pairs[index] for index in order[PAIRS_A_STEP:]]
    if side.startswith("trl"):  # it takes the pairs in the order given: the same steps on both sides
        seconds, loss = _trl(side, path, [pairs[index] for index in order], lora)
    else:
        seconds, loss = _valign(side, path, pairs, lora)
    tokens = sum(sum(len(part) for part in pair) for pair in timed)
    return {
        "seconds": seconds,
        "pairs_per_second": len(timed) / seconds,
        "tokens_per_second": tokens / seconds,
        "flops": sum(pair_flops(path, pair, lora) for pair in timed),
        "peak": float(_peak()),
        "loss": loss,
    }


def _order(count: int) -> list[list[int]]:
    """The pairs of every step, as valign's trainer orders them."""
    from shared.training.step_order import Steps

    steps = Steps(range(count), PAIRS_A_STEP, 1, 0)
    return [steps[number].examples for number in range(len(steps))]


def _peak() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Clock:
    """Times of the ends of the steps, as a trainer's callback."""

    def __new__(cls) -> Any:
        from transformers import TrainerCallback

        class Clock(TrainerCallback):
            ends: list[float] = []  # noqa: RUF012
            losses: list[float] = []  # noqa: RUF012

            def on_step_end(self, *_: Any, **__: Any) -> None:
                self.ends.append(time.perf_counter())

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
                if "loss" in logs:
                    self.losses.append(float(logs["loss"]))

        return Clock()


def _valign(side: str, path: Path, pairs: Sequence[Any], lora: bool) -> tuple[float, float]:
    import torch
    from transformers import TrainingArguments, set_seed

    from shared.allocator import keep_freed_memory
    from shared.device import pick_device
    from shared.models import load_causal_lm
    from shared.training.arguments import common_arguments, prepare_model
    from shared.training.completion_roles import Parts
    from shared.training.config import DpoConfig, DpoJob, LoraConfig
    from shared.training.dpo import PolicyTrainer, pair_examples
    from shared.training.layouts import set_layout
    from shared.training.objectives.objective import build_objective
    from shared.training.pair_examples import PairTrees
    from shared.training.reference import token_logps_of
    from shared.training.step_order import Steps
    from shared.training.trees import Tree

    if side != "valign-malloc":
        keep_freed_memory()
    set_seed(0)
    layout = "plain" if side == "valign-plain" else "auto"
    config = DpoConfig(
        learning_rate=LEARNING_RATE, batch_size=PAIRS_A_STEP, lora=LoraConfig() if lora else None, layout=layout
    )
    trees = [PairTrees(str(index), (Tree(p, (c, r)),), False) for index, (p, c, r) in enumerate(pairs)]
    model = load_causal_lm(path)
    timed = [trees[index] for step in _order(len(pairs))[1:] for index in step]
    token_logps_of(model, trees[:1], ("chosen", "rejected"), layout)
    started = time.perf_counter()
    token_logps_of(model, timed, ("chosen", "rejected"), layout)
    of_reference = time.perf_counter() - started
    logps = token_logps_of(model, trees, ("chosen", "rejected"), layout)
    arrays = {
        one.id: {role: torch.tensor(values).numpy() for role, values in row.items()}
        for one, row in zip(trees, logps, strict=True)
    }
    with tempfile.TemporaryDirectory() as folder:
        job = DpoJob(model=path, records=[Path(folder)], output=Path(folder), config=config)
        examples = pair_examples(trees, [{"weight": 1.0}] * len(trees), arrays, Parts(), None)
        chosen = set_layout(model, layout)
        model = prepare_model(model, job, "CAUSAL_LM")
        clock = _Clock()
        settings = common_arguments(job, len(examples), Path(folder)) | {"save_strategy": "no"}
        trainer = PolicyTrainer(model=model, args=TrainingArguments(**settings), callbacks=[clock])
        trainer.steps = Steps(examples, PAIRS_A_STEP, 1, 0)
        trainer.objective, trainer.parts = build_objective(config.loss, config.beta), Parts()
        trainer.choice, trainer.budget = pick_device(), config.micro_batch_tokens
        trainer.layout = chosen
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[0]
    return seconds + (of_reference if side == "valign-scratch" else 0.0), clock.losses[0]


def _trl(side: str, path: Path, pairs: Sequence[Any], lora: bool) -> tuple[float, float]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from shared.device import pick_device

    choice = pick_device()

    class OnTokens(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # token ids already, the same that valign gets

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(dataset)  # the first step, which is not timed, has known pairs

    best = side == "trl-best"
    more: dict[str, Any] = {}
    if best:
        more = {"gradient_checkpointing": False, "precompute_ref_log_probs": True, "optim": "adamw_torch_fused"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = DPOConfig(
            output_dir=folder,
            max_length=MAX_LENGTH,
            learning_rate=LEARNING_RATE,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=PAIRS_A_STEP // 4,
            num_train_epochs=1,
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            bf16=choice.autocast_bf16,
            use_cpu=choice.device == "cpu",
            **more,
        )
        clock = _Clock()
        trainer = OnTokens(
            model=AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
            args=arguments,
            train_dataset=Dataset.from_list([dict(zip(COLUMNS, pair, strict=True)) for pair in pairs]),
            processing_class=AutoTokenizer.from_pretrained(path),
            callbacks=[clock],
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
            if lora
            else None,
        )
        trainer.train()
    return clock.ends[-1] - clock.ends[0], clock.losses[0]


COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")


def pair_flops(path: Path, pair: Sequence[Sequence[int]], lora: bool) -> float:
    """Operations of a forward and backward pass over ``[prompt | chosen | rejected]``, nothing computed twice.

    A multiplication of a weight costs 2 a token forward, 2 for the gradient of its input and 2 for its own (not under
    LoRA); attention 4 x size a token seen, and twice that backward.
    """
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    hidden, layers, heads = config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"]
    size = config.get("head_dim") or hidden // heads
    kv = config.get("num_key_value_heads", heads) * size
    body = layers * (2 * hidden * heads * size + 2 * hidden * kv + 3 * hidden * config["intermediate_size"])
    prompt, *responses = (len(part) for part in pair)
    tokens, predicted = prompt + sum(responses), sum(responses)
    seen = prompt**2 / 2 + sum(prompt * length + length**2 / 2 for length in responses)
    passes = 4 if lora else 6
    return passes * (body * tokens + hidden * config["vocab_size"] * predicted) + 12 * layers * heads * size * seen


def matrix_rate(model: str) -> float:
    """Operations a second of the model's own matrix products over 2,048 tokens, forward and both backward."""
    import torch

    from shared.device import pick_device
    from shared.home import store_folder
    from shared.models import resolve

    config = json.loads((resolve(model, store_folder()).path / "config.json").read_text(encoding="utf-8"))
    choice = pick_device()
    dtype = torch.bfloat16 if choice.autocast_bf16 else torch.float32
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    operations = seconds = 0.0
    for rows, columns, times in ((hidden, hidden, 2), (inner, hidden, 2), (hidden, inner, 1)):
        weight = torch.randn(rows, columns, dtype=dtype, device=choice.device)
        x = torch.randn(2048, columns, dtype=dtype, device=choice.device)
        gradient = torch.randn(2048, rows, dtype=dtype, device=choice.device)
        for product in ((x, weight.T), (gradient, weight), (gradient.T, x)):
            best = min(_seconds(product) for _ in range(7))
            operations += times * 2 * 2048 * rows * columns
            seconds += times * best
    return operations / seconds


def _seconds(product: tuple[Any, Any]) -> float:
    import torch

    started = time.perf_counter()
    torch.mm(*product)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
