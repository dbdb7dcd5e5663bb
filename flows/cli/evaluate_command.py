"""`valign evaluate`: measure any model on a domain's held-out data; nothing is trained but reward model and judge."""

from typing import Annotated

import typer

from flows.cli.options import DataOption, DomainArgument, DryRunOption, FreshOption, JsonOption, RecipeOption, SetOption


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
    """Evaluate a model beside the domain's base model: the same metrics, intervals and paired tests as in a run."""
    from flows.cli.run_command import start
    from flows.request import RunRequest

    request = RunRequest(data=data, recipe=recipe, overrides=overrides or [], fresh=fresh, evaluate=model)
    start(domain, request, dry_run=dry_run, as_json=as_json)
