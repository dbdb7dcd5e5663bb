"""Seconds to score a SimulEval log: SimulEval's own scorers against valign's, on a real log and a tenfold copy of it.

    python -m benchmarks.latency_scoring INSTANCES.log.gz [--copies 1 10] [--rounds 7]

Both sides give AL, LAAL, AP and DAL, with and without the time of computing; valign gives YAAL and the share of
simultaneous words too. What is timed:

    figures     from sentences in memory
    log         the same with reading the log from disk; valign checks every line and number, SimulEval none
    intervals   valign alone adds 2,000 bootstrap resamples of every figure; SimulEval has no intervals
    with BLEU   as log, with corpus BLEU, which both take from sacreBLEU (valign keeps the counts of each sentence)

The sides alternate, in an order that changes with every round; seconds are processor time of this process. Intervals
are t intervals of the mean over rounds, the ratio's of the ratios within rounds. Both sides must give equal figures.
"""

import argparse
import gc
import gzip
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

METRICS = ("AL", "LAAL", "AP", "DAL")
RESAMPLES = 2000


def simuleval_log(path: Path) -> dict[int, Any]:
    """What `simuleval --score-only` reads."""
    from simuleval.evaluator.instance import LogInstance

    with path.open(encoding="utf-8") as file:
        return {number: LogInstance(line) for number, line in enumerate(file)}


def simuleval_figures(instances: dict[int, Any], with_bleu: bool) -> dict[str, float]:
    """One scorer after another."""
    from simuleval.evaluator.scorers.latency_scorer import LATENCY_SCORERS_DICT
    from simuleval.evaluator.scorers.quality_scorer import SacreBLEUScorer

    found = {
        f"{name} {aware}": LATENCY_SCORERS_DICT[name](computation_aware=aware)(instances)
        for aware in (False, True)
        for name in METRICS
    }
    return found | ({"BLEU": SacreBLEUScorer()(instances)} if with_bleu else {})


def valign_figures(sentences: list[Any], with_bleu: bool, n_resamples: int) -> dict[str, float]:
    """The same figures; `n_resamples` 0 leaves the intervals out."""
    from domains.translation.latency import sentence_latency, summarise
    from domains.translation.quality import bleu_statistics

    found = {}
    for aware in (False, True):
        corpus = [one.delays.computation_aware() if aware else one.delays for one in sentences]
        if n_resamples:
            figures = summarise(corpus, n_resamples=n_resamples).figures
            found |= {f"{name} {aware}": figures[name].value for name in METRICS}
        else:
            lags = sentence_latency(corpus).lags
            found |= {f"{name} {aware}": float(lags[name].mean()) for name in METRICS}
    if with_bleu:
        found["BLEU"] = bleu_statistics([s.prediction for s in sentences], [s.reference for s in sentences]).corpus()
    return found


def works(path: Path) -> dict[str, dict[str, Callable[[], dict[str, float]]]]:
    """What is timed of each side."""
    from domains.translation.latency import read_log

    theirs, ours = simuleval_log(path), read_log(path)
    return {
        "figures": {
            "simuleval": lambda: simuleval_figures(theirs, False),
            "valign": lambda: valign_figures(ours, False, 0),
        },
        "log": {
            "simuleval": lambda: simuleval_figures(simuleval_log(path), False),
            "valign": lambda: valign_figures(read_log(path), False, 0),
        },
        "intervals": {
            "simuleval": lambda: simuleval_figures(simuleval_log(path), False),
            "valign": lambda: valign_figures(read_log(path), False, RESAMPLES),
        },
        "with BLEU": {
            "simuleval": lambda: simuleval_figures(simuleval_log(path), True),
            "valign": lambda: valign_figures(read_log(path), True, 0),
        },
    }


def copied(path: Path, copies: int, target: Path) -> Path:
    """The log `copies` times over, with running numbers, unpacked, without what SimulEval 1.1.4 cannot read back."""
    data = path.read_bytes()
    rows = [json.loads(line) for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()]
    for row in rows:
        row.pop("reference_length", None)
    with target.open("w", encoding="utf-8") as file:
        for number in range(copies * len(rows)):
            file.write(json.dumps({**rows[number % len(rows)], "index": number}) + "\n")
    return target


def timed(side: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Processor seconds and what came out."""
    gc.collect()
    start = time.process_time()
    found = side()
    return time.process_time() - start, found


def main() -> None:
    """Measures and prints a table."""
    from shared.evaluation.intervals import t_interval

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--rounds", type=int, default=7)
    told = parser.parse_args()
    print("| log | what | SimulEval s | valign s | SimulEval / valign |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for copies in told.copies:
            for work, sides in works(copied(told.log, copies, Path(folder) / f"{copies}.log")).items():
                seconds: dict[str, list[float]] = defaultdict(list)
                for number in range(told.rounds + 1):
                    order = list(sides) if number % 2 else list(reversed(sides))
                    results = {name: timed(sides[name]) for name in order}
                    for name, value in results["simuleval"][1].items():
                        ours = results["valign"][1][name]
                        if abs(ours - value) > 1e-6 * abs(value):
                            raise SystemExit(f"{name}: SimulEval has {value}, valign {ours}")
                    if number:  # the first round imports
                        for name in sides:
                            seconds[name].append(results[name][0])
                ratios = [a / b for a, b in zip(seconds["simuleval"], seconds["valign"], strict=True)]
                cells = [t_interval(one) for one in (seconds["simuleval"], seconds["valign"], ratios)]
                shown = " | ".join(f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in cells)
                print(f"| {copies} x {told.log.name} | {work} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
