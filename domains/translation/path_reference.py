"""Log-probabilities of paths under the reference: of the supervised policy, before SimulDPO moves it.

A file of them has one row a pair, with the translation's and the policy's part of both paths, and a hash of all that
they depend on beside the policy, so that none is ever read for other tokens or another path.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import DataError

if TYPE_CHECKING:
    from domains.translation.path_logps import PathLogps
    from domains.translation.path_pairs import PathPair
    from domains.translation.policy import SimulPolicy

MICRO_BATCH_TOKENS = 4096  # without gradients a pass needs little memory


@dataclass(frozen=True, slots=True)
class PathReference:
    """One pair under the reference; log-probabilities are sums in nats.

    Attributes:
        digest: `PathPair.digest` of the pair.
        chosen_translation: log p(y_w) along its path.
        chosen_policy: log-probability of the chosen path's READs and WRITEs.
        chosen_tokens: tokens of y_w with its end token.
        rejected_translation: log p(y_l) along its path.
        rejected_policy: log-probability of the rejected path's READs and WRITEs.
        rejected_tokens: tokens of y_l with its end token.
    """

    digest: str
    chosen_translation: float
    chosen_policy: float
    chosen_tokens: int
    rejected_translation: float
    rejected_policy: float
    rejected_tokens: int

    @property
    def chosen(self) -> float:
        """log pi_ref(y_w, g_w | x)."""
        return self.chosen_translation + self.chosen_policy

    @property
    def rejected(self) -> float:
        """log pi_ref(y_l, g_l | x)."""
        return self.rejected_translation + self.rejected_policy


def reference_of(
    policy: "SimulPolicy",
    pairs: Sequence["PathPair"],
    precision: str = "auto",
    micro_batch_tokens: int = MICRO_BATCH_TOKENS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[PathReference]:
    """Log-probabilities of both paths of every pair, in their order.

    Args:
        policy: the reference; moved to the device that is picked.
        pairs: of `path_pairs`.
        precision: see `shared.device.pick_device`.
        micro_batch_tokens: most tokens of a forward pass.
        on_progress: called with (pairs done, pairs in all).
    """
    import torch

    from domains.translation.path_logps import path_logps
    from domains.translation.streams import pack_streams
    from shared.allocator import freed_memory_kept
    from shared.device import pick_device
    from shared.training.trees import cut_by_tokens

    choice = pick_device(precision)
    policy.to(choice.device)
    policy.eval()
    position = policy.format.target_position
    found: dict[int, PathReference] = {}
    with torch.no_grad(), freed_memory_kept():
        for group in cut_by_tokens([pair.stream.tokens for pair in pairs], micro_batch_tokens):
            streams = [pairs[index].stream for index in group]
            with choice.autocast():
                terms = policy.terms(pack_streams(streams, position).to(choice.device))
            logps = path_logps(terms, streams)
            for place, index in enumerate(group):
                found[index] = _row(logps, place, pairs[index].digest(position))
            if on_progress is not None:
                on_progress(len(found), len(pairs))
    return [found[index] for index in range(len(pairs))]


def _row(logps: "PathLogps", place: int, digest: str) -> PathReference:
    """Of the stream at `place`, whose branches are chosen and rejected."""
    parts = []
    for branch in (2 * place, 2 * place + 1):
        translation, policy = float(logps.translation[branch]), float(logps.policy[branch])
        parts += [translation, policy, int(logps.tokens[branch])]
    return PathReference(digest, *parts)


def write_path_reference(path: Path, ids: Sequence[str], rows: Sequence[PathReference]) -> None:
    """Writes an Arrow file with one row a pair: id, and the attributes of `PathReference`."""
    import pyarrow

    types: dict[object, pyarrow.DataType] = {
        str: pyarrow.string(),
        float: pyarrow.float64(),
        int: pyarrow.int32(),
    }
    columns = [pyarrow.field(one.name, types[one.type]) for one in fields(PathReference)]
    schema = pyarrow.schema([pyarrow.field("id", pyarrow.string()), *columns])
    table = pyarrow.Table.from_pylist(
        [{"id": name, **asdict(row)} for name, row in zip(ids, rows, strict=True)], schema=schema
    )
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read_path_reference(path: Path) -> dict[str, PathReference]:
    """Rows of a file of `write_path_reference`, by the pair's id.

    Raises:
        DataError: where the file is missing or none of ours.
    """
    import pyarrow

    names = ["id", *(one.name for one in fields(PathReference))]
    try:
        with pyarrow.memory_map(str(path)) as file:
            rows = pyarrow.ipc.open_file(file).read_all().select(names).to_pylist()
    except (OSError, pyarrow.ArrowInvalid, KeyError) as error:
        raise DataError(f"{path}: the reference of the paths cannot be read ({error}); run with --fresh.") from error
    return {row.pop("id"): PathReference(**row) for row in rows}


def reference_for(
    pairs: Sequence["PathPair"], known: dict[str, PathReference], target_position: int, where: Path
) -> list[PathReference]:
    """The reference of every pair, checked.

    Args:
        pairs: of `path_pairs`.
        known: of `read_path_reference`.
        target_position: of the policy's format.
        where: the reference's file, for messages.

    Raises:
        DataError: the reference misses a pair, or was computed on other tokens or another path.
    """
    for pair in pairs:
        row = known.get(pair.id)
        if row is None or row.digest != pair.digest(target_position):
            state = "has no row for" if row is None else "was computed on other tokens or another path of"
            raise DataError(
                f"{where}: the reference {state} the record {pair.id}; compute it with the same pairs, policy and "
                "max_length."
            )
    return [known[pair.id] for pair in pairs]
