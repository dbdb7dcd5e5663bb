"""`valign evaluate`: measure any model on a domain's held-out data, or the log of any simultaneous translation system.

`valign evaluate DOMAIN --model MODEL` trains nothing but reward model and judge. `valign evaluate latency LOG` needs no
domain, no model and no run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from flows.cli import console
from flows.cli.options import DataOption, DomainArgument, DryRunOption, FreshOption, JsonOption, RecipeOption, SetOption

if TYPE_CHECKING:
    from domains.translation.latency.scoring import LogScores
    from domains.translation.latency.summary import LatencySummary
    from shared.evaluation.intervals import Estimate

LATENCY = "latency"
_ABOUT = {
    "AL": "average lagging; rewards over-generation",
    "LAAL": "length-adaptive average lagging",
    "YAAL": "lagging of what is written before the source ends",
    "AP": "average proportion",
    "DAL": "differentiable average lagging",
    "SWF": "words written before the source ends",
    "EFSW": "such words as YAAL lets expect",
}
_SHARES = ("SWF", "EFSW")


def evaluate(
    domain: DomainArgument,
    model: Annotated[
        str, typer.Option("--model", help="Hub id, packaged name, folder, or registered model as name@alias.")
    ],
    data: DataOption = None,
    recipe: RecipeOption = "cpu",
    overrides: SetOption = None,
    fresh: FreshOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model beside the domain's base model: the same metrics, intervals and paired tests as in a run.

    `valign evaluate latency LOG` scores the log of a simultaneous translation system instead.
    """
    from flows.cli.run_command import start
    from flows.request import RunRequest

    request = RunRequest(data=data, recipe=recipe, overrides=overrides or [], fresh=fresh, evaluate=model)
    start(domain, request, dry_run=dry_run, as_json=as_json)


def latency(
    log: Annotated[Path, typer.Argument(help="SimulEval's instances.log (also .gz), or the folder that holds it.")],
    references: Annotated[
        Path | None,
        typer.Argument(help="File with one reference a line. Those in the log if left out."),
    ] = None,
    unit: Annotated[
        Literal["word", "char"],
        typer.Option("--unit", help="What the target is counted in: char for Chinese and Japanese."),
    ] = "word",
    source_ms_per_unit: Annotated[
        float | None,
        typer.Option(
            "--source-ms-per-unit",
            help="Of a source text: milliseconds in which one unit comes in, for computation-aware figures.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            help="sacreBLEU's tokenizer: 13a, zh, char, intl, none, ja-mecab, ko-mecab. If left out 13a for words, zh "
            "(Japanese: ja-mecab or char) for characters.",
        ),
    ] = None,
    comet: Annotated[
        Path | None,
        typer.Option("--comet", help="Checkpoint (.ckpt) of a COMET model; needs the package unbabel-comet."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Latency and quality of a simultaneous translation system from its SimulEval log, with 95 % intervals.

    AL, LAAL, YAAL, AP and DAL from the delays, and with the time of computing where the log has it; BLEU and chrF with
    their sacreBLEU signatures; whether the policy is degenerate, so that its lagging misleads. Predictions are scored
    exactly as logged.
    """
    from domains.translation.latency.scoring import score_log

    scores = score_log(
        log, references, unit=unit, tokenizer=tokenizer, source_ms_per_unit=source_ms_per_unit, comet=comet
    )
    if as_json:
        console.print_json({"log": log.name, **scores.to_json()})
    else:
        _print(log.name, scores)


class EvaluateCommand(TyperCommand):
    """`evaluate` itself, but for its sub-command `latency`, which has arguments of its own.

    A group of commands would take the name of a domain for that of a sub-command, so this stays a command and hands
    over where its first argument says so.
    """

    @property
    def commands(self) -> dict[str, Any]:
        """Sub-commands by name, where a group has them."""
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(LATENCY)(latency)
        return {LATENCY: typer.main.get_command(single)}

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if args[:1] == [LATENCY]:
            name = f"{info_name} {LATENCY}"
            return self.commands[LATENCY].make_context(name, args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


def _print(name: str, scores: "LogScores") -> None:
    latency = scores.latency
    rows = [
        *_latency_rows(latency, scores.measure, ""),
        *(_latency_rows(scores.aware, "ms", " (computation-aware)") if scores.aware else []),
        *[(metric, *_figure(estimate), "", "") for metric, (estimate, _) in scores.quality.items()],
    ]
    counts = [
        f"{latency.empty} empty predictions (in no latency figure)",
        f"{latency.left_out} sentences left out by YAAL and EFSW (nothing was written before their source ended)",
    ]
    console.table(
        f"{name}: {latency.sentences} sentences", ("", "value", "95 % interval", "n", "in", ""), rows, right=(1, 2, 3)
    )
    for line in (
        "",
        "; ".join(counts) + ".",
        latency.verdict(),
        *(f"{metric}: {signature}" for metric, (_, signature) in scores.quality.items()),
        *scores.notices,
    ):
        console.out.print(line, soft_wrap=not console.out.is_terminal, markup=False)


def _latency_rows(summary: "LatencySummary", measure: str, suffix: str) -> list[tuple[Any, ...]]:
    return [
        (name + suffix, *_figure(estimate), _measure(name, measure), _ABOUT[name] if not suffix else "")
        for name, estimate in summary.figures.items()
        if not (suffix and name in _SHARES)
    ]


def _measure(name: str, measure: str) -> str:
    return "%" if name in _SHARES else "" if name == "AP" else measure


def _figure(estimate: "Estimate") -> tuple[str, str, int]:
    row = estimate.to_json()
    interval = f"[{row['low']:.4f}, {row['high']:.4f}]" if estimate.has_interval() else ""
    return console.number(row["value"], 4), interval, estimate.n
