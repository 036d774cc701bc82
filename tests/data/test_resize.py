"""One picture: PIL's own pixels, and the crop of torchvision."""

import numpy as np
import PIL.Image
import pytest

from vae_jax.data.resize import covering_size, read_image


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
    for height in range(1, 60):
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
    "I;16": "png",
    "CMYK": "jpg",
    "YCbCr": "jpg",
    "F": "tiff",
}


def in_mode(mode):
    if mode == "I;16":
        values = np.arange(400, dtype=np.uint16).reshape(20, 20) * 150
        return PIL.Image.fromarray(values)
    return photograph(20, 20, mode)


@pytest.mark.parametrize(("mode", "suffix"), MODES.items())
@pytest.mark.parametrize(("channels", "target"), [(3, "RGB"), (1, "L")])
def test_every_mode_is_converted_as_the_loader_of_image_folder_does(
    tmp_path, mode, suffix, channels, target
):
    path = tmp_path / f"a.{suffix}"
    in_mode(mode).save(path)
    with PIL.Image.open(path) as stored:
        expected = stored.convert(target).resize((10, 10), PIL.Image.Resampling.BILINEAR)
    found = read_image(path, (10, 10, channels))
    np.testing.assert_array_equal(found, np.asarray(expected).reshape(10, 10, channels))


def test_transparency_is_dropped_and_not_painted_over(tmp_path):
    clear = PIL.Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    clear.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (8, 8, 3))[0, 0].tolist() == [200, 100, 50]


def test_a_sliver_that_would_grow_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10_000)
    photograph(1, 200).save(tmp_path / "a.png")
    with pytest.raises(PIL.Image.DecompressionBombError, match="64 times 12800"):
        read_image(tmp_path / "a.png", (64, 64, 3))
