"""Promotion as a flow of its own: the gate's word counts, unless a person overrules it."""

import pytest

from flows.promote import promote
from shared.errors import UsageError
from shared.registry import register, versions
from shared.tracking import Tracker


@pytest.fixture
def candidate(tmp_path, save_record):
    """Registers a model and records its run with the decision given."""

    def made(run_id, promoted):
        folder = tmp_path / run_id
        folder.mkdir()
        parent = Tracker("tiny").parent(run_id)
        version = register(folder, "valign-tiny", model_sha256=run_id, run_id=parent.run_id)
        decision = {"promoted": promoted, "reasons": ["Not promoted: base stays the champion."]}
        save_record(run_id, registered={"name": version.name, "version": version.version}, decision=decision)

    return made


@pytest.mark.slow
def test_promotion_follows_the_gate_or_a_person(candidate):
    candidate("tiny-1", True)
    candidate("tiny-2", False)
    assert promote.fn("tiny-1")["aliases"] == ["champion"]
    with pytest.raises(UsageError, match=r"refused run tiny-2 \(Not promoted: base stays the champion\)"):
        promote.fn("tiny-2")
    assert {one.version: one.aliases for one in versions("valign-tiny")} == {1: ("champion",), 2: ("candidate",)}
    assert promote.fn("tiny-2", approve=True)["aliases"] == ["champion"]
    assert {one.version: one.aliases for one in versions("valign-tiny")} == {1: ("previous",), 2: ("champion",)}


def test_a_run_without_a_model_cannot_be_promoted(save_record):
    save_record("tiny-1")
    with pytest.raises(UsageError, match="registered no model"):
        promote.fn("tiny-1", approve=True)
