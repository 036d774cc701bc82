"""Paddle's own files, read without Paddle and compared with it."""

import struct
import sys
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest
from arrays import assert_same, written

from vae_jax.convert import export_weights
from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError
from vae_jax.pretrained import load

pytestmark = pytest.mark.paddle

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "float32", "float64", "complex64", "complex128"]


def model(paddle):
    return paddle.nn.Sequential(
        paddle.nn.Conv2D(1, 8, 5), paddle.nn.BatchNorm2D(8), paddle.nn.Linear(3, 4)
    )


def values(state):
    return {name: np.asarray(tensor) for name, tensor in state.items()}


# --- files of paddle.save -----------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_the_state_dict_of_a_layer_is_read_under_the_files_own_names(tmp_path, paddle, protocol):
    state = model(paddle).state_dict()
    path = tmp_path / "A_encoder_False.pdparams"
    paddle.save(state, str(path), protocol=protocol)
    found = read_checkpoint(path)
    assert_same(found, values(state))
    assert_same(found, paddle.load(str(path), return_numpy=True))


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_dtype_keeps_its_bits(tmp_path, paddle, protocol):
    state = {dtype: paddle.arange(6).reshape([2, 3]).astype(dtype) for dtype in DTYPES}
    paddle.save(state, str(tmp_path / "a"), protocol=protocol)
    assert_same(read_checkpoint(tmp_path / "a"), values(state))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bfloat16_tensor_has_the_values_that_paddle_casts_it_to(tmp_path, paddle, protocol):
    state = {"w": paddle.randn([5, 7]).astype("bfloat16")}
    paddle.save({"model": state, "epoch": 3}, str(tmp_path / "a"), protocol=protocol)
    (found,) = read_checkpoint(tmp_path / "a").values()
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        found.astype(np.float32), state["w"].astype("float32").numpy(), strict=True
    )


def test_a_model_in_bfloat16_is_imported_as_paddle_widens_it(tmp_path, paddle):
    twin = pytest.importorskip("vae_jax.parity.backends.paddle", exc_type=ImportError)
    parts = twin.PaddleReference("digits_vae", np.float32, channels=2).parts
    for name, part in parts.items():
        part.to(dtype="bfloat16")
        paddle.save(part.state_dict(), str(tmp_path / f"A_{name}_False.pdparams"))
    variables = load(tmp_path / "A_encoder_False.pdparams").variables
    tensors = export_weights("digits_vae", variables, channels=2)
    for name, part in parts.items():
        for own, parameter in part.named_parameters():
            expected = parameter.astype("float32").numpy()
            np.testing.assert_array_equal(tensors[f"{name}.{own}"], expected, strict=True)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_tensors_beside_other_values_are_read_and_chosen_by_key(tmp_path, paddle, protocol):
    one, two = model(paddle).state_dict(), {"w": paddle.zeros([2, 2])}
    path = tmp_path / "all.pdparams"
    paddle.save({"model": one, "epoch": 3, "notes": ["x", (1, 2.5)]}, str(path), protocol=protocol)
    assert_same(read_checkpoint(path), values(one))
    paddle.save({"model": one, "ema": OrderedDict(two)}, str(path), protocol=protocol)
    with pytest.raises(CheckpointError, match=r"model'? \(8 tensors\).*ema.*--key"):
        read_checkpoint(path)
    assert_same(read_checkpoint(path, key="ema"), values(two))


def test_the_state_of_an_optimiser_gives_its_tensors(tmp_path, paddle):
    layer = paddle.nn.Linear(2, 3)
    schedule = paddle.optimizer.lr.StepDecay(0.1, 5)
    optimiser = paddle.optimizer.Adam(schedule, parameters=layer.parameters())
    layer(paddle.ones([1, 2])).sum().backward()
    optimiser.step()
    state = optimiser.state_dict()
    paddle.save(state, str(tmp_path / "a.pdopt"))
    assert "LR_Scheduler" in state
    expected = {name: v for name, v in values(state).items() if name != "LR_Scheduler"}
    assert_same(read_checkpoint(tmp_path / "a.pdopt"), expected)


@pytest.mark.parametrize("protocol", [2, 3])
def test_tensors_that_paddle_cut_into_pieces_are_joined(tmp_path, monkeypatch, paddle, protocol):
    # Paddle cuts at 2**30 - 1 bytes; its conversion of that limit is made to give 100 numbers.
    io_utils = paddle.framework.io_utils
    monkeypatch.setattr(io_utils, "int", lambda x: 100 if x > 1e6 else int(x), raising=False)
    state = {
        "big": paddle.randn([17, 31]),
        "small": paddle.ones([100]),
        "large": paddle.arange(101, dtype="int64"),
    }
    path = tmp_path / "a.pdparams"
    paddle.save(state, str(path), protocol=protocol)
    assert b"UnpackBigParamInfor@@" in path.read_bytes()
    expected = values(state)
    assert_same(read_checkpoint(path), {n: expected[n] for n in ("small", "big", "large")})
    assert_same(read_checkpoint(path), paddle.load(str(path), return_numpy=True))


def python2(items):
    """A pickle as Python 2 wrote it: text and an array's bytes are both its str."""

    def string(value):
        short = len(value) < 256
        return (
            b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<I", len(value))
        ) + value

    content = b"\x80\x02}("
    for name, array in items.items():
        dtype = b"cnumpy\ndtype\n" + string(array.dtype.str[1:].encode()) + b"K\0K\1\x87R"
        dtype += b"(K\3" + string(array.dtype.str[:1].encode()) + b"NNN"
        dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        shape = b"(" + b"".join(b"K" + bytes([n]) for n in array.shape) + b"t"
        content += string(name.encode()) + b"cnumpy.core.multiarray\n_reconstruct\n"
        content += b"cnumpy\nndarray\nK\0\x85" + string(b"b") + b"\x87R(K\1" + shape + dtype
        content += b"\x89" + string(array.tobytes()) + b"tb"
    return content + b"u."


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_a_file_of_python_2_is_read_as_paddle_reads_it(tmp_path, paddle):
    arrays = {
        "short": np.arange(-3, 4, dtype=np.float32),
        "like UTF-8": np.frombuffer("äé€".encode(), np.uint8),
        "every byte": np.arange(250, dtype=np.int16),
        "long": np.arange(200.0),
    }
    path = written(tmp_path, python2(arrays))
    assert_same(read_checkpoint(path), arrays)
    assert_same(read_checkpoint(path), paddle.load(str(path), return_numpy=True))


def test_reading_never_imports_paddle(tmp_path, monkeypatch, paddle):
    paths = []
    for protocol in (2, 3, 4):
        paths.append(tmp_path / f"{protocol}.pdparams")
        paddle.save(model(paddle).state_dict(), str(paths[-1]), protocol=protocol)
    for package in ("paddle", "torch"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError
    assert [len(read_checkpoint(path)) for path in paths] == [8, 8, 8]
