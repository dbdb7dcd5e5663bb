"""The engine vLLM on a CUDA device: continuous batching, prompts cached by prefix.

Written against vLLM's documented interface (`LLM.generate` on token ids, one `SamplingParams` a request) and tested
with a stand-in for the package; it has not run on a device. vLLM draws tokens itself from a seed a request, so one seed
gives other responses than with the engines whose tokens are drawn here.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.home import valign_home
from shared.sampling.settings import GenerationConfig, Row

GPU_MEMORY_SHARE = 0.5  # the policy itself, and perhaps a reward model, stay on the device


class VllmEngine:
    """vLLM on a policy's weights, written to a temporary folder.

    Args:
        model: the policy, with or without adapters.
        tokenizer: of the policy.
        config: stop strings and seed are taken from it.
    """

    name = "vllm"

    def __init__(self, model: Any, tokenizer: Any, config: GenerationConfig) -> None:
        import torch
        import vllm  # pyright: ignore[reportMissingImports]

        from shared.device import pick_device
        from shared.sampling.weights import sampling_copy

        self._api: Any = vllm
        dtype = torch.bfloat16 if pick_device().autocast_bf16 else torch.float32
        self._folder = Path(tempfile.mkdtemp(prefix="vllm-", dir=valign_home()))
        try:
            sampling_copy(model, dtype).save_pretrained(self._folder)
            tokenizer.save_pretrained(self._folder)
            self._llm: Any = vllm.LLM(
                model=str(self._folder),
                dtype="bfloat16" if dtype == torch.bfloat16 else "float32",
                seed=config.seed,
                enable_prefix_caching=True,
                gpu_memory_utilization=GPU_MEMORY_SHARE,
                trust_remote_code=False,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        config: GenerationConfig,
        end_ids: Sequence[int],
        *,
        with_logps: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Any]:
        """As `shared.sampling.decoding.decode`; batch_size is not used: vLLM fills the device."""
        from shared.sampling.decoding import Written

        settings = [
            self._api.SamplingParams(
                n=1,
                temperature=config.temperature,
                top_p=config.top_p,
                top_k=config.top_k or -1,
                max_tokens=config.max_new_tokens,
                seed=row.seed,
                stop=list(config.stop) or None,
                stop_token_ids=list(end_ids),
                ignore_eos=not end_ids,
                logprobs=0 if with_logps else None,
            )
            for row in rows
        ]
        asked = [{"prompt_token_ids": list(prompts[row.prompt])} for row in rows]
        outputs = self._llm.generate(asked, settings, use_tqdm=False)
        found = []
        for output in outputs:
            one = output.outputs[0]
            tokens = list(one.token_ids)
            logps = (
                [step[token].logprob for step, token in zip(one.logprobs, tokens, strict=True)] if with_logps else []
            )
            found.append(Written(tokens, "stop" if one.finish_reason == "stop" else "length", logps))
        if on_progress is not None:
            on_progress(len(rows), len(rows))
        return found

    def close(self) -> None:
        """Frees the device and the folder."""
        self._llm = None
        shutil.rmtree(self._folder, ignore_errors=True)
