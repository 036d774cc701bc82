"""Plain pickles of NumPy arrays, of every protocol and layout, read without unpickling them."""

import mmap
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from arrays import assert_same, written
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vae_jax.convert.pickle import machine
from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError

ARRAYS = {
    "scalar": np.array(3.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "nothing": np.zeros(0, np.int64),
    "short": np.arange(4, dtype=np.float32),
    "long": np.arange(1000.0).reshape(10, 100),
    "over a frame": np.arange(20_000, dtype=np.float32),
    "every byte": np.arange(1024, dtype=np.uint16).view(np.uint8),
    "Fortran": np.asfortranarray(np.arange(600.0).reshape(2, 300)),
    "permuted": np.arange(840, dtype=np.int16).reshape(5, 7, 24).transpose(1, 2, 0),
    "strided": np.arange(2000.0)[::3],
    "reversed": np.arange(300, dtype=np.int32)[::-1],
    "big-endian": np.arange(300, dtype=">f4"),
    "big-endian complex": np.array([1 + 2j, 3 - 4j], ">c16"),
    "read-only": np.broadcast_to(np.float32(1), (2, 200)),
    "one row": np.ones((1, 1, 5), np.float32, order="F"),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_plain_pickle_of_arrays_is_read(tmp_path, protocol):
    assert_same(read_checkpoint(written(tmp_path, ARRAYS, protocol)), ARRAYS)


def test_paddles_table_of_names_is_no_tensor(tmp_path):
    table = {"StructuredToParameterName@@": {"short": "fc_0.w_0"}}
    assert_same(read_checkpoint(written(tmp_path, ARRAYS | table)), ARRAYS)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), protocol=st.sampled_from([2, 3, 4, 5]))
def test_an_array_of_any_layout_is_read_as_its_values(tmp_path_factory, data, protocol):
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=4, max_side=6))
    dtype = data.draw(st.sampled_from(["<f4", ">f8", "<i2", ">u4", "|i1", "|b1", ">f2"]))
    array = np.arange(np.prod(shape)).astype(dtype).reshape(shape, order="F")
    array = array.transpose(data.draw(st.permutations(range(array.ndim))))
    if array.ndim:
        array = array[:: data.draw(st.sampled_from([1, 2, -1]))]
    folder = tmp_path_factory.getbasetemp()
    assert_same(read_checkpoint(written(folder, {"w": array}, protocol)), {"w": array})


def test_the_name_of_numpys_module_before_its_second_version_is_known(tmp_path):
    for protocol in (2, 3):
        content = pickle.dumps(ARRAYS, protocol).replace(b"numpy._core.", b"numpy.core.")
        assert_same(read_checkpoint(written(tmp_path, content)), ARRAYS)


def test_an_array_under_two_names_is_read_twice(tmp_path):
    tied = np.arange(900.0)
    state = {"a": tied, "b": tied, "nested": {"note": 1}}
    found = read_checkpoint(written(tmp_path, state))
    assert_same(found, {"a": tied, "b": tied})
    assert np.shares_memory(found["a"], found["b"])


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_do_not_count_against_the_limit_of_a_pickle(tmp_path, monkeypatch, protocol):
    monkeypatch.setattr(machine, "MAX_BYTES", 4000)
    state = {f"layer{i}.weight": np.full((100, 100), i, np.float32) for i in range(5)}
    assert_same(read_checkpoint(written(tmp_path, state, protocol)), state)
    names = {f"{i:0500}": np.ones(1, np.float32) for i in range(10)}
    with pytest.raises(CheckpointError, match="truncated, or over"):
        read_checkpoint(written(tmp_path, names, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reading_takes_no_more_memory_than_the_tensors(tmp_path, protocol):
    path = written(tmp_path, {"w": np.arange(4 << 20, dtype=np.float32)}, protocol)
    tracemalloc.start()
    read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * (16 << 20)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_that_lie_aligned_are_views_of_the_mapped_file(tmp_path, protocol):
    views = 0
    for length in range(1, 5):  # one of four lengths puts the values on a multiple of four
        path = written(tmp_path, {"w" * length: np.arange(1000, dtype=np.float32)}, protocol)
        array = base = read_checkpoint(path)["w" * length]
        while isinstance(base, np.ndarray):
            base = base.base
        views += isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap)
        path.unlink()  # the mapping outlives the name
        np.testing.assert_array_equal(array, np.arange(1000))
    assert views == 1


def test_a_tensor_of_over_4_gib_is_read_without_a_copy(tmp_path):
    size = (4 << 30) + 3
    good = pickle.dumps({"w": np.zeros(1000, np.int8)}, 4)
    start = good.index(b"B\xe8\x03\x00\x00")
    shape = good.replace(b"M\xe8\x03\x85", b"\x8a\x05" + size.to_bytes(5, "little") + b"\x85")
    start += len(shape) - len(good)
    with open(tmp_path / "a", "wb") as file:  # a sparse file, which takes no room
        file.write(shape[:start] + b"\x8e" + struct.pack("<Q", size))
        file.seek(size - 1, os.SEEK_CUR)
        file.write(b"\x07" + shape[start + 1005 :])
    found = read_checkpoint(tmp_path / "a")["w"]
    assert found.shape == (size,)
    assert (found[0], found[-1]) == (0, 7)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "an empty dict"),
        ({"w": 1}, r"a dict of 'w'\): expected a state dict"),
        ([np.ones(3)], "found a list"),
        (np.ones(3), "found a single tensor"),
        (("w", np.ones(3)), "found a single tensor"),
        ({0: np.ones(3)}, "named by strings"),
        ({"w": np.array([None])}, "dtype 'O8': expected numbers"),
        ({"w": np.array(["text"])}, "dtype 'U4'"),
        ({"w": np.zeros(2, [("a", "f4")])}, "dtype 'V4'"),
        ({"w": np.zeros(2, "M8[s]")}, "dtype 'M8'"),
        ({"w": np.zeros(2, np.longdouble)}, "dtype 'f16'"),
        ({"w": np.ma.zeros(2)}, r"numpy\.ma.*refused, nothing was run"),
        ({"w": np.recarray(2, "f4")}, r"numpy.*recarray.*refused, nothing was run"),
        ({"model": np.random.default_rng(0)}, "which is not part of a dict of arrays: refused"),
    ],
    ids=range(14),
)
def test_a_pickle_without_a_state_dict_says_what_it_holds(tmp_path, value, message):
    with pytest.raises(CheckpointError, match=message) as error:
        read_checkpoint(written(tmp_path, value))
    assert "\n" not in str(error.value)
