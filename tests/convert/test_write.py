"""What is written is read back bit for bit, by us and by the formats' own libraries."""

import builtins
import os
import stat

import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.convert import write
from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.tensors import DTYPES
from vae_jax.convert.write import write_checkpoint
from vae_jax.errors import CheckpointError, MissingExtraError

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

SUFFIXES = [".safetensors", ".pth"]


def arrays():
    bits = np.random.default_rng(0).integers(0, 256, (2, 48), np.uint8)
    named = {
        name: (bits % 2 if name == "bool" else bits).view(dtype) for name, dtype in DTYPES.items()
    }
    shared = np.arange(6.0)
    return named | {
        "scalar": np.float32(3.0),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(6).reshape(2, 3).T,
        "big-endian": np.arange(4, dtype=">f4"),
        "shared": shared,
        "part": shared[1::2],
        "nan": np.array([0x7FC12345, 0xFF812345], np.uint32).view(np.float32),
        "read-only": np.broadcast_to(np.float32(1), (2, 2)),
    }


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        native = np.asarray(value, np.asarray(value).dtype.newbyteorder("="))
        assert found[name].dtype == native.dtype, name
        assert found[name].shape == native.shape, name
        assert found[name].tobytes() == native.tobytes(), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_bit_for_bit(tmp_path, suffix):
    tensors = arrays()
    if suffix == ".safetensors":
        del tensors["complex128"]
    write_checkpoint(tmp_path / f"a{suffix}", tensors)
    assert_same(read_checkpoint(tmp_path / f"a{suffix}"), tensors)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_formats_own_library_reads_the_same(tmp_path, suffix):
    tensors = arrays()
    del tensors["complex128"]
    path = tmp_path / f"a{suffix}"
    write_checkpoint(path, tensors)
    loaded = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    assert set(loaded) == set(tensors)
    for name, value in tensors.items():
        native = np.asarray(value, np.asarray(value).dtype.newbyteorder("="))
        assert str(loaded[name].dtype) == f"torch.{native.dtype}"
        assert tuple(loaded[name].shape) == native.shape
        found = loaded[name].contiguous().reshape(-1).view(torch.uint8).numpy()
        assert found.tobytes() == native.tobytes(), name


def test_jax_arrays_are_written_and_pt_is_pth(tmp_path):
    for suffix in (*SUFFIXES, ".pt"):
        write_checkpoint(tmp_path / f"a{suffix}", {"w": jnp.ones((2, 3), jnp.bfloat16)})
        assert read_checkpoint(tmp_path / f"a{suffix}")["w"].dtype == jnp.bfloat16
    assert set(torch.load(tmp_path / "a.pt", weights_only=True)) == {"w"}


def test_what_was_read_can_be_written_over_its_own_file(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": np.arange(1000.0)})
    mapped = read_checkpoint(path)
    write_checkpoint(path, mapped | {"v": np.zeros(3)})
    np.testing.assert_array_equal(mapped["w"], np.arange(1000.0))
    assert set(read_checkpoint(path)) == {"w", "v"}


def test_tensors_in_the_file_are_aligned(tmp_path):
    tensors = {"b": np.ones(3, np.uint8), "f": np.ones(3), "h": np.ones(3, np.float16)}
    write_checkpoint(tmp_path / "a.safetensors", tensors)
    content = (tmp_path / "a.safetensors").read_bytes()
    assert int.from_bytes(content[:8], "little") % 64 == 56
    assert b'"__metadata__":{"format":"pt"}' in content


def test_names_with_wrappers_are_written_as_they_are(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"module._orig_mod.w": np.ones(1)})
    assert set(load_file(tmp_path / "a.safetensors")) == {"module._orig_mod.w"}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "no tensors"),
        ({"w": np.array([None])}, "object"),
        ({"w": np.array(["a"])}, "<U1"),
        ({"w": np.zeros(2, [("a", "f4")])}, "dtype"),
        ({"w": np.longdouble(1)}, "longdouble|float128"),
        ({"\ud800": np.ones(1)}, "utf-8"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_and_the_old_file_kept(tmp_path, tensors, message):
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"old")
        with pytest.raises(CheckpointError, match=message) as error:
            write_checkpoint(path, tensors)
        assert "\n" not in str(error.value)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == [path.name]
        path.unlink()


def test_complex128_is_refused_by_safetensors_with_advice(tmp_path):
    with pytest.raises(CheckpointError, match=r"complex128.*\.pth"):
        write_checkpoint(tmp_path / "a.safetensors", {"w": np.ones(1, np.complex128)})


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    for name in ("a", "a.bin", "a.npz", "a.safetensors.bak"):
        with pytest.raises(CheckpointError, match=r"expected one of \.safetensors, \.pth, \.pt"):
            write_checkpoint(tmp_path / name, {"w": np.ones(1)})


def test_a_folder_or_a_missing_folder_is_refused(tmp_path):
    (tmp_path / "a.pth").mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        write_checkpoint(tmp_path / "a.pth", {"w": np.ones(1)})
    with pytest.raises(CheckpointError, match="there is no folder"):
        write_checkpoint(tmp_path / "none" / "a.pth", {"w": np.ones(1)})
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_checkpoint("/proc/a.safetensors", {"w": np.ones(1)})


def test_a_disk_that_returns_other_bits_is_noticed(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": np.ones(2)})
    before = path.read_bytes()
    honest = write.read_as_named
    monkeypatch.setattr(write, "read_as_named", lambda p: {n: -a for n, a in honest(p).items()})
    with pytest.raises(CheckpointError, match="different value of 'w'"):
        write_checkpoint(path, {"w": np.zeros(2)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": np.ones(2)})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"written \(No space left on device\): nothing was"):
        write_checkpoint(path, {"w": np.zeros(2)})
    np.testing.assert_array_equal(read_checkpoint(path)["w"], np.ones(2))
    assert os.listdir(tmp_path) == [path.name]


def test_links_and_permissions_stay(tmp_path):
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    write_checkpoint(real, {"w": np.ones(1)})
    real.chmod(0o640)
    link.symlink_to(real)
    write_checkpoint(link, {"w": np.zeros(1)})
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    np.testing.assert_array_equal(read_checkpoint(real)["w"], [0])


def test_without_torch_only_pth_is_refused(tmp_path, monkeypatch):
    honest = builtins.__import__

    def without_torch(name, *arguments, **named):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return honest(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    write_checkpoint(tmp_path / "a.safetensors", {"w": np.ones(1)})
    with pytest.raises(MissingExtraError, match=r"vae-jax\[torch\]"):
        write_checkpoint(tmp_path / "a.pth", {"w": np.ones(1)})
