"""One picture: PIL's own pixels and the crop of torchvision, of whatever file; what calls itself a
picture and is none is not run, waited for, or unpacked without end."""

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
from vae_jax.data.picture import ANY_FILE, MAX_RATIO, covering_size, read_image
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
    assert "not a picture of the formats PNG, JPEG" in refusal(tmp_path, EPS)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(tmp_path, size):
    refusal(tmp_path, png(*size))


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "gif", "webp", "tiff", "ppm"])
def test_every_format_is_read_whatever_its_name(tmp_path, kind):
    PIL.Image.new("RGB", (9, 9), (250, 250, 250)).save(tmp_path / "a.jpg", kind)
    assert (open_picture("the data", tmp_path / "a.jpg", SHAPE) >= 249).all()


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [PIL.Image.new("L", (8, 8), shade) for shade in (9, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (open_picture("the data", tmp_path / "a.gif", SHAPE) == 9).all()


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
    with pytest.raises(DataError, match=r"1\.png.*not a regular file"):
        _ = open_dataset(f"{source}:{tmp_path}", SHAPE).train.images[:]


def photograph(height, width, mode="RGB", seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("size", [(40, 40), (16, 16), (17, 17), (9, 9)])
def test_a_square_picture_is_resized_as_pil_resizes_it(tmp_path, size):
    photograph(*size).save(tmp_path / "a.png")
    expected = photograph(*size).resize((16, 16), PIL.Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (16, 16, 3)), expected)


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        # (left, top, right, bottom); 21 - 16 = 5 to take away: round(2.5) is 2 in Python
        ((32, 43), (16, 21), (2, 0, 18, 16)),
        ((43, 32), (21, 16), (0, 2, 16, 18)),
        # 23 - 16 = 7: round(3.5) is 4
        ((32, 46), (16, 23), (4, 0, 20, 16)),
        ((5, 7), (16, 22), (3, 0, 19, 16)),
        ((16, 30), (16, 30), (7, 0, 23, 16)),
    ],
)
def test_a_longer_picture_keeps_the_middle_of_torchvisions_resize(tmp_path, size, resized, box):
    photograph(*size).save(tmp_path / "a.png")
    whole = photograph(*size).resize(resized[::-1], PIL.Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (16, 16, 3)), whole.crop(box))


@pytest.mark.parametrize("target", [(16, 16), (16, 24), (24, 16), (1, 7), (256, 256)])
def test_the_covering_size_touches_on_one_side_and_falls_short_on_none(target):
    for height in range(1, 60, 2):
        for width in range(1, 60):
            found = covering_size((height, width), target)
            assert found[0] >= target[0]
            assert found[1] >= target[1]
            assert found[0] == target[0] or found[1] == target[1]
            if target[0] == target[1]:  # torchvision's rule for Resize(size)
                size, short, long = target[0], min(height, width), max(height, width)
                assert sorted(found) == sorted((size, int(size * long / short)))


def test_a_model_that_is_not_square_gets_its_own_shape(tmp_path):
    photograph(40, 40).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (12, 20, 3)).shape == (12, 20, 3)


MODES = {
    "1": "png",
    "L": "png",
    "LA": "png",
    "P": "png",
    "RGB": "png",
    "RGBA": "png",
    "CMYK": "jpg",
    "YCbCr": "jpg",
}


@pytest.mark.parametrize(("mode", "suffix"), MODES.items())
def test_every_mode_is_converted_as_the_loader_of_image_folder_does(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    photograph(20, 20, mode).save(path)
    for channels, target in ((3, "RGB"), (1, "L")):
        with PIL.Image.open(path) as stored:
            expected = stored.convert(target).resize((10, 10), PIL.Image.Resampling.BILINEAR)
        found = read_image(path, (10, 10, channels))
        np.testing.assert_array_equal(found, np.asarray(expected).reshape(10, 10, channels))


def test_a_sliver_that_would_grow_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10_000)
    photograph(1, 200).save(tmp_path / "a.png")
    with pytest.raises(PIL.Image.DecompressionBombError, match="64 times 12800"):
        read_image(tmp_path / "a.png", (64, 64, 3))
