"""Time and memory of data preparation on synthetic pairs: everything that a run does with its data before training.

    python -m benchmarks.data_scale 10000 100000 1000000 [--names] [--json FILE]

Pairs of 750 characters on average are written as JSONL (not timed), four of a question, with what `Rates` says planted
in them. Every size then runs in a process of its own, so that its peak memory is its own: read -> de-identify (names
off, or on with ``--names``) -> drop exact and near-duplicates -> split by group -> record files -> lint of the splits
(all checks but truncation, which needs a model's tokenizer). Stages run interleaved, as a stream; each is charged what
it took itself. Processor seconds are what counts on a busy machine.
"""

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.synthetic_pairs import COLD, PLAIN, WARM, WHEN, WHO, question, sentence
from domains.counseling.data import SPLITS, CounselingDataConfig, read_preferences
from domains.counseling.deidentify import counseling_deidentify
from shared.data import preparing
from shared.data.near_duplicates import PairSignatures
from shared.data.preparing import SplitSettings, prepare_records, write_dropped
from shared.data.record_files import RecordWriter
from shared.data.rows import RowTally
from shared.deidentify.config import DeidentifyConfig
from shared.deidentify.deidentifier import Deidentifier
from shared.lint.config import LintConfig
from shared.lint.run import lint

STAGES = ("read", "de-identify", "exact duplicates", "near-duplicates", "split", "record files", "lint")
PAIRS_PER_QUESTION = 4
_REMEMBERED = 10_000  # earlier pairs among which one is chosen to be repeated


@dataclass(frozen=True)
class Rates:
    """Share of the pairs in which something is planted."""

    exact_duplicate: float = 0.03
    near_duplicate: float = 0.03
    email: float = 0.02
    phone: float = 0.02
    url: float = 0.03
    name: float = 0.05
    capital: float = 0.30  # a capital within a sentence that is no name: name recognition must look at it


RATES = Rates()
GIVEN = ("Kevin", "Sarah", "Priya", "Miguel", "Hannah", "Omar", "Julia", "Tyler", "Fatima", "Andrew", "sarah", "kevin")
FAMILY = ("Novak", "Ramirez", "Sorensen", "Khan", "Murphy", "Tanaka", "", "", "", "")
CAPITALS = ("Texas", "Medicaid", "Netflix", "Instagram", "Chicago", "the Bible", "Wellbutrin", "Toyota", "DBT")


def _planted(rng: random.Random) -> Iterator[str]:
    """Sentences to plant in one pair."""
    number = rng.randrange(10_000)
    if rng.random() < RATES.email:
        yield f"You can write to mail{number}@example.org."
    if rng.random() < RATES.phone:
        yield f"Call (555) 201-{number:04d} in the evening."
    if rng.random() < RATES.url:
        yield f"See https://example.org/page/{number} for more."
    if rng.random() < RATES.name:
        yield f"My {rng.choice(WHO)} {rng.choice(GIVEN)} {rng.choice(FAMILY)}".strip() + f" called {rng.choice(WHEN)}."
    if rng.random() < RATES.capital:
        yield f"We talked about {rng.choice(CAPITALS)} {rng.choice(WHEN)}."


def _answer(rng: random.Random, warmth: float) -> str:
    frames = (WARM if rng.random() < warmth else COLD if rng.random() < 0.7 else PLAIN for _ in range(4))
    return " ".join(sentence(rng, each) for each in frames)


def synthetic_rows(n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows of a preference file, in memory that does not grow with `n`."""
    rng = random.Random(seed)
    earlier: list[dict[str, Any]] = []
    prompt = ""
    for number in range(n):
        if number % PAIRS_PER_QUESTION == 0:
            prompt = question(rng)[:420].rsplit(" ", 1)[0]
        kind = rng.random()
        if earlier and kind < RATES.exact_duplicate:
            row = rng.choice(earlier)
        elif earlier and kind < RATES.exact_duplicate + RATES.near_duplicate:
            row = dict(rng.choice(earlier))
            words = row["chosen"].split(" ")
            words[rng.randrange(len(words))] = f"again{rng.randrange(1000)}"
            row["chosen"] = " ".join(words)
        else:
            chosen, rejected = _answer(rng, rng.uniform(0.4, 0.8)), _answer(rng, rng.uniform(0.1, 0.5))
            for each in _planted(rng):
                if rng.random() < 0.5:
                    chosen += " " + each
                else:
                    rejected = f"{each} {rejected}"
            row = {
                "group_id": f"q{number // PAIRS_PER_QUESTION}",
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "margin": 1 + rng.randrange(5),
                "votes_chosen": rng.randint(7, 10),
                "votes_rejected": rng.randint(0, 2),
                "chosen_views": rng.randrange(1000),
                "rejected_views": rng.randrange(1000),
            }
            if len(earlier) < _REMEMBERED:
                earlier.append(row)
            else:
                earlier[rng.randrange(_REMEMBERED)] = row
        yield {"id": f"p{number}", **row}


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> float:
    """Writes JSONL; returns the mean number of characters of prompt, chosen and rejected together."""
    characters = count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            characters += len(row["prompt"]) + len(row["chosen"]) + len(row["rejected"])
            count += 1
    return characters / max(1, count)


class Clock:
    """Wall and processor seconds by stage; a stage within another is charged to itself alone."""

    def __init__(self) -> None:
        self.wall: defaultdict[str, float] = defaultdict(float)
        self.processor: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._mark = (0.0, 0.0)

    def _charge(self) -> None:
        now = time.perf_counter(), time.process_time()
        if self._open:
            self.wall[self._open[-1]] += now[0] - self._mark[0]
            self.processor[self._open[-1]] += now[1] - self._mark[1]
        self._mark = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charges the block to a stage."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def stream(self, name: str, items: Iterable[Any]) -> Iterator[Any]:
        """The items, with what each takes charged to a stage."""
        iterator = iter(items)
        while True:
            self._charge()
            self._open.append(name)
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._charge()
                self._open.pop()
            yield item

    def around(self, owner: Any, function: str, name: str) -> None:
        """Charges every call of a function or method to a stage."""
        original: Callable[..., Any] = getattr(owner, function)

        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                return original(*args, **options)

        setattr(owner, function, timed)


def measure(path: Path, out: Path, names: bool) -> dict[str, Any]:
    """Prepares and lints the rows of a file as a run does; times by stage, peak memory, counts."""
    clock = Clock()
    for owner, function, stage in (
        (PairSignatures, "add", "near-duplicates"),
        (PairSignatures, "repeated", "near-duplicates"),
        (RecordWriter, "write", "record files"),
        (RecordWriter, "__exit__", "record files"),
        (preparing, "_deal", "record files"),
        *((preparing, each, "split") for each in ("cap_groups", "cap_total", "assign", "components")),
    ):
        clock.around(owner, function, stage)
    config = CounselingDataConfig(near_duplicates="drop", deidentify=DeidentifyConfig(recognise_names=names))
    tally = RowTally()
    with clock.stage("de-identify"):
        masker = Deidentifier(counseling_deidentify(config.deidentify))
    _, records = read_preferences(path, config, tally)
    masked = clock.stream("de-identify", masker.mask_records(clock.stream("read", records)))
    settings = SplitSettings(
        {split: getattr(config.fractions, split) for split in SPLITS},
        max_pairs_per_group=config.max_pairs_per_group,
        near_duplicates=config.near_duplicates,
        near_duplicate_similarity=config.near_duplicate_similarity,
    )
    with clock.stage("exact duplicates"):
        prepared = prepare_records(masked, out, settings, tally)
        dropped = write_dropped(out / "dropped.jsonl", tally)
    after_preparing = peak_memory()
    with clock.stage("lint"):
        paths = {name: out / f"{name}.arrow" for name in SPLITS if prepared.splits[name].pairs}
        report = lint(paths, LintConfig(languages=("en",)))
    return {
        "pairs": prepared.read,
        "wall": dict(clock.wall),
        "processor": dict(clock.processor),
        "peak_gb": peak_memory(),
        "peak_gb_after_preparing": after_preparing,
        "kept": prepared.kept,
        "dropped": dropped,
        "masked": dict(masker.report.by_entity),
        "findings": {f"{each.check} {each.subject}".strip(): each.count for each in report.findings},
    }


def peak_memory() -> float:
    """Peak resident memory of this process so far, in GB (10^9 bytes), pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Least-squares slope of log(seconds) on log(size): 1 is linear time."""
    x, y = [math.log(each) for each in sizes], [math.log(max(each, 1e-9)) for each in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table: processor and wall seconds by stage, pairs a processor second, peak memory."""
    rows = [["", *(f"{each['pairs']:,} pairs" for each in results), "slope"], ["---"] * (len(results) + 2)]
    sizes = [each["pairs"] for each in results]

    def row(title: str, values: list[tuple[float, float]]) -> list[str]:
        cells = [
            f"{processor:.1f} s ({wall:.1f} s), {n / max(processor, 1e-9):,.0f}/s"
            for n, (processor, wall) in zip(sizes, values, strict=True)
        ]
        fit = f"{slope(sizes, [processor for processor, _ in values]):.2f}" if len(set(sizes)) > 1 else ""
        return [title, *cells, fit]

    for stage in STAGES:
        rows.append(row(stage, [(each["processor"].get(stage, 0.0), each["wall"].get(stage, 0.0)) for each in results]))
    totals = [(sum(each["processor"].values()), sum(each["wall"].values())) for each in results]
    rows.append(row("all", totals))
    rows.append(["peak memory", *(f"{each['peak_gb']:.2f} GB" for each in results), ""])
    return "\n".join("| " + " | ".join(each) + " |" for each in rows)


def main() -> None:
    """Prints the table, and what was dropped, masked and found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+", help="numbers of pairs")
    parser.add_argument("--names", action="store_true", help="recognise names by model and lists")
    parser.add_argument("--folder", type=Path, help="where to put the files of a size, deleted afterwards")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, names=arguments.names)))
        return
    results: list[dict[str, Any]] = []
    for n in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            path, out = Path(name) / "pairs.jsonl", Path(name) / "out"
            out.mkdir()
            characters = write_rows(path, synthetic_rows(n, seed=n))
            command = [sys.executable, "-m", "benchmarks.data_scale", str(n), "--measure", str(path), str(out)]
            command += ["--names"] * arguments.names
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append({"characters": characters, **json.loads(done.stdout.splitlines()[-1])})
        last = results[-1]
        print(f"{n:,} pairs of {characters:.0f} characters: kept {last['kept']:,}, dropped {last['dropped']}, masked "
              f"{last['masked']}, found {last['findings']}, peak {last['peak_gb_after_preparing']:.2f} GB before lint, "
              f"{last['peak_gb']:.2f} GB in all", flush=True)  # fmt: skip
    print(f"planted: {asdict(RATES)}\n\n{table(results)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
