"""Safetensors files, read without the library and compared with the library."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.safetensors import CODES

NAMES = {code: str(dtype) for code, dtype in CODES.items()}


@pytest.mark.parametrize("code", CODES)
def test_every_dtype_keeps_its_bits(tmp_path, code):
    dtype = CODES[code]
    bits = torch.arange(6 * dtype.itemsize, dtype=torch.uint8).mul(37).reshape(2, -1)
    bits = bits % 2 if code == "BOOL" else bits
    tensor = bits.view(getattr(torch, NAMES[code]))
    save_file({"odd": torch.ones(3, dtype=torch.uint8), "weight": tensor}, tmp_path / "a")
    found = read_checkpoint(tmp_path / "a")["weight"]
    assert (found.dtype, found.shape) == (dtype, (2, 3))
    assert found.tobytes() == bits.numpy().tobytes()
    assert not found.flags.writeable


def test_scalars_empty_tensors_and_metadata_are_read(tmp_path):
    state = {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 4), "module.w": torch.ones(2, 3)}
    save_file(state, tmp_path / "a.safetensors", metadata={"format": "pt", "note": "é"})
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert {name: array.shape for name, array in found.items()} == {
        "scalar": (),
        "empty": (0, 4),
        "module.w": (2, 3),
    }
    np.testing.assert_array_equal(found["scalar"], 3.0)


def test_unaligned_values_are_read(tmp_path):
    header = b'{"w":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    header += b" " * (1 + -len(header) % 8)  # the format does not ask for alignment
    values = np.array([1.5, -2.5])
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())
    found = read_checkpoint(path)["w"]
    assert found.flags.aligned
    np.testing.assert_array_equal(found, values)
