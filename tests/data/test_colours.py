"""A picture of any mode becomes what its author saw, or is refused by its mode."""

import struct

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import open_dataset, open_picture
from vae_jax.errors import DataError
from vae_jax.explore.pictures import read_upload

RAMP = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
DEEP = RAMP.astype(np.uint16) * 257  # full range: 255 becomes 65535
TEN_BITS = np.round(RAMP / 255 * 1023).astype(np.uint16)


def read(path, channels=1):
    return open_picture("here", path, (16, 16, channels))


def tiff(values, bits, photometric, sample_format=1):
    """A little-endian TIFF of one strip; Pillow itself cannot write these kinds."""
    fields = [(256, 16), (257, 16), (258, bits), (259, 1), (262, photometric), (273, 8)]
    fields += [(277, 1), (278, 16), (279, len(values)), (339, sample_format)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    start = struct.pack("<2sHI", b"II", 42, 8 + len(values)) + values
    return start + struct.pack("<H", len(fields)) + tags + b"\0\0\0\0"


def packed(values):
    """12-bit numbers, two in three bytes."""
    first, second = values.reshape(-1, 2).T
    parts = first >> 4, (first & 15) << 4 | second >> 8, second & 255
    return np.stack(parts, 1).astype(np.uint8).tobytes()


DEEP_FILES = {
    "a.pgm": b"P5 16 16 65535\n" + DEEP.astype(">u2").tobytes(),
    "ten bits.pgm": b"P5 16 16 1023\n" + TEN_BITS.astype(">u2").tobytes(),
    "text.pgm": b"P2 16 16 1023\n" + " ".join(map(str, TEN_BITS.ravel())).encode(),
    "colour.ppm": b"P6 16 16 65535\n" + np.repeat(DEEP[..., None], 3, 2).astype(">u2").tobytes(),
    "white is zero.tif": tiff((65535 - DEEP).astype("<u2").tobytes(), 16, 0),
    "twelve bits.tif": tiff(packed(RAMP.astype(int) * 4095 // 255), 12, 1),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DEEP_FILES)
def test_deep_files_keep_their_levels(tmp_path, name, channels):
    (tmp_path / name).write_bytes(DEEP_FILES[name])
    found = read(tmp_path / name, channels).astype(int)
    assert np.abs(found - RAMP[..., None]).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "big-endian.tif"])
def test_16_bits_of_grey_lose_their_lower_byte(tmp_path, name, channels):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 256 + 77
    values = values.astype(">u2") if "big" in name else values
    PIL.Image.fromarray(values).save(tmp_path / name)
    found = read(tmp_path / name, channels)
    np.testing.assert_array_equal(found, np.repeat((values >> 8)[..., None], channels, 2))


@pytest.mark.parametrize("read_as", ["folder", "stream", "upload"])
def test_every_way_in_reads_16_bits(tmp_path, monkeypatch, read_as):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "data" / "a" / "1.png"
    path.parent.mkdir(parents=True)
    PIL.Image.fromarray(DEEP).save(path)
    if read_as == "upload":
        found = read_upload("1.png", path.read_bytes(), (16, 16, 1))
    else:
        found = open_dataset(f"{read_as}:{tmp_path / 'data'}", (16, 16, 1)).train.images[0]
    np.testing.assert_array_equal(found[..., 0], RAMP)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tif", tiff((RAMP / 255).astype("<f4").tobytes(), 32, 1, 3), r"floats \(mode F\)"),
        ("a.ppm", b"Pf\n16 16\n-1.0\n" + RAMP.astype("<f4").tobytes(), r"floats \(mode F\)"),
        ("a.tif", tiff(DEEP.astype("<u4").tobytes(), 32, 1), r"range is unknown \(mode I\)"),
        ("a.tif", tiff(DEEP.astype("<i2").tobytes(), 16, 1, 2), r"range is unknown \(mode I\)"),
    ],
    ids=["float", "PFM", "32 bits", "signed"],
)
def test_numbers_of_no_known_range_are_refused_by_their_mode(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}': it holds .*{reason}, expected 8 or 16 bits"):
        read(tmp_path / name)


def with_alpha(mode):
    """Black that shows as the ramp on white."""
    alpha = 255 - RAMP[..., None]
    black = np.zeros((16, 16, 1 if mode == "LA" else 3), np.uint8)
    return PIL.Image.fromarray(np.concatenate([black, alpha], 2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("mode", "suffix"), [("LA", "png"), ("RGBA", "png"), ("LA", "tif")])
def test_transparency_shows_white(tmp_path, mode, suffix, channels):
    with_alpha(mode).save(tmp_path / f"a.{suffix}")
    found = read(tmp_path / f"a.{suffix}", channels)
    np.testing.assert_array_equal(found, np.repeat(RAMP[..., None], channels, 2))


def test_colours_hidden_under_full_transparency_do_not_show(tmp_path):
    clear = PIL.Image.new("RGBA", (16, 16), (200, 100, 50, 0))
    clear.save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png", 3) == 255).all()


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "I;16"])
def test_a_transparent_colour_of_a_png_shows_white(tmp_path, mode):
    image = PIL.Image.fromarray(DEEP if mode == "I;16" else RAMP)
    image = image if mode == "I;16" else image.convert(mode)
    key = {"P": 0, "L": 0, "RGB": (0, 0, 0), "I;16": 0}[mode]
    image.save(tmp_path / "a.png", transparency=key)
    expected = np.where(RAMP == 0, 255, RAMP)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., 0], expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_alpha_channel_changes_nothing(tmp_path, mode):
    picture = PIL.Image.fromarray(RAMP).convert(mode)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png")[..., 0], RAMP)


def stored_as(upright, orientation):
    """How a camera stores an upright picture with each of EXIF's orientations."""
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}
    mirrored = np.fliplr(upright) if orientation in (2, 4, 5, 7) else upright
    return np.ascontiguousarray(np.rot90(mirrored, turns[orientation]))


@pytest.mark.parametrize(
    ("suffix", "deep"),
    [("png", False), ("tif", False), ("jpg", False), ("png", True), ("tif", True)],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_set_upright(tmp_path, orientation, suffix, deep):
    upright = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    stored = stored_as(upright, orientation)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = PIL.Image.fromarray(stored.astype(np.uint16) * 257 if deep else stored)
    image.save(tmp_path / f"a.{suffix}", exif=exif, **({} if suffix != "jpg" else {"quality": 100}))
    found = read(tmp_path / f"a.{suffix}")[..., 0].astype(int)
    assert np.abs(found - upright).max() <= (4 if suffix == "jpg" else 0)
