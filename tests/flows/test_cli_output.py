"""What the commands print: the result table, and the reference in docs."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import entry
from flows.cli.app import app
from flows.cli.result_table import print_result

ROOT = Path(__file__).parents[2]


def test_the_result_table(save_record, capsys):
    long_reason = "Primary [margin]: " + "words " * 30
    record = save_record(
        "tiny-1",
        headline=[
            {"name": "accuracy", "value": 0.61234, "low": 0.5, "high": 0.7, "n": 57, "note": "held out"},
            {"name": "open", "value": None},
            {"name": "words", "value": 12},
        ],
        decision={"promoted": False, "reasons": [long_reason]},
        registered={"name": "valign-tiny", "version": 3, "aliases": [], "folder": "/models/[x]/y"},
    )
    print_result(record)
    shown = capsys.readouterr().out
    assert "tiny-1 (finished)" in shown
    assert ["accuracy", "0.612", "[0.500,", "0.700]", "57", "held", "out"] in [
        line.split() for line in shown.splitlines()
    ]
    assert ["open", "-"] in [line.split() for line in shown.splitlines()]
    assert "Gate: not promoted" in shown
    assert f"  - {long_reason}\n" in shown  # neither folded nor read as markup
    assert "/models/[x]/y\n" in shown
    assert "version 3 (no alias)" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("command", [["status"], ["store", "ls"], ["store", "verify"]])
def test_an_empty_home_is_no_error(command):
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    assert result.stdout.strip()


def test_the_command_line_reference_is_up_to_date():
    check = [sys.executable, str(ROOT / "docs" / "generate_cli_reference.py"), "--check"]
    result = subprocess.run(check, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_ctrl_c_while_libraries_are_imported_ends_quietly(monkeypatch):
    class Interrupted(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "flows.cli.app", Interrupted("flows.cli.app"))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130
