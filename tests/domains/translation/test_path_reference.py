"""Paths of a real policy against a sum by hand, and the file of the reference."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from domains.translation.expected_latency import expected_latency, lattice_of
from domains.translation.path_logps import path_logps
from domains.translation.path_pairs import path_pairs
from domains.translation.path_reference import (
    read_path_reference,
    reference_for,
    reference_of,
    write_path_reference,
)
from domains.translation.streams import pack_streams
from shared.errors import DataError
from shared.models import load_tokenizer
from tests.domains.translation.path_cases import FORMAT, path_pairs_of, tiny_policy

pytestmark = pytest.mark.usefixtures("_on_cpu")


@pytest.fixture
def _on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")


def test_paths_of_a_policy_are_sums_over_its_states(tiny_model: Path) -> None:
    pairs, _ = path_pairs(path_pairs_of(), FORMAT, load_tokenizer(tiny_model), 256)
    policy = tiny_policy(tiny_model)
    streams = [pair.stream for pair in pairs]
    with torch.no_grad():
        terms = policy.terms(pack_streams(streams, FORMAT.target_position))
    found = path_logps(terms, streams)
    packed = terms.packed
    where = [one.tolist() for one in (packed.state_branch, packed.state_segment, packed.state_read)]
    confidence = dict(zip(zip(*where, strict=True), terms.write_logits.double().sigmoid().tolist(), strict=True))
    branches = [(stream.source.units, branch) for stream in streams for branch in stream.branches]
    assert len(branches) == 16
    for number, (units, branch) in enumerate(branches):
        before, policy_part = 1, 0.0
        for segment, now in enumerate(branch.reads):
            policy_part += sum(math.log(1 - confidence[number, segment, j]) for j in range(before, now))
            policy_part += math.log(confidence[number, segment, now]) if now < units else 0.0
            before = now
        assert float(found.policy[number]) == pytest.approx(policy_part, abs=1e-9)
        own = terms.logps[packed.owner == number]
        assert float(found.translation[number]) == pytest.approx(float(own.double().sum()), abs=1e-9)
        assert int(found.tokens[number]) == len(own)
    assert torch.equal(found.total, found.translation + found.policy)


def test_the_grid_holds_the_path_and_gives_a_latency(tiny_model: Path) -> None:
    pairs, _ = path_pairs(path_pairs_of(), FORMAT, load_tokenizer(tiny_model), 256)
    policy = tiny_policy(tiny_model)
    plain, grids = [pair.stream for pair in pairs], [pair.with_probes("grid", "path") for pair in pairs]
    with torch.no_grad():
        on_paths = path_logps(policy.terms(pack_streams(plain, FORMAT.target_position)), plain)
        terms = policy.terms(pack_streams(grids, FORMAT.target_position))
        on_grids = path_logps(terms, grids)
    assert torch.allclose(on_paths.total, on_grids.total, atol=1e-4)
    chosen = range(0, len(on_grids.total), 2)
    lengths = [len(pair.chosen_path) for pair in pairs]
    expected = expected_latency(lattice_of(terms, grids, chosen, lengths), "ap")
    assert all(1 / pair.stream.source.units < float(one) < 1 for pair, one in zip(pairs, expected, strict=True))
    with pytest.raises(ValueError, match="whole grid"):
        lattice_of(terms, grids, [1], [3])


def test_the_reference_is_written_read_and_checked(tiny_model: Path, tmp_path: Path) -> None:
    records = path_pairs_of()
    pairs, left_out = path_pairs(records, FORMAT, load_tokenizer(tiny_model), 256)
    assert left_out == 0
    policy = tiny_policy(tiny_model)
    seen: list[tuple[int, int]] = []
    rows = reference_of(policy, pairs, micro_batch_tokens=200, on_progress=lambda *done: seen.append(done))
    assert seen[-1] == (8, 8)
    in_one = reference_of(policy, pairs)
    for row, other in zip(rows, in_one, strict=True):
        assert row.chosen == pytest.approx(other.chosen, abs=1e-4)
        assert row.rejected == pytest.approx(other.rejected, abs=1e-4)
        assert row.chosen_tokens == other.chosen_tokens
    write_path_reference(tmp_path / "train.arrow", [pair.id for pair in pairs], rows)
    known = read_path_reference(tmp_path / "train.arrow")
    assert [known[pair.id] for pair in pairs] == rows
    assert reference_for(pairs, known, FORMAT.target_position, tmp_path) == rows
    with pytest.raises(DataError, match="other tokens or another path of the record pair-0"):
        reference_for(pairs, known, FORMAT.target_position + 1, tmp_path)
    slower = dataclasses.replace(records[0], target_path=(2,) * len(records[0].target_text.split()))
    moved, _ = path_pairs([slower], FORMAT, load_tokenizer(tiny_model), 256)
    with pytest.raises(DataError, match="another path of the record pair-0"):
        reference_for(moved, known, FORMAT.target_position, tmp_path)
    del known["pair-3"]
    with pytest.raises(DataError, match="no row for the record pair-3"):
        reference_for(pairs, known, FORMAT.target_position, tmp_path)
    (tmp_path / "train.arrow").write_bytes(b"none")
    with pytest.raises(DataError, match="cannot be read"):
        read_path_reference(tmp_path / "train.arrow")


def test_bad_pairs_are_named(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    record = path_pairs_of(1)[0]
    units = len(record.source_text.split())
    length = len(record.target_text.split())
    for change, message in (
        ({"rejected_text": None}, "toy.de:1: the record pair-0 has no rejected rendering"),
        ({"target_path": None}, "has no read/write path"),
        ({"target_path": (1,) * (length + 1)}, f"target_path has {length + 1} numbers and its text {length} units"),
        ({"target_path": (units + 1,) * length}, f"at most the source's {units} units"),
        ({"target_path": (*(2,) * (length - 1), 1)}, "target_path is a path that falls"),
        ({"source_text": "  "}, "empty source"),
        ({"target_text": " "}, "empty rendering"),
    ):
        with pytest.raises(DataError, match=message):
            path_pairs([dataclasses.replace(record, **change)], FORMAT, tokenizer, 256)
    same = dataclasses.replace(record, rejected_text=record.target_text, rejected_path=record.target_path)
    other = path_pairs_of(8)[7]
    found, left_out = path_pairs([same, other], FORMAT, tokenizer, 256)
    assert ([pair.id for pair in found], left_out) == (["pair-7"], 1)
    with pytest.raises(DataError, match=r"2 are longer than max_length .16 tokens. and 0 have the same"):
        path_pairs([same, other], FORMAT, tokenizer, 16)
