"""Files that call themselves pictures: none is run, waited for, or unpacked without end."""

import io
import os
import resource
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import open_dataset, open_picture
from vae_jax.data.opening import ANY_FILE, MAX_RATIO
from vae_jax.errors import DataError

SHAPE = (8, 8, 3)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"


def png(width, height, *, depth=8, colour=2, pixels=b"\0"):
    """A PNG with these pixels, whatever its header says."""
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0))]
    chunks += [(b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def refusal(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_picture("the data", path, SHAPE)
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (1, 2**24), (9000, 9000)]
)
def test_a_bomb_is_refused_in_one_line_and_without_memory(tmp_path, size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "DecompressionBombError" in refusal(tmp_path, png(*size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_blank_picture_of_many_pixels_has_bytes_enough_or_is_small(tmp_path):
    image = PIL.Image.new("RGB", (4000, 3000), "white")
    image.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size * MAX_RATIO > 12_000_000 > ANY_FILE
    assert (open_picture("the data", tmp_path / "a.png", SHAPE) == 255).all()
    PIL.Image.new("1", (2800, 2900)).save(tmp_path / "b.png")
    assert (open_picture("the data", tmp_path / "b.png", SHAPE) == 0).all()


def test_a_program_in_the_place_of_a_picture_is_not_run(tmp_path, monkeypatch):
    program = tmp_path / "gs"  # what Pillow gives such files to
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "no picture of the formats PNG, JPEG" in refusal(tmp_path, EPS)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(tmp_path, size):
    refusal(tmp_path, png(*size))


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "gif", "webp", "tiff", "ppm"])
def test_every_format_is_read_whatever_its_name(tmp_path, kind):
    PIL.Image.new("RGB", (9, 9), (250, 250, 250)).save(tmp_path / "a.jpg", kind)
    assert (open_picture("the data", tmp_path / "a.jpg", SHAPE) >= 249).all()


def test_an_animation_is_its_first_frame_and_a_turned_picture_stays_as_it_lies(tmp_path):
    frames = [PIL.Image.new("L", (8, 8), shade) for shade in (9, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (open_picture("the data", tmp_path / "a.gif", SHAPE) == 9).all()
    ramp = PIL.Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # as ImageFolder, which does not turn it
    ramp.save(tmp_path / "b.png", exif=exif)
    np.testing.assert_array_equal(
        open_picture("the data", tmp_path / "b.png", (8, 8, 1))[..., 0], ramp
    )


def test_damaged_metadata_leave_the_pixels_and_no_warning(tmp_path):
    with io.BytesIO() as file:
        broken = b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01"
        PIL.Image.new("RGB", (8, 8)).save(file, "JPEG", exif=broken)
        (tmp_path / "a.jpg").write_bytes(file.getvalue())
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        assert open_picture("the data", tmp_path / "a.jpg", SHAPE).shape == SHAPE
    assert not leaked


@pytest.mark.parametrize("source", ["folder", "stream"])
def test_a_pipe_among_the_pictures_is_refused_and_not_waited_for(tmp_path, source):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "1.png")
    with pytest.raises(DataError, match=r"1\.png.*no regular file"):
        _ = open_dataset(f"{source}:{tmp_path}", SHAPE).train.images[:]
