"""Inside the block a GGUF file is read once and says the same; outside it the library is as it was."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from shared.gguf_reading import one_reader


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_token_list([f"token-{number} é" for number in range(50)])
    writer.add_uint32("llama.context_length", 77)
    writer.add_tensor("weight", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_it_says_what_the_library_says(file: Path):
    theirs = gguf.GGUFReader(str(file))
    with one_reader():
        ours = gguf.GGUFReader(str(file))
        assert gguf.GGUFReader(str(file)) is ours
    assert list(ours.fields) == list(theirs.fields)
    for name, field in theirs.fields.items():
        assert ours.fields[name].contents() == field.contents()
    assert ours.fields["llama.context_length"].contents() == 77
    (one,), (other,) = ours.tensors, theirs.tensors
    assert (one.name, one.tensor_type, list(one.shape)) == (other.name, other.tensor_type, list(other.shape))
    np.testing.assert_array_equal(one.data, other.data)
    assert type(one.data) is np.ndarray  # no memory map, whose views cost twenty times as much


def test_a_failure_inside_leaves_the_library_as_it_was(tmp_path: Path):
    before = gguf.GGUFReader
    with pytest.raises(FileNotFoundError), one_reader():
        gguf.GGUFReader(str(tmp_path / "missing.gguf"))
    assert gguf.GGUFReader is before
