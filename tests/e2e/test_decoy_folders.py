"""Nothing is imported from the folder in which the command is started, whatever lies there."""

import pytest

pytestmark = pytest.mark.slow


def test_folders_with_our_names_are_not_imported(new_tiny):
    for name in ("shared", "flows", "domains", "tiny_domain", "prefect", "mlflow", "uvicorn"):
        (new_tiny.folder / name).mkdir()
        (new_tiny.folder / name / "__init__.py").write_text(f"raise SystemExit('imported the decoy {name}')\n")
    for name in ("logging", "typing_extensions", "sitecustomize"):
        (new_tiny.folder / f"{name}.py").write_text(f"raise SystemExit('imported the decoy {name}')\n")
    record = new_tiny.json("run", "tiny")
    assert record["status"] == "finished"
    assert record["registered"]["aliases"] == ["champion"]
    assert new_tiny.json("compare", "tiny")["runs"][0]["run_id"] == record["run_id"]
