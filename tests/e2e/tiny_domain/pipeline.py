"""A domain of another package: real stages, records, gate and card around a "training" of a few sums.

The variables TINY_SLEEP (seconds a step) and TINY_LOG (file that names each step as it is taken) steer the tests; no
result depends on them.
"""

import csv
import hashlib
import json
import math
import os
import shutil
import time
from pathlib import Path

from pydantic import Field

from shared.data.record_files import read_records, write_records
from shared.domain import Domain, PipelineRequest
from shared.durable import write_json
from shared.errors import DataError, UsageError
from shared.evaluation.measured import ItemValues, Measured
from shared.gate import GateConfig
from shared.gate_stage import gate
from shared.recipes import Component
from shared.records import Message, PreferenceRecord
from shared.stages import Stage, StageContext

HERE = Path(__file__).parent


class Align(Component):
    """The pretended training."""

    steps: int = Field(6, ge=1)
    rate: float = 0.1
    seeds: tuple[int, ...] = (0,)


class Recipe(Component):
    """A recipe of the tiny domain."""

    align: Align = Align()
    gate: GateConfig = GateConfig(primary="margin", n_resamples=500)


def _step(name: str) -> None:
    if log := os.environ.get("TINY_LOG"):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
    time.sleep(float(os.environ.get("TINY_SLEEP", "0")))


def prepare_data(context: StageContext) -> dict[str, float]:
    """Reads pairs from CSV; every second question is held out."""
    path = context.files["data"]
    _step("data")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or "answer" not in rows[0]:
        raise DataError(f"{path.name} has no column answer: name the preferred answer so.")
    records = [
        PreferenceRecord(
            id=row["id"],
            group_id=row["question"],
            source=f"{path.name}:{number}",
            prompt=(Message("user", row["question"]),),
            chosen=row["answer"],
            rejected=row["other"],
        )
        for number, row in enumerate(rows, start=2)
    ]
    held_out = sorted({record.group_id for record in records})[::2]
    counts = {
        name: write_records(
            context.out / f"{name}.arrow", [one for one in records if (one.group_id in held_out) == (name == "test")]
        )
        for name in ("train", "test")
    }
    return {f"data/{name}": float(count) for name, count in counts.items()}


def train(context: StageContext) -> dict[str, float]:
    """Adds up; a checkpoint after every step, so that a killed one goes on where it stopped."""
    records = read_records(context.inputs["data"] / "train.arrow")
    checkpoint = context.work / "state.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.is_file() else {"step": 0, "weight": 0.0, "losses": []}
    while state["step"] < context.config["steps"]:
        _step(f"align/seed-{context.config['seed']} {state['step']}")
        record = records[(state["step"] * 7 + context.config["seed"]) % len(records)]
        state["weight"] += context.config["rate"] * (len(record.chosen) - len(record.rejected)) / 10
        state["losses"].append(1 / (1 + state["weight"] ** 2))
        state["step"] += 1
        write_json(checkpoint, state)
        context.progress(state["step"], context.config["steps"], "steps")
    write_json(context.out / "model.json", state)
    return {"align/loss": state["losses"][-1]}


def measure(context: StageContext) -> dict[str, float]:
    """The margin of base, candidate and champion on every held-out pair."""
    _step("eval")
    records = read_records(context.inputs["data"] / "test.arrow")
    weights = {"base": 0.0}
    for name, folder in {**context.inputs, **context.files}.items():
        if (model := folder / "model.json").is_file():
            weights[name] = json.loads(model.read_text())["weight"]
    (context.out / "measured").mkdir()
    for name, weight in weights.items():
        margins = [weight * len(one.chosen) + hashlib.sha256(one.id.encode()).digest()[0] / 512 for one in records]
        items = ItemValues.of([one.id for one in records], [one.group_id for one in records], margins)
        Measured(name, {"margin": items}, data_licence="CC0-1.0").write(context.out / "measured" / f"{name}.json")
    return {f"eval/margin/{name}": weight for name, weight in weights.items()}


def make_card(context: StageContext) -> dict[str, float]:
    """The model's folder with its card."""
    _step("card")
    shutil.copyfile(context.inputs["candidate"] / "model.json", context.out / "model.json")
    decision = json.loads((context.inputs["gate"] / "decision.json").read_text())
    (context.out / "README.md").write_text(f"# Tiny\n\nPromoted: {decision['promoted']}\n", encoding="utf-8")
    return {}


def build(request: PipelineRequest) -> list[Stage]:
    """Data, training by seed, evaluation, gate, card; or evaluation of one model alone."""
    if request.data is None:
        raise UsageError("the tiny domain reads files only: give --data FILE.")
    recipe: Recipe = request.recipe
    data = Stage("data", prepare_data, files={"data": request.data})
    if request.only_evaluate is not None:
        folder = request.only_evaluate.folder
        if folder is None:
            raise UsageError("the tiny domain evaluates its own models only: give name@alias.")
        return [data, Stage("eval", measure, inputs={"data": "data"}, files={"model": folder})]
    seeds = [
        Stage(
            f"align/seed-{seed}",
            train,
            config={"steps": recipe.align.steps, "rate": recipe.align.rate, "seed": seed},
            inputs={"data": "data"},
        )
        for seed in recipe.align.seeds
    ]
    champion = {"champion": request.champion.folder} if request.champion and request.champion.folder else {}
    return [
        data,
        *seeds,
        Stage("eval", measure, inputs={"data": "data", "candidate": seeds[0].name}, files=champion),
        Stage(
            "gate",
            gate,
            config={
                "candidate": "candidate",
                "champion": "champion" if champion else "base",
                "gate": recipe.gate.model_dump(mode="json"),
            },
            inputs={"eval": "eval"},
        ),
        Stage("card", make_card, inputs={"candidate": seeds[0].name, "gate": "gate"}),
    ]


def headline(folders) -> list[dict]:
    """Mean margins, as the result table shows them."""
    rows = []
    for path in sorted((folders["eval"] / "measured").glob("*.json")):
        values = Measured.read(path).items["margin"].values
        rows.append({"name": f"margin of {path.stem}", "value": float(values.mean()), "n": values.shape[1]})
    # What cannot be estimated: the result table shows "-".
    return [*rows, {"name": "not estimable", "value": math.nan, "low": math.nan, "high": math.nan}]


DOMAIN = Domain(
    name="tiny",
    title="A domain of another package",
    recipe=Recipe,
    recipes=HERE / "recipes",
    sample=HERE / "sample.csv",
    sample_licence="CC0-1.0",
    build=build,
    headline=headline,
    report_sections=lambda folders: [],
)
