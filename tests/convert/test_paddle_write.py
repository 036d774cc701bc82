"""What is written for Paddle is read back bit for bit, by us and by Paddle itself."""

import os
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from arrays import assert_same

from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.tensors import DTYPES
from vae_jax.convert.write import write_checkpoint
from vae_jax.errors import CheckpointError

REFUSED = [name for name in DTYPES if name.startswith(("float8", "uint"))]
REFUSED.remove("uint8")


def arrays():
    bits = np.random.default_rng(0).integers(0, 256, (2, 48), np.uint8)
    kept = {name: dtype for name, dtype in DTYPES.items() if name not in REFUSED}
    named = {name: (bits % 2 if name == "bool" else bits).view(kept[name]) for name in kept}
    shared = np.arange(600.0)
    return named | {
        "scalar": np.array(3, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(6).reshape(2, 3).T,
        "big-endian": np.arange(4, dtype=">f4"),
        "shared": shared,
        "part": shared[1::2],
        "nan": np.array([0x7FC12345, 0xFF812345], np.uint32).view(np.float32),
        "read-only": np.broadcast_to(np.float32(1), (2, 200)),
        "large": np.arange(100_000, dtype=np.float32),
    }


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    write_checkpoint(tmp_path / "a.pdparams", arrays())
    assert_same(read_checkpoint(tmp_path / "a.pdparams"), arrays())


@pytest.mark.paddle
def test_paddle_reads_the_same_with_and_without_making_tensors(tmp_path, paddle):
    write_checkpoint(tmp_path / "a.pdparams", arrays())
    plain = paddle.load(str(tmp_path / "a.pdparams"), return_numpy=True)
    loaded = paddle.load(str(tmp_path / "a.pdparams"))
    assert list(plain) == list(loaded) == list(arrays())
    for name, value in arrays().items():
        assert isinstance(loaded[name], paddle.Tensor)
        for found in (plain[name], loaded[name].numpy()):
            native = value.astype(value.dtype.newbyteorder("="))
            if native.dtype == jnp.bfloat16:  # which NumPy lacks
                native = native.view(np.uint16)
            assert (found.dtype, found.shape) == (native.dtype, native.shape), name
            assert found.tobytes() == native.tobytes(), name


@pytest.mark.paddle
def test_a_layer_takes_what_is_written_without_a_warning(tmp_path, paddle):
    def net(seed):
        paddle.seed(seed)
        return paddle.nn.Sequential(paddle.nn.Conv2D(1, 2, 3), paddle.nn.BatchNorm2D(2))

    path = tmp_path / "a.pdparams"
    state = {name: tensor.numpy() for name, tensor in net(0).state_dict().items()}
    write_checkpoint(path, state)
    other = net(1)
    assert other.set_state_dict(paddle.load(str(path))) == ([], [])  # pytest: warnings are errors
    assert_same(read_checkpoint(path), {n: t.numpy() for n, t in other.state_dict().items()})


@pytest.mark.paddle
def test_a_file_of_paddle_is_written_again_with_the_same_tensors(tmp_path, paddle):
    state = paddle.nn.Linear(30, 40).state_dict()
    paddle.save(state, str(tmp_path / "a.pdparams"))
    found = read_checkpoint(tmp_path / "a.pdparams")
    write_checkpoint(tmp_path / "a.pdparams", found)
    assert_same(read_checkpoint(tmp_path / "a.pdparams"), {n: t.numpy() for n, t in state.items()})


def test_jax_arrays_are_written_and_no_paddle_is_needed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle", None)
    write_checkpoint(tmp_path / "a.pdparams", {"w": jnp.ones((2, 3))})
    assert_same(read_checkpoint(tmp_path / "a.pdparams"), {"w": np.ones((2, 3), np.float32)})


def test_a_dtype_that_paddle_does_not_read_as_itself_is_refused(tmp_path):
    assert len(REFUSED) == 8
    for dtype in REFUSED:
        with pytest.raises(CheckpointError, match=rf"{dtype} cannot be stored for Paddle.*float32"):
            write_checkpoint(tmp_path / "a.pdparams", {"w": np.ones(2, DTYPES[dtype])})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "no tensors"),
        ({"w": np.array([None])}, "object"),
        ({"w": np.array(["a"])}, "<U1"),
        ({"\ud800": np.ones(1)}, "utf-8"),
        ({"é" * 257: np.ones(1)}, "at most 512 bytes"),
        ({"StructuredToParameterName@@": np.ones(1)}, "Paddle itself uses"),
        ({"UnpackBigParamInfor@@": np.ones(1)}, "Paddle itself uses"),
    ],
    ids=range(7),
)
def test_what_paddle_cannot_hold_is_refused_and_the_old_file_kept(tmp_path, tensors, message):
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=message) as error:
        write_checkpoint(path, tensors)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_the_longest_name_is_read_back(tmp_path):
    write_checkpoint(tmp_path / "a.pdparams", {"é" * 256: np.ones(1)})
    assert list(read_checkpoint(tmp_path / "a.pdparams")) == ["é" * 256]
