"""`valign compare`: runs of a domain side by side."""

from typing import Annotated, Any

import typer

from flows.cli import console
from flows.cli.options import DomainArgument, JsonOption


def compare(
    domain: DomainArgument,
    runs: Annotated[list[str] | None, typer.Argument(help="Run ids (or beginnings); the latest if left out.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=2, max=12, help="How many of the latest runs.")] = 4,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Only metrics whose name holds this text. May be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: recipe keys that differ and all metrics; writes a page with intervals and paired differences."""
    from flows.comparison import compare_runs

    result = compare_runs(domain, runs or [], limit, metric or [])
    if as_json:
        console.print_json(result)
    else:
        print_comparison(result)


def print_comparison(result: dict[str, Any]) -> None:
    """The tables of a comparison of runs, and where its page is."""
    columns = ("", *[record["run_id"] for record in result["runs"]])
    console.table(
        "Recipe keys that differ", columns, [(one["key"], *map(_cell, one["values"])) for one in result["params"]]
    )
    for part, title in (("results", "Results"), ("metrics", "Metrics that differ")):
        differing = [one for one in result[part] if part == "results" or _differs(one["values"])]
        if differing:
            console.table(title, columns, [(one["key"], *_estimates(one)) for one in differing], right=range(1, 13))
    if result["paired"]:
        rows = [
            (
                one["metric"],
                one["run"],
                _cell(one["difference"]),
                f"[{_cell(one['low'])}, {_cell(one['high'])}]",
                _cell(one["p_holm"]),
                one["n"],
            )
            for one in result["paired"]
        ]
        columns = ("", f"minus {result['runs'][0]['run_id']}", "difference", "95 % interval", "p (Holm)", "n")
        console.table("Paired differences", columns, rows, right=(2, 3, 4, 5))
    console.out.print(f"Page: {result['page']}", soft_wrap=True)


def _differs(values: list[Any]) -> bool:
    """Whether runs differ; what a single run has is always shown."""
    return len(values) == 1 or any(value != values[0] for value in values)


def _estimates(row: dict[str, Any]) -> list[str]:
    """Each run's value, with its interval where it has one."""
    values = [_cell(value) for value in row["values"]]
    if "low" not in row:
        return values
    ends = zip(row["low"], row["high"], strict=True)
    return [
        value if low is None or high is None else f"{value} [{_cell(low)}, {_cell(high)}]"
        for value, (low, high) in zip(values, ends, strict=True)
    ]


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
