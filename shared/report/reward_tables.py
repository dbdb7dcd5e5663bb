"""Tables of what is particular to a kind of reward model: an ensemble's disagreement, features, cycles."""

from collections.abc import Mapping
from typing import Any

from shared.report.blocks import Interval, Table


def reward_tables(report: Mapping[str, Any], title: str) -> list[Table]:
    """Tables of a report of `shared.evaluation.scorer_report.reward_report`; none for a Bradley-Terry model.

    Args:
        report: JSON of the reward model.
        title: what it is called: ``Judge``.
    """
    tables = []
    if ensemble := report.get("ensemble"):
        rows: list[Any] = [
            [f"accuracy of member {index + 1}", _interval(one), one["n"]]
            for index, one in enumerate(ensemble["member_accuracy"])
        ]
        names = {
            "std": "standard deviation of the members' log-odds, mean over pairs",
            "split": "share of pairs on which members prefer different responses",
            "auroc_for_errors": "chance that a wrong pair has more disagreement than a right one",
        }
        rows += [[name, _interval(ensemble[key]), ensemble[key]["n"]] for key, name in names.items()]
        tables.append(Table(caption=f"{title}: its members", columns=["measure", "value", "n"], rows=rows))
    if explanation := report.get("explanation"):
        found = sorted(explanation.items(), key=lambda item: -item[1]["mean_size"])
        tables.append(
            Table(
                caption=f"{title}: what each feature adds to the log-odds of the chosen response",
                columns=["feature", "mean", "mean size"],
                rows=[[name, one["mean"], one["mean_size"]] for name, one in found],
            )
        )
    if cycles := report.get("cycles"):
        share = cycles["share"]
        tables.append(
            Table(
                caption=f"{title}: preferences in a circle",
                columns=["questions with three answers or more", "share with a cycle"],
                rows=[[cycles["prompts"], _interval(share)]],
            )
        )
    return tables


def _interval(estimate: Mapping[str, Any]) -> Interval | None:
    if estimate["value"] is None:
        return None
    return Interval(value=estimate["value"], low=estimate.get("low"), high=estimate.get("high"))
