"""Hostile pickles put into each container, and the error that a hostile file must end in."""

import io
import pickle
import struct
import time
import tracemalloc
import zipfile

import pytest

from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.torch import legacy
from vae_jax.errors import CheckpointError


def refusal(tmp_path, content, *, little_memory=False):
    """The error for a file of this content, which must be quick and one line; with little_memory,
    100 MB may be allocated for it at the most."""
    path = tmp_path / "hostile.pth"
    path.write_bytes(content)
    begin = time.process_time()  # of this process: others may be busy
    message = one_line(path, read_checkpoint)
    assert time.process_time() - begin < 5
    if little_memory:  # of another reading: tracing takes several times as long
        tracemalloc.start()
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6
    return message


def one_line(path, action, *arguments, longest=1500):
    """What an error says of a path in its one line."""
    with pytest.raises(CheckpointError) as error:
        action(path, *arguments)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) <= longest
    return message.removeprefix(f"{path}: ")


def in_zip(content, **more):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3\n")
        for name, record in more.items():
            archive.writestr(f"archive/{name}", record)
    return buffer.getvalue()


def in_torchscript(content):
    return in_zip(content, **{"constants.pkl": b"\x80\x02)."})


def in_legacy(content, keys=(), blocks=b""):
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(part, 2) for part in (legacy.MAGIC, 1001, facts)]
    return b"".join([*parts, content, pickle.dumps(list(keys), 2), blocks])


CONTAINERS = {"zip": in_zip, "legacy": in_legacy, "torchscript": in_torchscript}


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()
