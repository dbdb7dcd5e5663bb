"""Writes docs/cli.md from the commands themselves; `--check` fails where the file is out of date."""

import difflib
import re
import sys
from pathlib import Path

import typer

from flows.cli.app import app
from shared import errors

TARGET = Path(__file__).with_name("cli.md")


def render() -> str:
    """The whole reference as Markdown."""
    root = typer.main.get_command(app)
    parts = [
        "# `valign`: command-line reference",
        "",
        "Written by `make docs` from the commands themselves; do not edit.",
        "",
        "## Exit codes",
        "",
        *exit_codes(),
    ]
    walk(root, ["valign"], parts)
    return "\n".join(parts).rstrip() + "\n"


def exit_codes() -> list[str]:
    """The table of exit codes that stands in `shared/errors.py`."""
    rows = re.findall(r"^(\d+)\s{2,}(.+)$", errors.__doc__ or "", flags=re.MULTILINE)
    return ["| code | meaning |", "| --- | --- |", *(f"| {code} | {meaning} |" for code, meaning in rows), ""]


def walk(command, path: list[str], parts: list[str]) -> None:
    """Appends a section for a command and its sub-commands."""
    with command.make_context(path[-1], [], resilient_parsing=True) as context:
        context.info_name = " ".join(path)
        parameters = [one for one in command.get_params(context) if one.name != "help"]
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## `{' '.join(path)}`", "", (command.help or "").strip(), ""]
        parts += ["```", f"{' '.join(path)} {usage}", "```", ""]
        if parameters:
            parts += ["| | | default |", "| --- | --- | --- |"]
            for one in parameters:
                names = ", ".join(f"`{name}`" for name in [*getattr(one, "opts", []), *one.secondary_opts])
                if one.param_type_name == "argument":
                    names = f"`{one.name.upper()}`" + ("" if one.required else " (optional)")
                default = one.default
                if callable(default) or default in (None, False, ()) or str(default) == "Sentinel.UNSET":
                    default = ""
                parts.append(f"| {names} | {(getattr(one, 'help', None) or '').strip()} | {default} |")
            parts.append("")
        for name, child in getattr(command, "commands", {}).items():
            walk(child, [*path, name], parts)


def main() -> int:
    """Writes or checks the file."""
    text = render()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    present = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    if present == text:
        return 0
    lines = difflib.unified_diff(present.splitlines(), text.splitlines(), "docs/cli.md", "the commands", lineterm="")
    sys.stderr.write("\n".join(lines) + "\ndocs/cli.md is out of date: run `make docs`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
