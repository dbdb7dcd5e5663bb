"""SimulEval on a policy, in a process of its own: the cross-check of our delays and latency metrics."""

import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from domains.translation.decoder.rules import ReadRule
from domains.translation.decoder.settings import DecodingConfig
from domains.translation.latency.logs import LoggedSentence, read_log
from domains.translation.quality import tokenizer_of
from domains.translation.settings import read_format
from domains.translation.units import split_units
from shared.device import Precision
from shared.errors import StageError, SystemStateError

AGENT = "domains.translation.simuleval_agent.SimultaneousAgent"
LATENCY = ("AL", "LAAL", "AP", "DAL")
START = "from shared.training.worker import die_with_parent; die_with_parent(); from simuleval.cli import main; main()"
TAIL_CHARACTERS = 600
NO_MEAN = "mean requires at least one data point"


@dataclass(frozen=True, slots=True)
class SimulEvalResult:
    """What SimulEval says of a policy.

    Attributes:
        scores: corpus means of its metrics by name (BLEU, AL, LAAL, AP, DAL), rounded to three places by SimulEval;
            none where nothing was written in any sentence, of which it has no mean.
        sentences: its log, in the order of the sources.
    """

    scores: dict[str, float]
    sentences: list[LoggedSentence]


def run_simuleval(
    policy: Path,
    base: Path | None,
    sources: Sequence[str],
    references: Sequence[str],
    rule: ReadRule,
    work: Path,
    config: DecodingConfig | None = None,
    seconds: float | None = None,
    precision: Precision = "auto",
) -> SimulEvalResult:
    """Lets SimulEval translate sentences with the agent, and reads its scores.

    Args:
        policy: folder of the policy.
        base: folder of its base model; None where the policy is a whole model with its tokenizer.
        sources: sentences.
        references: one a source.
        rule: when to read.
        work: empty folder for its files; it runs there, away from the code.
        config: limits; greedy, since a session's random numbers are not those of a batch.
        seconds: after which it is ended; None: never.
        precision: see `shared.device.pick_device`.

    Raises:
        SystemStateError: SimulEval is not installed.
        StageError: it failed, with its last words.
    """
    if find_spec("simuleval") is None:
        raise SystemStateError(
            "SimulEval is not installed: run `pip install --no-deps simuleval==1.1.4` (its pinned tqdm and bitarray "
            "do not go with datasets) and `pip install textgrid pandas tornado soundfile pydub`, or leave it out."
        )
    config = config or DecodingConfig()
    form = read_format(policy)
    assert form.source_unit is not None
    assert form.target_unit is not None
    work.mkdir(parents=True, exist_ok=True)
    # SimulEval reads lines, and a source in the parts between its spaces.
    _write_lines(work / "source.txt", [" ".join(split_units(text, form.source_unit)) for text in sources])
    _write_lines(work / "target.txt", [" ".join(text.splitlines()) for text in references])
    options = {
        "agent-class": AGENT,
        "policy": str(policy.absolute()),
        "rule": str(rule),
        "precision": precision,
        "tokens-per-source-token": str(config.tokens_per_source_token),
        "extra-tokens": str(config.extra_tokens),
        "no-repeat-ngram": str(config.no_repeat_ngram),
        "source": "source.txt",
        "target": "target.txt",
        "output": "scores",
        "eval-latency-unit": form.target_unit,
        "sacrebleu-tokenizer": tokenizer_of(form.target_language),
    }
    if base is not None:
        options["base"] = str(base.absolute())
    command = [sys.executable, "-P", "-c", START, "--no-progress-bar"]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    command += ["--latency-metrics", *LATENCY]
    environment = {
        "VALIGN_PARENT": str(os.getpid()),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",  # SimulEval opens files in the system's encoding
    }
    try:
        child = subprocess.run(
            command, cwd=work, env={**os.environ, **environment}, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(
            f"SimulEval did not end within {seconds:.0f} s: give it fewer sentences or more time."
        ) from error
    told = child.stderr.decode("utf-8", "replace").strip()
    log = work / "scores"
    if child.returncode and NO_MEAN in told and not any(one.delays.delays for one in read_log(log, form.target_unit)):
        return SimulEvalResult({}, read_log(log, form.target_unit))
    if child.returncode:
        raise StageError(f"SimulEval failed (exit code {child.returncode}): {told[-TAIL_CHARACTERS:]}")
    return SimulEvalResult(_scores(log / "scores.tsv"), read_log(log, form.target_unit))


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


def _scores(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    return {name: float(value) for name, value in row.items()}
