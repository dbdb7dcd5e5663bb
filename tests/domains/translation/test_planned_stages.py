"""What a recipe's settings change in the plan of a run."""

import pytest

from domains.translation.pipeline import SAMPLE, build
from domains.translation.recipe import TranslationRecipe
from shared.domain import PipelineRequest


def planned(**values):
    request = PipelineRequest(recipe=TranslationRecipe.model_validate(values), data=SAMPLE)
    return {one.name: one for one in build(request)}


@pytest.mark.parametrize(("alignment", "by_states"), [("states", True), ("hmm", False), ("auto", False)])
def test_preferences_are_measured_with_the_alignment_they_were_made_with(alignment, by_states):
    stages = planned(construction={"alignment": alignment})
    measured, made = stages["preferences"], stages["pairs/seed-0"]
    assert measured.config["alignment"] == alignment == made.config["construction"]["alignment"]
    assert measured.uses_device == by_states
    assert ("precision" in measured.config) == by_states
    assert ("torch" in measured.libraries) == by_states
    assert measured.models == {"base": "gemma-3-270m"}


def test_supervision_on_rejected_renderings_reaches_both_of_its_stages():
    stages = planned(sft={"rendering": "rejected"})
    assert stages["paths"].config["rejected"] is True
    assert stages["sft/seed-0"].config["msft"]["rendering"] == "rejected"
    assert planned()["paths"].config["rejected"] is False
