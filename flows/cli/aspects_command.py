"""`valign aspects`: what customers say of a product, from a file of reviews."""

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import console
from flows.cli.options import JsonOption
from shared.errors import UsageError


def aspects(
    file: Annotated[
        Path,
        typer.Argument(
            help="Reviews: CSV, JSON lines, Parquet or Arrow with one row a product or a review, or text with one "
            "review a line."
        ),
    ],
    product: Annotated[str | None, typer.Option("--product", help="Id of one product of the file.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Products at most, where the file has several.")] = 10,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a self-contained page for reading.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What customers say of a product: aspects, how many are for and against, quotes, and where they disagree.

    Needs no run and no training. Names, addresses and the like are masked before anything is shown.
    """
    from domains.ecommerce.aspect_reading import read_reviewed_products
    from domains.ecommerce.aspect_report import aspect_report, report_text
    from domains.ecommerce.support_spans import KeptVectors
    from flows.environment import prepare_environment

    prepare_environment()
    if html is not None and (html.parent.is_file() or html.is_dir()):
        raise UsageError(f"--html {html} is no place for a page: give a file name such as aspects.html.")
    found = read_reviewed_products(file, product, most)
    embed = KeptVectors()
    reports = [aspect_report(one, embed) for one in found.products]
    notes = []
    if found.further:
        shown = "first product" if most == 1 else f"first {most} products"
        are = "is" if most == 1 else "are"
        notes.append(f"Only the {shown} of the file {are} shown: choose one with --product, or use --most.")
    if found.left_out:
        notes.append(f"{found.left_out} row{'s' if found.left_out > 1 else ''} without a usable review are left out.")
    if html is not None:
        from importlib.metadata import version

        from domains.ecommerce.aspect_blocks import aspect_page
        from shared.deidentify.deidentifier import Deidentifier
        from shared.deidentify.file_names import masked_file_name
        from shared.durable import write_text

        name = masked_file_name(file.absolute().name, Deidentifier())
        page = aspect_page(
            reports, name, time.strftime("%Y-%m-%d %H:%M"), _command(file), version("valign"), " ".join(notes)
        )
        html.parent.mkdir(parents=True, exist_ok=True)
        write_text(html, page)
    if as_json:
        console.print_json([one.to_json() for one in reports])
        return
    for one in reports:
        console.out.print(report_text(one), soft_wrap=not console.out.is_terminal, markup=False)
        console.out.print("")
    for note in notes:
        console.out.print(note, soft_wrap=not console.out.is_terminal, markup=False)
    if html is not None:
        console.out.print(f"Page: {html}", soft_wrap=True, markup=False)


def _command(file: Path) -> str:
    """The command as it was given, with the names of files only: folders tell of a machine and its user."""
    shown = [Path(one).name if one == str(file) or one.endswith(".html") else one for one in sys.argv[1:]]
    return shlex.join(["valign", *shown])
