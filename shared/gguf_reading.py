"""One fast reading of a GGUF file.

transformers reads the file anew for tokenizer, configuration and weights, and `gguf` cuts every entry of the vocabulary
from a memory map, which numpy makes a new memory map of: for Gemma's 262,144 tokens most of the time of a conversion.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_reader() -> Iterator[None]:
    """In this block a GGUF file is read once, and its entries are cut from a plain array."""
    import gguf
    import numpy as np

    class PlainReader(gguf.GGUFReader):
        """A reader whose `data` is the mapped memory as a plain array."""

        @property
        def data(self) -> Any:
            return self._plain

        @data.setter
        def data(self, value: Any) -> None:
            self._plain = np.asarray(value)

    readers: dict[str, Any] = {}

    def reader_of(path: Any, mode: Any = "r") -> Any:
        key = f"{mode}:{path}"
        if key not in readers:
            readers[key] = PlainReader(path, mode)
        return readers[key]

    theirs = gguf.GGUFReader
    gguf.GGUFReader = reader_of
    try:
        yield
    finally:
        gguf.GGUFReader = theirs
