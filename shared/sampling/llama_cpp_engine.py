"""The engine llama.cpp: many sequences in one batch on the CPU, prompts shared, tokens drawn as everywhere here.

It is handed token ids and gives logits; the vocabulary, the random numbers and the choice of tokens are ours, so a
seed means the same as with the other engines. Needs the package llama-cpp-python, of which the low-level part is used.
"""

import ctypes
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.errors import SystemStateError
from shared.home import valign_home
from shared.sampling.gguf_file import WeightType, write_gguf
from shared.sampling.settings import GenerationConfig, Row

log = logging.getLogger(__name__)

TOKENS_A_PASS = 512


class LlamaCppEngine:
    """llama.cpp on a policy's weights, written to a temporary file.

    Args:
        model: the policy, with or without adapters.
        tokenizer: of the policy.
        config: its batch_size, n and max_new_tokens bound what is written at once.
        weights: number format of the matrices.

    Raises:
        UsageError: the architecture has no GGUF form here.
        SystemStateError: llama.cpp cannot load what was written.
    """

    name = "llama.cpp"

    def __init__(self, model: Any, tokenizer: Any, config: GenerationConfig, weights: WeightType = "bf16") -> None:
        import llama_cpp  # pyright: ignore[reportMissingImports]
        import torch

        from shared.sampling.engines import stop_check
        from shared.sampling.weights import sampling_copy

        self._api: Any = llama_cpp
        self._ends_text = stop_check(tokenizer, config.stop)
        self._model: Any = None
        self._exact = weights == "f32"
        self._log = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._folder = Path(tempfile.mkdtemp(prefix="gguf-", dir=valign_home()))
        try:
            path = self._folder / "policy.gguf"
            write_gguf(sampling_copy(model, torch.float32), path, weights)
            parameters = llama_cpp.llama_model_default_params()
            parameters.n_gpu_layers = 0
            self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        finally:
            # The file is mapped into memory: its pages stay when its name goes.
            shutil.rmtree(self._folder, ignore_errors=True)
        if not self._model:
            raise SystemStateError("llama.cpp cannot load the policy: use engine transformers, or another version.")
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

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
        """As `shared.sampling.decoding.decode`."""
        from shared.sampling.decoding import Written, batches_of

        found: list[Any] = [Written() for _ in rows]
        done = 0
        for part in batches_of(rows, prompts, config.batch_size, config.n):
            batch = [rows[i] for i in part]
            for number, one in zip(part, self._batch(prompts, batch, config, end_ids, with_logps), strict=True):
                found[number] = one
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(rows))
        return found

    def _open(self, cells: int, sequences: int) -> Any:
        """A context with room for so many tokens; one cache for all sequences, so that they share their prompts."""
        import torch

        api = self._api
        parameters = api.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_seq_max = sequences
        parameters.n_batch = TOKENS_A_PASS
        parameters.n_ubatch = TOKENS_A_PASS
        parameters.n_threads = parameters.n_threads_batch = torch.get_num_threads()
        parameters.kv_unified = True
        if self._exact:  # the cache is float16 otherwise
            parameters.type_k = parameters.type_v = api.GGML_TYPE_F32
        context = api.llama_init_from_model(self._model, parameters)
        if not context:
            raise SystemStateError(f"llama.cpp has no memory for {cells} tokens: lower `batch_size`.")
        return context

    def _batch(
        self,
        prompts: Sequence[Sequence[int]],
        rows: Sequence[Row],
        config: GenerationConfig,
        end_ids: Sequence[int],
        with_logps: bool,
    ) -> list[Any]:
        import numpy as np
        import torch

        from shared.sampling.decoding import Written, draw

        api = self._api
        asked = list(dict.fromkeys(row.prompt for row in rows))
        first = {prompt: next(i for i, row in enumerate(rows) if row.prompt == prompt) for prompt in asked}
        cells = sum(len(prompts[i]) for i in asked) + len(rows) * config.max_new_tokens
        context = self._open(-(-cells // 256) * 256, len(rows))
        batch = api.llama_batch_init(TOKENS_A_PASS, 0, 1)
        try:
            start = self._read(context, batch, [(first[i], prompts[i]) for i in asked])
            memory = api.llama_get_memory(context)
            for number, row in enumerate(rows):
                if number != first[row.prompt]:
                    api.llama_memory_seq_cp(memory, first[row.prompt], number, -1, -1)
            logits = torch.from_numpy(np.stack([start[first[row.prompt]] for row in rows]))
            noise = torch.from_numpy(np.stack([row.uniforms(config.max_new_tokens) for row in rows]))
            written = [Written() for _ in rows]
            alive = list(range(len(rows)))
            for step in range(config.max_new_tokens):
                tokens = draw(logits, noise[alive, step], config)
                values = (logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)).tolist()
                still = []
                for place, (number, token) in enumerate(zip(alive, tokens.tolist(), strict=True)):
                    one = written[number]
                    one.tokens.append(token)
                    if with_logps:
                        one.logps.append(values[place])
                    if token in end_ids or (self._ends_text is not None and self._ends_text(one.tokens)):
                        one.finish_reason = "stop"
                    else:
                        still.append(number)
                if not still or step + 1 == config.max_new_tokens:
                    break
                alive = still
                rest = [(n, written[n].tokens[-1], len(prompts[rows[n].prompt]) + step) for n in alive]
                logits = torch.from_numpy(np.stack(self._next(context, batch, rest)))
            return written
        finally:
            api.llama_batch_free(batch)
            api.llama_free(context)

    def _read(self, context: Any, batch: Any, prompts: Sequence[tuple[int, Sequence[int]]]) -> dict[int, Any]:
        """Logits after each prompt, by sequence; prompts are packed into passes."""
        waiting: list[tuple[int, int, int, bool]] = [
            (sequence, token, place, place + 1 == len(ids))
            for sequence, ids in prompts
            for place, token in enumerate(ids)
        ]
        found = {}
        for start in range(0, len(waiting), TOKENS_A_PASS):
            part = waiting[start : start + TOKENS_A_PASS]
            found.update(self._pass(context, batch, part))
        return found

    def _next(self, context: Any, batch: Any, tokens: Sequence[tuple[int, int, int]]) -> list[Any]:
        """Logits after one more token of each sequence: (sequence, token, place)."""
        found = {}
        for start in range(0, len(tokens), TOKENS_A_PASS):
            part = tokens[start : start + TOKENS_A_PASS]
            found.update(self._pass(context, batch, [(*one, True) for one in part]))
        return [found[sequence] for sequence, _, _ in tokens]

    def _pass(self, context: Any, batch: Any, tokens: Sequence[tuple[int, int, int, bool]]) -> dict[int, Any]:
        import numpy as np

        for number, (sequence, token, place, wanted) in enumerate(tokens):
            batch.token[number], batch.pos[number] = token, place
            batch.n_seq_id[number] = 1
            batch.seq_id[number][0] = sequence
            batch.logits[number] = wanted
        batch.n_tokens = len(tokens)
        if self._api.llama_decode(context, batch) != 0:
            raise SystemStateError("llama.cpp could not compute a batch: use engine transformers, or lower batch_size.")
        return {
            sequence: np.ctypeslib.as_array(
                self._api.llama_get_logits_ith(context, number), shape=(self._vocabulary,)
            ).copy()
            for number, (sequence, _, _, wanted) in enumerate(tokens)
            if wanted
        }

    def close(self) -> None:
        """Frees the model."""
        if self._model:
            self._api.llama_model_free(self._model)
            self._model = None
