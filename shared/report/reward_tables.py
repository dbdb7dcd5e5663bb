"""Tables of what is particular to a kind of reward model: an ensemble's disagreement, features, weights, cycles."""

from collections.abc import Mapping, Sequence
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
    if report.get("weights"):
        tables.append(_weights(report["weights"], report.get("shaping", {}), title))
    tables += [_pair(one, title) for one in report.get("pairs", ())]
    if shaping := _shaping(report.get("shaping") or {}):
        tables.append(Table(caption=f"{title}: how sure it is", columns=["measure", "value", "n"], rows=shaping))
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


def _weights(rows: Sequence[Mapping[str, Any]], shaping: Mapping[str, Any], title: str) -> Table:
    """Weights of a linear feature model, with posterior intervals and expert weights where there are any."""
    known, expert = rows[0]["low"] is not None, any(one["prior"] is not None for one in rows)
    columns = ["feature", "log-odds a standard deviation", "log-odds a unit"]
    columns += ["probability that it is above 0"] * known + ["expert's weight"] * expert
    shown: list[Any] = []
    for one in rows:
        row: list[Any] = [
            one["feature"] + (" (kept at 0 by its sign)" if one["at_bound"] else ""),
            Interval(value=one["weight"], low=one["low"], high=one["high"]),
            Interval(value=one["per_unit"], low=one["per_unit_low"], high=one["per_unit_high"]),
        ]
        shown.append(row + [one["positive"]] * known + [one["prior"]] * expert)
    level = f", with {shaping['level']:.0%} posterior intervals" if known and "level" in shaping else ""
    before = " before its temperature" if shaping.get("temperature", 1.0) != 1.0 else ""
    return Table(caption=f"{title}: weights{before}{level}", columns=columns, rows=shown)


def _pair(pair: Mapping[str, Any], title: str) -> Table:
    """One log-odds taken apart by feature."""
    rows: list[Any] = [
        [one["feature"], one["chosen"], one["rejected"], Interval(value=one["added"], low=one["low"], high=one["high"])]
        for one in pair["features"]
    ]
    rows.append(["in all", None, None, Interval(value=pair["log_odds"], low=pair["low"], high=pair["high"])])
    caption = f"{title}: the log-odds of one pair taken apart ({pair['why']}: {pair['record']})"
    return Table(caption=caption, columns=["feature", "chosen", "rejected", "adds to the log-odds"], rows=rows)


def _shaping(shaping: Mapping[str, Any]) -> list[Any]:
    rows: list[Any] = []
    told = {"uncalibrated": "without temperature", "calibrated": "with temperature", "posterior_mean": "posterior mean"}
    for key, text in told.items():
        for measure, name in (("ece", "expected calibration error"), ("log_loss", "log-loss")):
            if key in shaping:
                estimate = shaping[key][measure]
                rows.append([f"{name}, {text}", _interval(estimate), estimate["n"]])
    names = {
        "decided": "share of pairs whose interval of the log-odds leaves out 0",
        "accuracy_decided": "accuracy on these",
        "accuracy_undecided": "accuracy on the others",
        "interval_width": "width of the interval of P(chosen preferred), mean",
    }
    rows += [[name, _interval(shaping[key]), shaping[key]["n"]] for key, name in names.items() if key in shaping]
    if rows and shaping["temperature"] != 1.0:
        rows.insert(0, ["temperature", shaping["temperature"], None])
    return rows


def _interval(estimate: Mapping[str, Any]) -> Interval | None:
    if estimate["value"] is None:
        return None
    return Interval(value=estimate["value"], low=estimate.get("low"), high=estimate.get("high"))
