"""The gate as a stage: reads what was measured of candidate and champion, writes decision.json."""

from collections.abc import Mapping
from typing import Any

from shared.evaluation.measured import Measured
from shared.gate import GateConfig, decide
from shared.stages import Stage, StageContext


def gate(context: StageContext) -> dict[str, float]:
    """Decides whether the candidate becomes the champion.

    Reads ``measured/<name>.json`` of the evaluation for the two names in the config; writes ``decision.json``.

    Returns:
        ``gate/promoted`` (1 or 0), ``gate/tests`` and ``gate/tests_passed``.
    """
    folder = context.inputs["eval"] / "measured"
    candidate = Measured.read(folder / f"{context.config['candidate']}.json")
    champion = Measured.read(folder / f"{context.config['champion']}.json")
    decision = decide(candidate, champion, GateConfig.model_validate(context.config["gate"]))
    decision.write(context.out / "decision.json")
    passed = sum(test.passed for test in decision.tests)
    return {
        "gate/promoted": float(decision.promoted),
        "gate/tests": float(len(decision.tests)),
        "gate/tests_passed": float(passed),
    }


def gate_stage(settings: Mapping[str, Any], champion: str) -> Stage:
    """The stage that decides on what the stage ``eval`` measured of ``candidate`` and a champion.

    Args:
        settings: the recipe's part, as values.
        champion: name of its measurements.
    """
    return Stage(
        "gate",
        gate,
        config={"gate": settings, "candidate": "candidate", "champion": champion},
        inputs={"eval": "eval"},
        libraries=("numpy", "scipy"),
    )
