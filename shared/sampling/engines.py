"""The engines that write tokens: which are at hand, opening one, and choosing the fastest by a measurement."""

import importlib.util
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shared.device import DeviceChoice
from shared.digest import json_digest
from shared.durable import write_json
from shared.errors import SystemStateError, UsageError, ValignError
from shared.home import valign_home
from shared.sampling.settings import GenerationConfig, Row

if TYPE_CHECKING:
    from shared.sampling.decoding import Written

log = logging.getLogger(__name__)

PROBE_ROWS = 16
PROBE_TOKENS = 24
INSTALL = {
    "llama.cpp": "`pip install llama-cpp-python` (it is compiled for some minutes)",
    "vllm": "`pip install vllm` on a machine with a CUDA device",
}


class Engine(Protocol):
    """What writes token ids for token ids."""

    name: str

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        config: GenerationConfig,
        end_ids: Sequence[int],
        *,
        with_logps: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "list[Written]":
        """As `shared.sampling.decoding.decode`."""
        ...

    def close(self) -> None:
        """Frees what the engine holds."""
        ...


class TorchEngine:
    """`decode` on a copy of the policy."""

    name = "transformers"

    def __init__(self, model: Any, tokenizer: Any, choice: DeviceChoice) -> None:
        import torch

        from shared.sampling.weights import sampling_copy

        self._tokenizer = tokenizer
        self._model = sampling_copy(model, torch.bfloat16 if choice.autocast_bf16 else torch.float32)

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        config: GenerationConfig,
        end_ids: Sequence[int],
        *,
        with_logps: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> "list[Written]":
        """As `decode`."""
        import torch

        from shared.sampling.decoding import decode

        with torch.inference_mode():
            return decode(
                self._model,
                prompts,
                rows,
                config,
                end_ids,
                int(self._tokenizer.pad_token_id),
                with_logps=with_logps,
                ends_text=stop_check(self._tokenizer, config.stop),
                on_progress=on_progress,
            )

    def close(self) -> None:
        """Drops the copy."""
        self._model = None


def stop_check(tokenizer: Any, stop: Sequence[str]) -> Callable[[list[int]], bool] | None:
    """Whether the tokens written so far end with, or have just completed, one of the stop strings."""
    if not stop:
        return None
    # A stop string of c characters ends within the last c tokens and those that make up its first character.
    window = max(len(string.encode()) for string in stop) + 8

    def ends(tokens: list[int]) -> bool:
        text = str(tokenizer.decode(tokens[-window:], skip_special_tokens=True))
        return any(string in text for string in stop)

    return ends


def engines_at_hand(choice: DeviceChoice) -> list[str]:
    """Engines that are installed and fit the device, the plainest first."""
    found = ["transformers"]
    if choice.device == "cpu" and importlib.util.find_spec("llama_cpp"):
        found.append("llama.cpp")
    if choice.device == "cuda" and importlib.util.find_spec("vllm"):
        found.append("vllm")
    return found


def _make(name: str, model: Any, tokenizer: Any, config: GenerationConfig, choice: DeviceChoice) -> Engine:
    module = {"llama.cpp": "llama_cpp", "vllm": "vllm"}.get(name)
    if module and not importlib.util.find_spec(module):
        raise SystemStateError(f"the sampling engine {name} is not installed: run {INSTALL[name]}, or use another.")
    if name == "llama.cpp":
        from shared.sampling.llama_cpp_engine import LlamaCppEngine

        return LlamaCppEngine(model, tokenizer, config)
    if name == "vllm":
        from shared.sampling.vllm_engine import VllmEngine

        return VllmEngine(model, tokenizer, config)
    return TorchEngine(model, tokenizer, choice)


@contextmanager
def open_engine(
    model: Any,
    tokenizer: Any,
    config: GenerationConfig,
    choice: DeviceChoice,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
) -> Iterator[tuple[Engine, str]]:
    """The engine of a config, ready to write; and why it was taken. Closed at the end of the block.

    Args:
        model: the policy, on its device.
        tokenizer: of the policy.
        config: names the engine, or ``auto``.
        choice: device and number format.
        prompts: what will be answered; `auto` measures on some of them.
        rows: the responses that will be written.

    Raises:
        SystemStateError: the named engine is not installed.
        UsageError: it cannot run this model.
    """
    make: Callable[[str], Engine] = partial(_make, model=model, tokenizer=tokenizer, config=config, choice=choice)
    name, why = config.engine, "named"
    if name == "auto":
        name, why = choose(make, engines_at_hand(choice), model, config, prompts, rows)
    engine = make(name)
    try:
        yield engine, why
    finally:
        engine.close()


def measurements_file() -> Path:
    """Where measured rates are kept."""
    return valign_home() / "sampling-engines.json"


def _circumstances(model: Any, config: GenerationConfig, at_hand: Sequence[str]) -> str:
    """What a rate depends on: machine, threads, shape and number format of the model, batch size, versions."""
    import importlib.metadata

    import torch

    shape = model.config.get_text_config().to_dict()
    parts = {
        "machine": [platform.machine(), platform.processor(), os.cpu_count(), torch.get_num_threads(), _cpu_name()],
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "model": {key: value for key, value in shape.items() if isinstance(value, int | float | str | bool)},
        "batch_size": config.batch_size,
        "engines": list(at_hand),
        "torch": importlib.metadata.version("torch"),
        "transformers": importlib.metadata.version("transformers"),
    }
    return json_digest(parts)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def choose(
    make: Callable[[str], Engine],
    at_hand: Sequence[str],
    model: Any,
    config: GenerationConfig,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
) -> tuple[str, str]:
    """The engine that will be done first: by rates measured once on this machine, and the time to get it ready.

    Args:
        make: opens an engine by name.
        at_hand: names of the engines to choose from; the first is taken where there is one only.
        model: the policy; its shape names the measurement.
        config: how to sample.
        prompts: some of them are answered to measure.
        rows: the responses that will be written.

    Returns:
        (name, reason for people). No token ends a response while it is measured. Rates are kept in `measurements_file`
        by machine, model shape and batch size.
    """
    if len(at_hand) == 1:
        return at_hand[0], "the only one at hand"
    path, key = measurements_file(), _circumstances(model, config, at_hand)
    kept = _read(path)
    if key not in kept:
        rates: dict[str, dict[str, float]] = {}
        for name in at_hand:
            measured = _measure(name, make, config, prompts, rows)
            if measured is not None:
                rates[name] = measured
        kept = _read(path) | {key: rates}
        write_json(path, kept)
    rates = kept[key] or {at_hand[0]: {"tokens_per_second": 1.0, "seconds_to_ready": 0.0}}
    wanted = len(rows) * config.max_new_tokens
    seconds = {
        name: one["seconds_to_ready"] + wanted / max(one["tokens_per_second"], 1e-9) for name, one in rates.items()
    }
    best = min(seconds, key=lambda name: seconds[name])
    told = ", ".join(f"{name} {one['tokens_per_second']:.0f} tokens/s" for name, one in rates.items())
    return best, f"measured: {told}; at most {seconds[best]:.0f} s for {len(rows)} responses"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _measure(
    name: str,
    make: Callable[[str], Engine],
    config: GenerationConfig,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[Row],
) -> dict[str, float] | None:
    probe = config.model_copy(update={"max_new_tokens": PROBE_TOKENS, "stop": ()})
    part = list(rows[: min(PROBE_ROWS, max(config.batch_size, config.n))])
    start = time.perf_counter()
    try:
        engine = make(name)
    except (UsageError, SystemStateError) as error:
        log.info("The sampling engine %s is not measured: %s", name, error)
        return None
    ready = time.perf_counter() - start
    try:
        warm = probe.model_copy(update={"max_new_tokens": 2})
        engine.write(prompts, part[:1], warm, [])
        start = time.perf_counter()
        written = engine.write(prompts, part, probe, [])
        seconds = time.perf_counter() - start
    except ValignError as error:
        log.info("The sampling engine %s is not measured: %s", name, error)
        return None
    finally:
        engine.close()
    tokens = sum(len(one.tokens) for one in written)
    return {"tokens_per_second": tokens / seconds, "seconds_to_ready": ready}
