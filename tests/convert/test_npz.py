"""The .npz files of numpy.savez: read bit for bit, or refused in one line."""

import io
import random
import zipfile

import ml_dtypes
import numpy as np
import pytest
from arrays import assert_same
from hostile import one_line, refusal

import vae_jax
from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.tensors import DTYPES
from vae_jax.errors import CheckpointError
from vae_jax.models import variable_shapes
from vae_jax.pretrained import load

ARRAYS = {
    **{
        name: np.arange(6).reshape(2, 3).astype(dtype)
        for name, dtype in DTYPES.items()
        if dtype.type.__module__ == "numpy"
    },
    "a/b.weight": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big-endian": np.arange(4, dtype=">f4"),
    "scalar": np.array(3, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "nan": np.array([0x7FC12345, 0xFF812345], np.uint32).view(np.float32),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read_bit_for_bit(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    assert_same(read_checkpoint(tmp_path / "a.npz"), ARRAYS)


def test_a_models_tensors_in_an_npz_file_are_its_weights(tmp_path):
    start = vae_jax.create_model("digits_ae", latent_size=2, hidden_size=3)
    rng = np.random.default_rng(0)
    shapes = variable_shapes(start)
    rules = vae_jax.MODELS["digits_ae"].rules(start)
    leaves = {target: rng.normal(size=shape) for target, shape in shapes.items()}
    tensors = {r.source: r.to_source(leaves[r.target]).astype(np.float32) for r in rules}
    np.savez(tmp_path / "a.npz", **tensors)
    found = load(tmp_path / "a.npz")
    assert found.name == "digits_ae"
    again = vae_jax.export_weights("digits_ae", found.variables, latent_size=2, hidden_size=3)
    for name, array in tensors.items():
        np.testing.assert_array_equal(again[name], array, strict=True)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["a"]), "dtype <U1: expected numbers"),
        (np.array([None]), "dtype object: expected numbers"),
        (np.zeros(2, [("a", "f4")]), "expected numbers"),
        (np.zeros(2, ml_dtypes.bfloat16), "NumPy stores no bfloat16: save float32"),
    ],
)
def test_what_is_not_numbers_is_refused(tmp_path, array, message):
    np.savez(tmp_path / "a.npz", w=array)
    assert message in one_line(tmp_path / "a.npz", read_checkpoint)


def archive_of(**members):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def member(text, values=b""):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


HEADER = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }\n"


def test_a_header_that_lies_is_refused_with_little_memory(tmp_path):
    for shape in (b"1" + b"0" * 15, b"-1", b"2", b"1e3", b"2**40"):
        content = archive_of(w=member(HEADER % shape, bytes(4)))
        refusal(tmp_path, content, little_memory=True)
    refusal(tmp_path, archive_of(w=member(b"(" * 9000)), little_memory=True)
    refusal(tmp_path, archive_of(w=member(b"__import__('os').abort()")))
    refusal(tmp_path, archive_of(w=b""))
    bomb = archive_of(w=member(HEADER % b"25000000", bytes(100_000_000)))
    assert "save it again with numpy.savez" in refusal(tmp_path, bomb, little_memory=True)


def test_a_damaged_file_is_refused_or_reads_the_same(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    honest, dice, refused = (tmp_path / "a.npz").read_bytes(), random.Random(0), 0
    for length in range(0, len(honest), 97):
        (tmp_path / "b").write_bytes(honest[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "b")
    for _ in range(200):
        content = bytearray(honest)
        content[dice.randrange(len(honest))] ^= 1 << dice.randrange(8)
        (tmp_path / "b").write_bytes(content)
        try:
            assert_same(read_checkpoint(tmp_path / "b"), ARRAYS)
        except CheckpointError:
            refused += 1
    assert refused > 50
