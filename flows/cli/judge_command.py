"""`valign judge`: pairs or responses judged by a model at an endpoint, a reward model or people; raters' agreement."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli import console
from flows.cli.options import JsonOption

app = typer.Typer(help="Judges: verdicts, scores, and how far raters agree.", no_args_is_help=True)

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="CSV, JSONL, JSON, Parquet or Arrow: prompt and responses (a list); or response_a and response_b; or "
        "chosen and rejected.",
    ),
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="Address of an OpenAI-compatible server: http://127.0.0.1:8000/v1.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Name of the model at the endpoint.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key-env", help="Environment variable that holds the API key; VALIGN_JUDGE_API_KEY if left out."
    ),
]
RewardOption = Annotated[
    Path | None,
    typer.Option("--reward", help="Folder of a trained reward model, in place of an endpoint."),
]
RatingsOption = Annotated[
    Path | None,
    typer.Option("--ratings", help="File with ratings of people: item, rater, verdict or score."),
]
RubricOption = Annotated[
    str | None, typer.Option("--rubric", help="Packaged rubric (general) or path of a YAML file, for an endpoint.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file with the judge's whole configuration; options change it.")
]
JudgeSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a key: endpoint.concurrency=16, endpoint.budget.max_requests=500. May be repeated."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Where to write: FILE.jsonl gets the rows; a folder gets rows, ranking, pairs, report."),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Judge the first so many prompts only.")]
JudgeFreshOption = Annotated[bool, typer.Option("--fresh", help="Ask again although answers are kept.")]
MaskedOption = Annotated[
    bool,
    typer.Option(
        "--already-deidentified",
        help="Send the texts as they are: they hold no personal data. Otherwise they are masked before they are sent.",
    ),
]


@app.command("pairs")
def pairs(
    data: DataOption,
    rubric: RubricOption = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    api_key_env: KeyOption = None,
    reward: RewardOption = None,
    ratings: RatingsOption = None,
    config: ConfigOption = None,
    overrides: JudgeSetOption = None,
    out: OutOption = None,
    limit: LimitOption = None,
    fresh: JudgeFreshOption = False,
    already_deidentified: MaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge which response is better, each pair in both orders; K responses are compared all with all.

    Reports position bias, length bias, refused and malformed answers, tokens and cost, and the accuracy where the data
    name the better response. An endpoint's answers are kept: a command that was stopped goes on where it was.
    """
    named = {"rubric": rubric, "endpoint": endpoint, "model": model, "api_key_env": api_key_env}
    places = {"model": reward, "ratings": ratings}
    _judge("pairs", data, named, places, config, overrides, out, limit, fresh, already_deidentified, as_json)


@app.command("scores")
def scores(
    data: DataOption,
    rubric: RubricOption = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    api_key_env: KeyOption = None,
    reward: RewardOption = None,
    ratings: RatingsOption = None,
    config: ConfigOption = None,
    overrides: JudgeSetOption = None,
    out: OutOption = None,
    limit: LimitOption = None,
    fresh: JudgeFreshOption = False,
    already_deidentified: MaskedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score every response by each criterion of a rubric (or with a reward model)."""
    named = {"rubric": rubric, "endpoint": endpoint, "model": model, "api_key_env": api_key_env}
    places = {"model": reward, "ratings": ratings}
    _judge("scores", data, named, places, config, overrides, out, limit, fresh, already_deidentified, as_json)


@app.command("agreement")
def agreement(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files with item, rater, and verdict or score, as `pairs` and `scores` write."),
    ],
    what: Annotated[
        str | None,
        typer.Option("--what", help="verdict, overall, or a criterion; whatever two raters gave if left out."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Name of a column: item=idx, verdict=label. May be repeated.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Meaning of a verdict: left=a, same=tie. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Agreement of raters: raw, Cohen's and weighted kappa, Fleiss' kappa, Krippendorff's alpha, with intervals."""
    from shared.judges.agreement_report import agreement_report, kinds_of, rating_table
    from shared.judges.ratings import rating_columns, read_all_ratings

    found = read_all_ratings(files, rating_columns(column or [], label or []))
    kinds = [what] if what else kinds_of(found) or ["verdict"]
    reports = [agreement_report(rating_table(found, kind)) for kind in kinds]
    if as_json:
        console.print_json(reports)
        return
    for report in reports:
        _print_agreement(report)


def _judge(
    method: str,
    data: Path,
    named: dict[str, str | None],
    places: dict[str, Path | None],
    config_file: Path | None,
    overrides: list[str] | None,
    out: Path | None,
    limit: int | None,
    fresh: bool,
    already_deidentified: bool,
    as_json: bool,
) -> None:
    from flows.environment import prepare_environment
    from shared.judges.candidates import deidentified, read_candidates
    from shared.judges.judge_config import judge_config_of, open_judge
    from shared.judges.judging import judge_candidates, require_enough, write_judgement, write_rows
    from shared.judges.rubric import load_rubric

    prepare_environment()
    config = judge_config_of(method, named, places, config_file, overrides or [])
    rubric = load_rubric(config.rubric) if config.kind == "endpoint" else None
    sets = read_candidates(data, limit=limit)
    with (
        console.stage_display(quiet=as_json) as display,
        open_judge(config, rubric, **places, fresh=fresh) as judge,
    ):
        display.announce("judge", "running", f"{len(sets)} prompts by {judge.name}")
        if config.kind == "endpoint" and not already_deidentified:
            from shared.deidentify.deidentifier import Deidentifier

            sets = list(deidentified(sets, Deidentifier()))
        found = judge_candidates(
            sets, judge, config, lambda done, total: display.advance("judge", done, total, "answers")
        )
        display.announce("judge", "done", f"{found.report['answered']} of {found.report['items']} answered")
    if out is not None and out.suffix == ".jsonl":
        write_rows(out, found.rows)
    elif out is not None:
        write_judgement(out, found)
    if as_json:
        console.print_json(found.report)
    else:
        _print_report(found.report)
    require_enough(found, config)


def _print_report(report: dict[str, Any]) -> None:
    rows: list[tuple[Any, ...]] = []
    for section, names in (
        ("labels", ("accuracy", "decided", "accuracy_where_decided", "accuracy_where_shorter_is_better")),
        ("position", ("inconsistent", "flipped", "first_wins")),
        ("length", ("longer_wins", "excess_over_labels")),
        ("self_consistency", ("agreement",)),
        ("means", tuple(report.get("means") or ())),
    ):
        for name in names:
            estimate = (report.get(section) or {}).get(name)
            if estimate is not None:
                rows.append((section, name.replace("_", " "), *_estimate(estimate)))
    title = f"{report['judge']}: {report['answered']} of {report['items']} {report['what']} answered"
    console.table(title, ("", "", "value", "95 % interval", "n"), rows, (2, 4))
    if winners := report.get("winners"):
        console.out.print(f"Winners: a {winners['a']}, b {winners['b']}, tie {winners['tie']}")
    for name, count in report["failures"].items():
        console.out.print(f"No answer: {count} {name}")
    usage = report["facts"].get("usage")
    if usage:
        cost = "" if usage["cost"] is None else f", cost {usage['cost']:g}"
        console.out.print(
            f"Requests: {usage['requests']} sent ({sum(usage['retries'].values())} again), {usage['cache_hits']} from "
            f"the cache; tokens: {usage['prompt_tokens']} in, {usage['completion_tokens']} out{cost}",
            soft_wrap=True,
        )
        told = report["facts"]["texts_that_address_the_judge"]
        if told:
            console.out.print(f"Texts that look as if they addressed the judge: {told}")


def _print_agreement(report: dict[str, Any]) -> None:
    rows = [("all", "raw agreement", *_estimate(report["raw"]))]
    if len(report["raters"]) > 2:
        rows.append(("all", "Fleiss' kappa", *_estimate(report["fleiss_kappa"])))
    rows += [("all", f"Krippendorff's alpha, {level}", *_estimate(one)) for level, one in report["alpha"].items()]
    for pair in report["pairs"]:
        who = " / ".join(pair["raters"])
        rows.append((who, "raw agreement", *_estimate(pair["raw"])))
        if "raw_without_ties" in pair:
            rows.append((who, "raw agreement without ties", *_estimate(pair["raw_without_ties"])))
        rows.append((who, "Cohen's kappa", *_estimate(pair["cohen_kappa"])))
        rows.append((who, "Cohen's kappa, linear weights", *_estimate(pair["cohen_kappa_linear"])))
        rows.append((who, "Cohen's kappa, quadratic weights", *_estimate(pair["cohen_kappa_quadratic"])))
    title = f"{report['what']}: {len(report['raters'])} raters, {report['items_rated_twice']} items rated by several"
    console.table(title, ("raters", "", "value", "95 % interval", "n"), rows, (2, 4))
    console.out.print("")


def _estimate(estimate: dict[str, Any]) -> tuple[str, str, Any]:
    interval = "-"
    if estimate["low"] is not None and estimate["high"] is not None:
        interval = f"[{estimate['low']:.3f}, {estimate['high']:.3f}]"
    return console.number(estimate["value"]), interval, estimate["n"]
