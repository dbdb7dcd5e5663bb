"""Latency of a path, and its expectation under the policy's own reading and writing, differentiable.

With the target forced, the policy is a Markov chain on the lattice of states (segment i, j units read), begun at
(1, 1): WRITE goes to (i + 1, j) with probability c_ij, READ to (i, j + 1) with 1 - c_ij, and at j = |x| there is only
WRITE. Probability of arriving, and of writing there:

    r_ij = r_{i-1,j} c_{i-1,j} + r_{i,j-1} (1 - c_{i,j-1})          P(g_i = j) = r_ij c_ij

Every term is a product or a sum of numbers that are not negative, so nothing cancels, and what underflows weighs
nothing. Cells of one antidiagonal depend on the one before alone: I + J steps.

The states are those of *one given path*: a state's c_ij is computed over the target tokens as that path kept them
(`domains.translation.streams`), also where the chain got there by another path. The expectation is exact where c does
not depend on the history, and an approximation otherwise.

SimulPL's abstract says that latency enters the objective; this expectation, and the two measures of it, are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from domains.translation.policy import StreamTerms
    from domains.translation.streams import Stream

Measure = Literal["ap", "laal"]
"""``ap``: average proportion, ``sum_i g_i / (|x| |y|)``, in (0, 1]; ``laal``: LAAL as a share of |x|."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Confidences of B targets in all states. I is the most segments without the end, J the most source units.

    Attributes:
        logits: logit of c_ij, [B, I, J]; j = 1 stands first; whatever lies outside a target's own states is not used.
        segment_units: target units that each segment writes, [B, I]; 0 beyond a target's own.
        source_units: |x|, [B].
        reference_units: length that LAAL takes beside the target's own, [B].
    """

    logits: "Tensor"
    segment_units: "Tensor"
    source_units: "Tensor"
    reference_units: "Tensor"


def lattice_of(
    terms: "StreamTerms", streams: Sequence["Stream"], branches: Sequence[int], reference_units: Sequence[int]
) -> Lattice:
    """The lattice of some branches of a micro-batch.

    Args:
        terms: of the policy on the packed streams.
        streams: the same streams, in order.
        branches: numbers of B branches over all streams, all with probes ``grid``.
        reference_units: see `Lattice`, of each.

    Raises:
        ValueError: a branch lacks states.
    """
    import torch

    packed, device = terms.packed, terms.write_logits.device
    everything = [(stream.source, branch.target) for stream in streams for branch in stream.branches]
    chosen = [everything[number] for number in branches]
    segments = [target.segments - 1 for _, target in chosen]
    sources = [source.units for source, _ in chosen]
    shape = (len(chosen), max(segments), max(sources))
    place = torch.full((len(everything),), -1, dtype=torch.long)
    place[list(branches)] = torch.arange(len(branches))
    at = place.to(device)[packed.state_branch]
    last = torch.tensor([*segments, 0], device=device)[at]  # -1 finds the 0
    wanted = (at >= 0) & (packed.state_segment < last)
    cells = (at[wanted] * shape[1] + packed.state_segment[wanted]) * shape[2] + packed.state_read[wanted] - 1
    logits = terms.write_logits.float() if device.type == "mps" else terms.write_logits.double()
    if len(cells.unique()) < sum(i * (j - 1) for i, j in zip(segments, sources, strict=True)):
        raise ValueError("the expected latency asks for the states of the whole grid")
    grid = logits.new_zeros(shape[0] * shape[1] * shape[2]).index_put((cells,), logits[wanted]).view(shape)
    units = torch.zeros(shape[:2], dtype=logits.dtype)
    for number, (_, target) in enumerate(chosen):
        written = torch.tensor([0, *target.units[:-1]])
        units[number, : segments[number]] = written.diff().to(units.dtype)
    return Lattice(
        grid,
        units.to(device),
        torch.tensor(sources, device=device),
        torch.tensor(list(reference_units), device=device, dtype=logits.dtype),
    )


def expected_latency(lattice: Lattice, measure: Measure) -> "Tensor":
    """``E_theta[Lat(g)]`` of every target, [B], differentiable in the logits.

    ``ap`` falls (never rises) when any c_ij rises. ``laal`` need not: its mean ends at the first unit that is written
    after the whole source.
    """
    import torch

    logits, weights = lattice.logits, lattice.segment_units
    targets, _, columns = logits.shape
    reads = torch.arange(1, columns + 1, device=logits.device)
    open_ = reads < lattice.source_units[:, None, None]  # states in which there is something to decide
    write = torch.where(open_, logits.sigmoid(), 1.0)
    read = torch.where(open_, (-logits).sigmoid(), 0.0)
    arrive, delays = _arrivals(write, read, weights)
    written = arrive * write
    length, sources = weights.sum(1), lattice.source_units.to(logits.dtype)
    if measure == "ap":
        return (written * reads * weights[:, :, None]).sum((1, 2)) / (length * sources)
    each = sources / torch.maximum(lattice.reference_units, length)  # what an ideal policy reads a unit
    rows = torch.arange(targets, device=logits.device)
    # Paths that reach the source's end before segment t: the mean is over the units until the first of that segment.
    before_last = (lattice.source_units - 2).clamp(min=0)
    crossing = read[rows, :, before_last] * (lattice.source_units >= 2)[:, None]
    first = weights.cumsum(1) - weights + 1
    share = arrive[rows, :, before_last] * crossing
    total = delays[rows, :, before_last] * crossing
    none = (lattice.source_units == 1).to(logits.dtype)  # a source of one unit is read before anything is written
    share = torch.cat([share[:, :1] + none[:, None], share[:, 1:]], 1)
    ended = (total + share * sources[:, None] - share * each[:, None] * first * (first - 1) / 2) / first
    real = weights > 0
    result = torch.where(real, ended, 0.0).sum(1)
    # Paths that never reach it: over all units.
    last = real.sum(1) - 1
    cells = open_[rows, 0] * write[rows, last]
    mass = arrive[rows, last] * cells
    over = delays[rows, last] * cells + mass * reads * weights[rows, last][:, None]
    never = over.sum(1) - mass.sum(1) * each * length * (length - 1) / 2
    return (result + never / length) / sources


def _arrivals(write: "Tensor", read: "Tensor", weights: "Tensor") -> tuple["Tensor", "Tensor"]:
    """(r_ij; E[sum of the delays of all units of segments before i; arriving at ij]), each [B, I, J]."""
    import torch

    targets, segments, columns = write.shape
    device = write.device
    row = torch.arange(segments, device=device)
    steps = segments + columns - 1
    column = torch.arange(steps, device=device)[:, None] - row  # of the cell of a row on an antidiagonal
    inside = (column >= 0) & (column < columns)
    flat = (row * columns + column.clamp(0, columns - 1)).view(-1)
    skewed_write = write.reshape(targets, -1)[:, flat].view(targets, steps, segments) * inside
    skewed_read = read.reshape(targets, -1)[:, flat].view(targets, steps, segments) * inside
    gained = weights[:, None] * (column + 1)
    arrive = torch.zeros(targets, segments, dtype=write.dtype, device=device)
    arrive = torch.cat([torch.ones_like(arrive[:, :1]), arrive[:, 1:]], 1)
    delays = torch.zeros_like(arrive)
    all_arrive, all_delays = [arrive], [delays]
    nothing = torch.zeros_like(arrive[:, :1])
    for step in range(1, steps):
        wrote, stayed = skewed_write[:, step - 1], skewed_read[:, step - 1]
        delays_on = (delays + gained[:, step - 1] * arrive) * wrote
        delays = torch.cat([nothing, delays_on[:, :-1]], 1) + delays * stayed
        arrive = torch.cat([nothing, (arrive * wrote)[:, :-1]], 1) + arrive * stayed
        all_arrive.append(arrive)
        all_delays.append(delays)
    back = ((row[:, None] + torch.arange(columns, device=device)) * segments + row[:, None]).view(-1)

    def square(found: list["Tensor"]) -> "Tensor":
        return torch.stack(found, 1).reshape(targets, -1)[:, back].view(targets, segments, columns)

    return square(all_arrive), square(all_delays)


def path_latency(path: Sequence[int], source_units: int, reference_units: int, measure: Measure) -> float:
    """Lat(g) of a path, a constant.

    Args:
        path: source units read before each target unit; at least one.
        source_units: |x|.
        reference_units: units of the preferred translation (``laal`` only).
        measure: which.
    """
    from domains.translation.latency.metrics import average_proportion, length_adaptive_average_lagging

    if measure == "ap":
        return float(average_proportion(path, source_units, len(path)))
    return float(length_adaptive_average_lagging(path, source_units, reference_units)) / source_units
