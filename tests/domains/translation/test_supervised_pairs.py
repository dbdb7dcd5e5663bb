"""Supervision on the rejected renderings: texts, paths and scores change sides, and the paths stage aligns both."""

from dataclasses import replace
from pathlib import Path

import pytest

from domains.translation.pair_files import read_pairs, write_pairs
from domains.translation.paths_stage import align_paths
from domains.translation.supervised_pairs import supervised_pairs
from shared.errors import DataError
from shared.stages import StageContext
from tests.domains.translation.path_cases import FORMAT, path_pairs_of

ORDER = {
    "uno": "one", "due": "two", "tre": "three", "casa": "house", "via": "road", "oggi": "today", "mai": "never",
}  # fmt: skip


def preferences(count: int = 40):
    """Monotone renderings that are preferred to reversed ones; the last pair has no rejected rendering."""
    found = []
    for pair in path_pairs_of(count):
        words = [ORDER[word] for word in pair.source_text.split()]
        both = {"target_text": " ".join(words), "rejected_text": " ".join(reversed(words))}
        found.append(replace(pair, **both, target_path=None, rejected_path=None))
    return [*found[:-1], replace(found[-1], rejected_text=None)]


def staged(folder: Path, rejected: bool, pairs) -> StageContext:
    data, out, work = folder / "data", folder / "out", folder / "work"
    for one in (data, out, work):
        one.mkdir(parents=True)
    write_pairs(data / "train.arrow", pairs)
    config = {"format": FORMAT.model_dump(mode="json"), "alignment": "hmm", "rejected": rejected}
    return StageContext(config, {"data": data}, {}, {}, out, work)


def test_what_is_learned_is_the_side_that_was_asked_for():
    pairs = [replace(one, rejected_path=(1, 2)) for one in preferences(3)]
    assert supervised_pairs(pairs, "target") == pairs
    found = supervised_pairs(pairs, "rejected")
    assert [one.target_text for one in found[:2]] == [one.rejected_text for one in pairs[:2]]
    assert all(one.rejected_text is None and one.target_path == (1, 2) for one in found[:2])
    assert found[2] == pairs[2]  # it has only its target
    assert [one.id for one in found] == [one.id for one in pairs]


def test_both_sides_get_paths_and_offline_order_waits_longer(tmp_path: Path):
    context = staged(tmp_path, True, preferences())
    metrics = align_paths(context)
    assert metrics["paths/latency_rejected"] > metrics["paths/latency"] + 0.1
    for pair in read_pairs(context.out / "train.arrow"):
        assert pair.target_path is not None
        assert (pair.rejected_path is None) == (pair.rejected_text is None)
        if pair.rejected_text is not None and pair.rejected_path is not None:
            assert len(pair.rejected_path) == len(pair.rejected_text.split())


def test_unasked_the_rejected_stay_as_they_are(tmp_path: Path):
    context = staged(tmp_path, False, preferences())
    assert "paths/latency_rejected" not in align_paths(context)
    assert all(pair.rejected_path is None for pair in read_pairs(context.out / "train.arrow"))


def test_without_rejected_renderings_it_is_a_mistake(tmp_path: Path):
    pairs = [replace(one, rejected_text=None) for one in preferences(4)]
    with pytest.raises(DataError, match=r"sft\.rendering is rejected"):
        align_paths(staged(tmp_path, True, pairs))
