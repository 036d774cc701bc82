"""Tensors that do not fit their storages, and modules that never end: refused in one line."""

import struct

import numpy as np
import pytest
from hostile import in_legacy, in_zip, refusal, text

from vae_jax.convert.read import read_checkpoint


def tensor_pickle(count=4, offset="K\x00", shape="(K\x04t", strides="(K\x01t", kind="Float"):
    storage = b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text("0") + text("cpu")
    storage += count if isinstance(count, bytes) else b"J" + struct.pack("<i", count)
    layout = (offset + shape + strides).encode("latin1")
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQ" + layout + b"\x89}tR"
    return b"\x80\x02}" + text("w") + call + b"s."


def long(value):
    digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return "\x8a" + chr(len(digits)) + digits.decode("latin1")


LIES = {
    "offset": {"offset": "K\x01"},
    "negative offset": {"offset": "J\xff\xff\xff\xff"},
    "offset is text": {"offset": "N"},
    "offset is true": {"offset": "\x88"},
    "shape": {"shape": "(K\x05t"},
    "huge shape": {"shape": "(" + long(2**62) + "t"},
    "huge shape that overflows": {"shape": "(" + long(2**64 + 4) + "t"},
    "huge expanded shape": {"shape": "(" + long(2**40) + "t", "strides": "(K\x00t"},
    "huge empty shape": {"shape": f"(K\x00{long(2**61)}t", "strides": "(K\x01K\x01t"},
    "negative shape": {"shape": "(J\xff\xff\xff\xfft"},
    "stride": {"strides": "(K\x02t"},
    "negative stride": {"strides": "(J\xff\xff\xff\xfft", "offset": "K\x03"},
    "float stride": {"strides": "(G?\xf0\x00\x00\x00\x00\x00\x00t"},
    "axes": {"strides": "(K\x01K\x01t"},
    "many axes": {"shape": "(" + "K\x01" * 70 + "t", "strides": "(" + "K\x01" * 70 + "t"},
    "list": {"shape": "](K\x04e"},
    "count": {"count": 5},
    "huge count": {"count": long(2**62).encode("latin1")},
    "negative count": {"count": -4},
    "count is text": {"count": b"N"},
    "unknown dtype": {"kind": "Quantized"},
    "other dtype": {"kind": "Double"},
}


def packed(container, content):
    values = np.arange(4, dtype=np.float32).tobytes()
    if container == "legacy":
        return in_legacy(content, ["0"], struct.pack("<q", 4) + values)
    return in_zip(content, **{"data/0": values})


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_a_tensor_that_fits_its_storage_is_read(tmp_path, container):
    # So that the lies below are known to be why the others fail.
    (tmp_path / "a").write_bytes(packed(container, tensor_pickle()))
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "a")["w"], [0, 1, 2, 3])


@pytest.mark.parametrize("lie", LIES)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, lie):
    refusal(tmp_path, packed("zip", tensor_pickle(**LIES[lie])), little_memory=True)


@pytest.mark.parametrize("lie", ["offset", "count", "huge count", "negative count", "other dtype"])
def test_the_older_format_holds_a_tensor_against_its_storage_too(tmp_path, lie):
    refusal(tmp_path, packed("legacy", tensor_pickle(**LIES[lie])), little_memory=True)


@pytest.mark.parametrize("count", [3, 5, 2**40, 2**63, 2**64 - 1])
def test_a_legacy_storage_that_lies_about_its_size_is_refused(tmp_path, count):
    block = struct.pack("<Q", count) + bytes(16)
    assert "declares" in refusal(
        tmp_path, in_legacy(tensor_pickle(), ["0"], block), little_memory=True
    )


def test_modules_that_share_their_children_without_end_are_refused(tmp_path):
    module = b"c__torch__\nM\n)\x81}(" + text("a") + b"h\x00" + text("b") + b"h\x00ubq\x00"
    content = b"\x80\x02Nq\x00" + module * 60 + b"."
    code = b"class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n"
    files = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": code}
    assert "too many" in refusal(tmp_path, in_zip(content, **files), little_memory=True)
