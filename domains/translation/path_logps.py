"""Log-probability of a translation together with its read/write path.

With ``g_i`` the source units read when segment i is written, ``c_ij`` the probability of WRITE in state
(segment i, j units read) and ``g_0 = 1`` (the first unit is read without being asked):

    log pi(y, g | x) = sum_i [ log p(y_i | x_<=g_i, y_<i) + log c_{i,g_i} + sum_{j=g_{i-1}}^{g_i - 1} log(1 - c_ij) ]

without ``log c_{i,g_i}`` where ``g_i = |x|``: with the whole source read there is nothing but WRITE.

SimulPL (https://arxiv.org/abs/2502.00634) names a preference optimisation of translation and read/write policy
together; its equations could not be read, so the factorisation is our reconstruction. The confidence c_ij is that of
SM2 (https://arxiv.org/abs/2406.02237, same first author).

The last segment is the end of the sentence, written after the whole source (``g = |x|``): its part is the probability
that the policy reads on rather than writing another unit. So the policy's part, summed over all paths of the units of
a given text, is 1 before the end's factor; with it, what lacks is the probability of writing beyond the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from domains.translation.policy import StreamTerms
    from domains.translation.streams import Branch, Stream


@dataclass(frozen=True, slots=True)
class PathLogps:
    """Log-probabilities of B branches in nats, each [B]; float64 but on devices without it.

    Attributes:
        translation: sum of the target tokens' log-probabilities, each under the source read when it was written.
        policy: sum of the log-probabilities of the path's READs and WRITEs.
        tokens: target tokens, the end token included.
    """

    translation: "Tensor"
    policy: "Tensor"
    tokens: "Tensor"

    @property
    def total(self) -> "Tensor":
        """log pi(y, g | x)."""
        return self.translation + self.policy

    def of(self, branches: "Tensor | Sequence[int]") -> "PathLogps":
        """The same of some branches, by number."""
        return PathLogps(self.translation[branches], self.policy[branches], self.tokens[branches])


def path_logps(terms: "StreamTerms", streams: Sequence["Stream"]) -> PathLogps:
    """log pi(y, g | x) of every branch of a micro-batch, differentiable.

    Args:
        terms: of the policy on the packed streams.
        streams: the same streams, in order; every branch with probes ``path`` or ``grid``.

    Raises:
        ValueError: a branch lacks the states of its path.
    """
    packed = terms.packed
    branches: list[Branch] = [branch for stream in streams for branch in stream.branches]
    units = [stream.source.units for stream in streams for _ in stream.branches]
    logps = _wide(terms.logps)
    translation = logps.new_zeros(len(branches)).index_add(0, packed.owner, logps)
    tokens = logps.new_tensor([len(branch.target.tokens) for branch in branches])
    policy = policy_logps(
        terms.write_logits,
        packed.state_branch,
        packed.state_segment,
        packed.state_read,
        [branch.reads for branch in branches],
        units,
    )
    return PathLogps(translation, policy, tokens)


def policy_logps(
    write_logits: "Tensor",
    state_branch: "Tensor",
    state_segment: "Tensor",
    state_read: "Tensor",
    paths: Sequence[Sequence[int]],
    source_units: Sequence[int],
) -> "Tensor":
    """``sum_i [log c_{i,g_i} + sum_{j=g_{i-1}}^{g_i - 1} log(1 - c_ij)]`` of every path, [B], differentiable.

    Args:
        write_logits: logit of c in every state, [M].
        state_branch: whose path a state belongs to, [M].
        state_segment: its i, from 0, [M].
        state_read: its j, from 1, [M]; states that the path does not visit add nothing.
        paths: g of every branch, non-decreasing, from 1 to |x|.
        source_units: |x| of every branch.

    Raises:
        ValueError: no path of a source with so many units, or a visited state is missing.
    """
    import torch
    from torch.nn.functional import logsigmoid

    logits = _wide(write_logits)
    device = logits.device
    longest = max(map(len, paths), default=0)
    reads = torch.zeros(len(paths), longest + 1, dtype=torch.long)
    decisions = torch.zeros(len(paths), dtype=torch.long)
    for number, (path, units) in enumerate(zip(paths, source_units, strict=True)):
        check_path(path, units)
        reads[number, : len(path) + 1] = torch.tensor([1, *path])
        decisions[number] = path[-1] - 1 + sum(read < units for read in path)
    reads, whole = reads.to(device), torch.tensor(source_units, device=device)[state_branch]
    before, now = reads[state_branch, state_segment], reads[state_branch, state_segment + 1]
    writes = (state_read == now) & (state_read < whole)
    visited = writes | ((state_read >= before) & (state_read < now))
    found = torch.bincount(state_branch[visited], minlength=len(paths)).cpu()
    if not torch.equal(found, decisions):
        number = int((found != decisions).nonzero()[0])
        raise ValueError(f"branch {number} has {found[number]} of the {decisions[number]} states that its path visits")
    signed = torch.where(writes, logits, -logits)[visited]
    return logits.new_zeros(len(paths)).index_add(0, state_branch[visited], logsigmoid(signed))


def check_path(path: Sequence[int], source_units: int) -> None:
    """Raises ValueError where a path is not one of a source with so many units.

    Args:
        path: source units read before each segment (or target unit).
        source_units: |x|.
    """
    if not path:
        raise ValueError("a path of nothing")
    if path[0] < 1 or path[-1] > source_units:
        raise ValueError(f"a path from {path[0]} to {path[-1]} of a source with {source_units} units")
    if any(later < earlier for earlier, later in pairwise(path)):
        raise ValueError("a path that falls")


def _wide(values: "Tensor") -> "Tensor":
    """In float64 where the device has it: sums of a hundred addends, of which losses see differences."""
    return values.float() if values.device.type == "mps" else values.double()
