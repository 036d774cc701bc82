"""Animations: order, colours, size."""

import numpy as np
import PIL.Image
import PIL.ImageSequence

from vae_jax.figures import save_animation


def test_an_animation_shows_each_image_there_and_back(tmp_path):
    images = np.stack([np.full((4, 6, 1), value, np.float32) for value in (0.0, 0.5, 1.0)])
    path = save_animation(images, tmp_path / "new" / "a.gif")
    with PIL.Image.open(path) as picture:
        assert picture.size == (43 * 6, 43 * 4)  # 6 dots become at least 256
        assert picture.info["loop"] == 0
        frames = [np.asarray(frame.convert("L")) for frame in PIL.ImageSequence.Iterator(picture)]
    shades = [frame[100, 100] for frame in frames]
    np.testing.assert_allclose(shades, [0, 128, 255, 128], atol=1)
    assert [path.name for path in path.parent.iterdir()] == ["a.gif"]


def test_an_animation_keeps_its_colours(tmp_path):
    images = np.zeros((2, 300, 300, 3), np.float32)
    images[0, ..., 0] = images[1, ..., 2] = 1
    with PIL.Image.open(save_animation(images, tmp_path / "a.gif")) as picture:
        assert picture.size == (300, 300)
        assert picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
        picture.seek(1)
        assert picture.convert("RGB").getpixel((5, 5)) == (0, 0, 255)
