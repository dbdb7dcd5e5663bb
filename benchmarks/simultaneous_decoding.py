"""Simultaneous decoding with a kept cache against re-encoding the row at every step, on real sentences.

    python -m benchmarks.simultaneous_decoding SOURCES.de [--model FOLDER] [--words 30 300] [--rule wait-k:3]

Both sides advance the same hypotheses under the same mask and write the same tokens, which is checked; they skip the
language-model head in the same places. They run in turn, in an order that changes, `--repeats` times. Seconds are
processor time of this process, so with one thread (OMP_NUM_THREADS=1) other work on the machine disturbs little.
"""

import argparse
import gzip
import platform
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from domains.translation.decoder.cache import TARGET, KeptCache, NewToken
from domains.translation.decoder.decode import Decoder, decode
from domains.translation.decoder.hypothesis import Decoded, Work
from domains.translation.decoder.rules import parse_rule
from domains.translation.decoder.settings import DecodingConfig
from shared.training.token_logps import packed_states


class ReencodedStates:
    """What `KeptStates` computes, from the whole row every time."""

    def __init__(
        self, model: Any, prompt: Sequence[int], marker: Sequence[int], target_position: int, rows: int
    ) -> None:
        self._model, self._prompt, self._marker = model, prompt, marker
        self._target = len(prompt) + target_position
        self._rows: list[tuple[list[tuple[int, int, int]], list[tuple[int, int]]]] = []
        self._rows = [([], []) for _ in range(rows)]

    def compute(self, work: Sequence[tuple[int, Work]]) -> Tensor:
        """Last hidden states of the marker or target tokens of some rows, [rows, size]."""
        states = []
        for row, one in work:
            source, target = self._rows[row]
            source += one.source
            kept = target[: one.place - len(self._marker) + 1]
            if not one.probe:
                target[one.place - len(self._marker) + 1 :] = [(one.token, one.limit)]
            tokens = self._row(source, [*kept, (one.token, one.limit)])
            cache = KeptCache(1, next(self._model.parameters()).device)
            states.append(packed_states(self._model, cache.step([(0, tokens)]))[-1])  # pyright: ignore[reportArgumentType]
        return torch.stack(states)

    def restart(self, row: int) -> None:
        """Another sentence takes the row's place."""
        self._rows[row] = ([], [])

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Drops all other rows."""
        self._rows = [self._rows[row] for row in rows]

    def _row(self, source: list[tuple[int, int, int]], target: list[tuple[int, int]]) -> list[NewToken]:
        before = len(self._prompt)
        row = [NewToken(token, place, place, 0, 0, place) for place, token in enumerate(self._prompt)]
        row += [
            NewToken(token, before + place, before + place, unit, unit, before + place) for token, place, unit in source
        ]
        for place, (token, limit) in enumerate([*((token, 0) for token in self._marker[:-1]), *target]):
            row.append(NewToken(token, self._target + place, TARGET + place, 0, limit, len(row)))
        return row


@contextmanager
def reencoding() -> Iterator[None]:
    """`decode` without its cache."""
    own = Decoder.states

    def states(self: Decoder, prompt: Sequence[int], marker: Sequence[int], rows: int) -> Any:
        return ReencodedStates(self.model, prompt, marker, self.policy.format.target_position, rows)

    Decoder.states = states  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        Decoder.states = own


def sentences(path: Path, words: int, count: int) -> list[str]:
    """`count` texts of exactly so many words, from consecutive lines."""
    opened: Any = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        found = " ".join(file.read().split()).split(" ")
    if len(found) < words * count:
        raise SystemExit(f"{path.name} has fewer than {words * count} words")
    return [" ".join(found[start : start + words]) for start in range(0, words * count, words)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(2000))
    return means[49], means[1949]


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Measures and prints a table."""
    from domains.translation.policy import SimulPolicy
    from domains.translation.settings import SimulFormat
    from shared.home import models_folder
    from shared.models import load_causal_lm, load_tokenizer, resolve

    parser = argparse.ArgumentParser()
    parser.add_argument("sources", type=Path)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--words", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--sentences", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=48, help="most target tokens of a sentence")
    parser.add_argument("--rule", default="wait-k:3")
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    path = resolve(told.model, models_folder()).path
    tokenizer = load_tokenizer(path)
    policy = SimulPolicy(load_causal_lm(path), SimulFormat(source_language="de", target_language="en")).eval()
    config = DecodingConfig(batch_size=told.batch_size, tokens_per_source_token=1e-9, extra_tokens=told.tokens)
    rule = parse_rule(told.rule)

    def kept(texts: list[str]) -> list[Decoded]:
        return decode(policy, tokenizer, [policy.format.source(tokenizer, text) for text in texts], rule, config)

    def reencoded(texts: list[str]) -> list[Decoded]:
        with reencoding():
            return kept(texts)

    kept(sentences(told.sources, 3, 1))  # the vocabulary's table, first touches of the weights
    print(f"{processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, float32")
    print(
        f"{told.model}, {rule}, {told.sentences} sentence(s), {told.batch_size} a batch, at most {told.tokens} tokens\n"
    )
    print("| source words | re-encoding, s | kept cache, s | times faster (95 %) | tokens |\n|---|---|---|---|---|")
    for words in told.words:
        texts = sentences(told.sources, words, told.sentences)
        seconds: dict[str, list[float]] = {"kept": [], "reencoded": []}
        for repeat in range(told.repeats):
            sides = [("kept", kept), ("reencoded", reencoded)]
            written = []
            for name, side in sides if repeat % 2 else sides[::-1]:
                start = time.process_time()
                written.append([(one.tokens, one.reads) for one in side(texts)])
                seconds[name].append(time.process_time() - start)
            if written[0] != written[1]:
                raise SystemExit("the sides wrote different tokens")
        ratios = [slow / fast for slow, fast in zip(seconds["reencoded"], seconds["kept"], strict=True)]
        low, high = interval(ratios)
        tokens = sum(len(one[0]) for one in written[0])
        means = {name: statistics.fmean(values) for name, values in seconds.items()}
        print(
            f"| {words} | {means['reencoded']:.1f} | {means['kept']:.1f} | "
            f"{statistics.fmean(ratios):.1f} ({low:.1f} to {high:.1f}) | {tokens} |"
        )


if __name__ == "__main__":
    main()
