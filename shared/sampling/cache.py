"""A key-value cache with room ahead, whose rows can be repeated and dropped."""

# ruff: noqa: ARG002  (the signatures are those of transformers)

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """transformers' DynamicLayer without its copy of the whole cache at every token.

    `keys` and `values` [rows, heads, time, dimension] are views of buffers with `room` more places.

    Args:
        room: tokens for which there will be space after the next selection of rows.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._buffers: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """As the parent's: called with the first tokens."""
        super().lazy_initialization(key_states, value_states)
        self._buffers = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Adds tokens [rows, heads, new, dimension]; gives all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, new = self.get_seq_length(), key_states.shape[-2]
        if start == 0:
            self.keys, self.values = key_states, value_states
        elif self._buffers is None or start + new > self._buffers[0].shape[-2]:
            return super().update(key_states, value_states)
        else:
            for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
                buffer[:, :, start : start + new] = states
            self.keys, self.values = (buffer[:, :, : start + new] for buffer in self._buffers)
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps (or repeats) rows, and makes room for the tokens to come."""
        made = []
        for states in (self.keys, self.values):
            assert states is not None
            _, heads, time, dimension = states.shape
            buffer = states.new_empty((len(indices), heads, time + self._room, dimension))
            buffer[:, :, :time] = states.index_select(0, indices)
            made.append(buffer)
        time = self.get_seq_length()
        self._buffers = (made[0], made[1])
        self.keys, self.values = (buffer[:, :, :time] for buffer in self._buffers)


def sampling_cache(config: Any, room: int) -> DynamicCache:
    """The cache of a model: layers with full attention have room for `room` tokens; others are transformers' own."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def can_share_prompts(cache: DynamicCache) -> bool:
    """Whether rows of every layer can be repeated and dropped (attention, not recurrent states)."""
    return bool(cache.layers) and all(isinstance(layer, DynamicLayer) for layer in cache.layers)
