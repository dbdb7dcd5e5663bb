"""Output of the commands: tables for people, JSON for programs, progress only on a terminal."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """JSON on standard output, nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def interrupted(what_is_kept: str) -> None:
    """The line a command ends with after Ctrl-C or SIGTERM."""
    err.print(f"Interrupted: {what_is_kept}", soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """A plain table; `right` are the columns with numbers."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        shown.add_column(column, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*[str(value) for value in row], style=None)
    if out.is_terminal:
        out.print(shown)
    else:
        # Not a terminal: do not fold lines at 80 columns.
        Console(width=200, highlight=False, file=sys.stdout).print(shown)


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table, `-` for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def seconds(value: float) -> str:
    """A duration for people."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {int(value % 60):02d} s"


class StageDisplay:
    """Announces stages as lines; on a terminal with a progress bar for the one that runs."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.progress: Any = None
        self.bar: Any = None

    def announce(self, stage: str, state: str, why: str) -> None:
        if self.quiet:
            return
        if state == "running":
            if self.progress is not None:
                self.bar = self.progress.add_task(stage, total=None)
            err.print(f"  run   {stage:<18} {why}", soft_wrap=True, markup=False)
        else:
            self._stop_bar()
            line = f"  {'reuse' if state == 'hit' else 'done '} {stage:<18} {why}"
            err.print(line.rstrip(), soft_wrap=True, markup=False)

    def advance(self, _stage: str, done: int, total: int, text: str) -> None:
        if self.progress is not None and self.bar is not None:
            self.progress.update(self.bar, completed=done, total=total, description=text or None)

    def _stop_bar(self) -> None:
        if self.progress is not None and self.bar is not None:
            self.progress.remove_task(self.bar)
            self.bar = None


@contextmanager
def stage_display(quiet: bool) -> Iterator[StageDisplay]:
    """A display that lives as long as the run; bars only where standard error is a terminal."""
    display = StageDisplay(quiet)
    if quiet or not err.is_terminal:
        yield display
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        display.progress = progress
        yield display
