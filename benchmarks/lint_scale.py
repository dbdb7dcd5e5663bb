"""Time and memory of lint on synthetic pairs, all checks on.

    python -m benchmarks.lint_scale 10000 100000 [1000000]

Every size runs in a process of its own, so that its peak memory is its own. The pairs are written to record files first
(which is not timed); lint then reads those files as a stream. Processor seconds are what counts on a busy machine.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.lint_planted import WordTokenizer
from benchmarks.planted_pairs import clean_pairs
from shared.data.record_files import iter_records, write_records
from shared.lint.config import LintConfig
from shared.lint.run import lint
from shared.prompts import PromptFormat

SHARE_OF_TEST = 10  # every tenth group


def write(folder: Path, n: int) -> None:
    """Writes n pairs as record files of two splits."""
    for name, test in (("train", False), ("test", True)):
        pairs = clean_pairs(n, seed=n)
        in_split = (each for each in pairs if (int(each.group_id[1:]) % SHARE_OF_TEST == 0) == test)
        write_records(folder / f"{name}.arrow", in_split)


def measure(folder: Path, n: int, tokenize: bool) -> None:
    """Lints the files and prints one row of the table."""
    config = LintConfig(
        languages=("en",), near_tie_margin=1.5, prompt=PromptFormat(style="plain"), max_length=256 if tokenize else None
    )
    splits = {name: folder / f"{name}.arrow" for name in ("train", "test")}
    start = time.perf_counter()
    for path in splits.values():
        for _ in iter_records(path):
            pass
    reading = time.perf_counter() - start
    start, began = time.perf_counter(), time.process_time()
    report = lint(splits, config, WordTokenizer() if tokenize else None)  # pyright: ignore[reportArgumentType]
    seconds, processor = time.perf_counter() - start, time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    cells = [f"{n:,}", f"{seconds:.1f}", f"{processor:.1f}", f"{reading:.1f}", f"{n / processor:,.0f}", f"{peak:.2f}"]
    print("".join(f"{cell:>16}" for cell in cells), flush=True)
    log = ", ".join(sorted({f"{each.check} {each.subject}".strip() for each in report.findings}))
    print(f"  findings: {log}", flush=True)


def main() -> None:
    """Prints the table: seconds (of which reading), pairs a second, peak memory in GB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tokenize", action="store_true", help="look for truncation too, with a word tokenizer")
    arguments = parser.parse_args()
    if arguments.folder:
        measure(arguments.folder, arguments.sizes[0], arguments.tokenize)
        return
    titles = ("pairs", "seconds", "processor s", "of it reading", "pairs/proc. s", "peak GB")
    print("".join(f"{title:>16}" for title in titles), flush=True)
    for n in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), n)
            command = [sys.executable, "-m", "benchmarks.lint_scale", str(n), "--folder", folder]
            subprocess.run([*command, *(["--tokenize"] if arguments.tokenize else [])], check=True)


if __name__ == "__main__":
    main()
