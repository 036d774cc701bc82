"""The explorer's parts: the pad, groups to begin with, pictures, and the newest request."""

import asyncio
import base64
import dataclasses
import io
import threading
import xml.etree.ElementTree

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.errors import UserError
from vae_jax.explore.address import has_display
from vae_jax.explore.groups import example_groups, parse_lines
from vae_jax.explore.newest import Newest
from vae_jax.explore.pad import SIZE, Pad
from vae_jax.explore.pictures import picture_url
from vae_jax.latents import parse_expression, require_affine

from .small import dataset_of

PAD = Pad((-3.0, -4.0), (3.0, 2.0))


@settings(deadline=None)
@given(st.floats(0, SIZE), st.floats(0, SIZE))
def test_a_place_on_the_pad_and_its_latent_belong_together(x, y):
    np.testing.assert_allclose(PAD.to_pixels(PAD.to_latent(x, y)), (x, y), atol=1e-3)


def test_the_second_dimension_grows_upwards():
    assert PAD.to_latent(0, SIZE).tolist() == [-3, -4]
    assert PAD.to_latent(SIZE, 0).tolist() == [3, 2]


def test_a_place_beside_the_pad_is_moved_to_its_edge():
    assert PAD.to_latent(-50, 2 * SIZE).tolist() == [-3, -4]


def test_the_pad_shows_its_range_and_every_point():
    points = np.array([[5.0, 0.0], [0.0, -7.0]], np.float32)
    pad = Pad.around(np.full(2, -3.0), np.full(2, 3.0), points)
    for point in (*points, np.full(2, -3.0), np.full(2, 3.0)):
        assert all(0 < place < SIZE for place in pad.to_pixels(point))


def test_the_pads_drawing_is_one_svg_with_a_dot_an_image():
    points = np.random.default_rng(0).normal(size=(25, 2))
    root = xml.etree.ElementTree.fromstring(PAD.background(points, np.arange(25)))
    dots = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 25
    assert len({dot.get("fill") for dot in dots}) == 10


def test_the_groups_to_begin_with_make_a_point():
    dataset = dataset_of()
    for names in (tuple("0123456789"), ("g", "n")):
        labels = dataset.train.labels % len(names)
        train = dataclasses.replace(dataset.train, labels=labels)
        named = dataclasses.replace(dataset, train=train, class_names=names)
        groups, expression = example_groups(named)
        found = parse_lines(groups)
        require_affine(parse_expression(expression, list(found)))
        for name, images in found.items():
            numbers = [int(number) for number in images.split(",")]
            assert {names[label] for label in labels[numbers]} == {name.removeprefix("class_")}


def test_the_groups_to_begin_with_of_faces_are_those_of_listing_7_9():
    attributes = {
        "person": np.array(["man", "woman", "man"] * 10),
        "glasses": np.array(["yes"] * 30),
    }
    dataset = dataset_of()
    train = dataclasses.replace(dataset.train, attributes=attributes)
    groups, expression = example_groups(dataclasses.replace(dataset, train=train))
    assert expression == "men_g - women_g + women_ng"
    assert parse_lines(groups)["women_ng"] == "attr:glasses=no,person=woman"


@pytest.mark.parametrize(("channels", "kind"), [(1, "png"), (3, "jpeg")])
def test_a_picture_keeps_its_pixels_on_the_way_to_the_browser(channels, kind):
    image = np.full((8, 6, channels), 0.5, np.float32)
    found = PIL.Image.open(io.BytesIO(_contents(picture_url(image), kind)))
    assert found.size == (6, 8)
    np.testing.assert_allclose(np.asarray(found), 128, atol=1)


def test_of_the_requests_that_come_while_one_is_done_only_the_newest_is():
    started, gate = threading.Event(), threading.Event()
    done, shown = [], []

    def work(number):
        started.set()
        gate.wait(5)
        done.append(number)
        return -number

    async def drag():
        newest = Newest(work, shown.append, pytest.fail)
        for number in range(1, 6):
            newest.request(number)
            while not started.is_set():
                await asyncio.sleep(0)
        gate.set()
        while len(shown) < 2:
            await asyncio.sleep(0)
        newest.request(9)
        while len(shown) < 3:
            await asyncio.sleep(0)

    asyncio.run(drag())
    assert done == [1, 5, 9]
    assert shown == [-1, -5, -9]


def test_a_request_that_fails_is_reported_and_the_next_is_done():
    shown, failed = [], []

    def work(number):
        if number == 1:
            raise UserError("not this one")
        return number

    async def ask():
        newest = Newest(work, shown.append, failed.append)
        for number in (1, 2):
            newest.request(number)
            while len(shown) + len(failed) < number:
                await asyncio.sleep(0)

    asyncio.run(ask())
    assert [str(error) for error in failed] == ["not this one"]
    assert shown == [2]


def test_without_a_display_no_browser_is_opened(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()


def _contents(url, kind):
    start = f"data:image/{kind};base64,"
    assert url.startswith(start)
    return base64.b64decode(url.removeprefix(start))
