"""Options that several commands share, so that they read and behave the same."""

from typing import Annotated

import typer

DomainArgument = Annotated[str, typer.Argument(help="Domain, e.g. counseling.")]
DataOption = Annotated[
    str | None, typer.Option("--data", help="File or folder with the data, or hub:ID. The packaged sample if left out.")
]
RecipeOption = Annotated[str, typer.Option("--recipe", help="Recipe: cpu, gpu, or path to a YAML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change a recipe key: align.beta=0.05. May be repeated.")
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Do all the work again, although results exist.")]
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-code-change", help="Reuse results that differ only in valign's own code; recorded."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the stages, hit or miss and why; run and write nothing.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
