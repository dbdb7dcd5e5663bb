"""`valign store`: what is kept, whether it is whole, where it came from, and making room."""

import time
from typing import Annotated, Any

import typer

from flows.cli import console
from flows.cli.options import JsonOption

app = typer.Typer(help="The artifact store: list, verify, make room, lineage.", no_args_is_help=True)


def _store() -> Any:
    from shared.home import store_folder
    from shared.store import Store

    return Store(store_folder())


def _megabytes(manifest: dict[str, Any]) -> float:
    return sum(entry["bytes"] for entry in manifest["files"].values()) / 1e6


@app.command("ls")
def ls(as_json: JsonOption = False) -> None:
    """List all artifacts, oldest first."""
    manifests = list(_store().list())
    if as_json:
        keys = ("stage", "key", "digest", "created", "seconds", "inputs")
        console.print_json([{key: one.get(key) for key in keys} | {"megabytes": _megabytes(one)} for one in manifests])
        return
    rows = [
        (
            one["stage"],
            one["key"][:12],
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one["created"])),
            console.seconds(one.get("seconds", 0.0)),
            f"{_megabytes(one):.1f} MB",
        )
        for one in manifests
    ]
    console.table(f"{len(rows)} artifacts", ("stage", "key", "made", "took", "size"), rows, right=(3, 4))


@app.command("verify")
def verify(as_json: JsonOption = False) -> None:
    """Read every byte of every artifact and compare it with its manifest. Exit code 4 where one is damaged."""
    from shared.store import CorruptArtifactError

    store = _store()
    damaged, whole = [], 0
    for path in sorted((store.root / "objects").glob("*/*")):
        try:
            store.verify(path.parent.name, path.name)
            whole += 1
        except CorruptArtifactError as error:
            damaged.append({"stage": path.parent.name, "key": path.name, "problem": str(error)})
    if as_json:
        console.print_json({"whole": whole, "damaged": damaged})
    else:
        for one in damaged:
            console.out.print(f"damaged: {one['problem']}", markup=False)
        console.out.print(
            f"{whole} whole, {len(damaged)} damaged" + (" (built again when next needed)" if damaged else "")
        )
    if damaged:
        raise typer.Exit(4)


@app.command("gc")
def gc(
    days: Annotated[
        float, typer.Option("--older-than", min=0, help="Keep what is younger than this many days.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove artifacts that are old and that no run and no registered model needs, and leftovers of crashes."""
    from flows.garbage import collect

    removed = collect(_store(), older_than_days=days, dry_run=dry_run)
    if as_json:
        console.print_json(removed)
        return
    verb = "would free" if dry_run else "freed"
    counts = f"{len(removed['artifacts'])} artifacts and {removed['leftovers']} leftovers"
    console.out.print(f"{counts}; {verb} {removed['megabytes']:.1f} MB")


@app.command("lineage")
def lineage(
    what: Annotated[str, typer.Argument(help="Key of an artifact (or its beginning), run id, or id of a record.")],
    as_json: JsonOption = False,
) -> None:
    """Show what an artifact was made from and what was made from it; for a record's id: which models used it."""
    from flows.lineage import trace

    found = trace(_store(), what)
    if as_json:
        console.print_json(found)
        return
    if found["record"]:
        rows = [(one["stage"], one["key"][:12], one["split"]) for one in found["record"]]
        console.table(f"Record {what} stands in", ("stage", "key", "split"), rows)
    console.table(
        "Made from",
        ("stage", "key", "input of"),
        [(one["stage"], one["key"][:12], one["of"]) for one in found["upstream"]],
    )
    console.table(
        "Used by",
        ("stage", "key", "through"),
        [(one["stage"], one["key"][:12], one["of"]) for one in found["downstream"]],
    )
    if found["models"]:
        rows = [(one["name"], one["version"], ", ".join(one["aliases"]) or "-") for one in found["models"]]
        console.table("Registered models", ("model", "version", "aliases"), rows)
