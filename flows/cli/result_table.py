"""The short table a run ends with, and where everything lies."""

from typing import Any

from flows.cli import console
from shared.home import runs_folder


def print_result(record: dict[str, Any]) -> None:
    """Prints headline rows, gate decision, folders and how to open the comparison page."""
    rows = []
    for row in record.get("headline", []):
        interval = ""
        if row.get("low") is not None and row.get("high") is not None:
            interval = f"[{console.number(row['low'])}, {console.number(row['high'])}]"
        value = row["value"]
        shown = console.number(value) if value is None or isinstance(value, float) else str(value)
        rows.append((row["name"], shown, interval, row.get("n", ""), row.get("note", "")))
    console.table(
        f"{record['run_id']} ({record['status']})", ("", "value", "95 % interval", "n", ""), rows, right=(1, 2, 3)
    )
    decision = record.get("decision")
    if decision:
        verdict = "promoted" if decision["promoted"] else "not promoted"
        console.out.print(f"\nGate: {verdict}", style="bold")
        for reason in decision["reasons"]:
            console.out.print(f"  - {reason}", markup=False, soft_wrap=not console.out.is_terminal)
    console.out.print("")
    registered = record.get("registered")
    if registered:
        aliases = ", ".join(registered["aliases"]) or "no alias"
        console.out.print(f"Model    {registered['folder']}", soft_wrap=True, markup=False)
        console.out.print(
            f"         registered as {registered['name']} version {registered['version']} ({aliases})", soft_wrap=True
        )
    folder = runs_folder() / record["run_id"]
    console.out.print(f"Report   {folder / 'report.html'}", soft_wrap=True, markup=False)
    if (folder / "card.md").is_file():
        console.out.print(f"Card     {folder / 'card.md'}", soft_wrap=True, markup=False)
    console.out.print(f"Compare  valign compare {record['domain']}; in the browser: valign ui", soft_wrap=True)
