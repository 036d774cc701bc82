"""What the explorer computes, without its page."""

import base64
import io

import jax
import numpy as np
import PIL.Image
import pytest

from vae_jax.distributions import example_noise
from vae_jax.errors import DataError, UserError
from vae_jax.explore.session import Session
from vae_jax.latents.groups import Groups

from .small import dataset_of, trained_of


@pytest.fixture(scope="module")
def session():
    return Session(trained_of("digits_vae"), "a run", dataset_of())


@pytest.fixture(scope="module")
def plain():
    return Session(trained_of("digits_ae"), "a run", dataset_of())


@pytest.fixture(scope="module")
def conditional():
    return Session(trained_of("digits_cvae"), "a run", dataset_of())


def pixels_of(url):
    kind, _, text = url.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_point_is_decoded_as_the_commands_decode_it(session):
    z = np.array([0.5, -1.0], np.float32)
    decoded = session.decode(z)
    pretrained = trained_of("digits_vae")
    (expected,) = pretrained.to_unit(pretrained.decode(z[None]))
    found = pixels_of(decoded.url)
    np.testing.assert_allclose(found, 255 * np.clip(expected[..., 0], 0, 1), atol=0.51)
    assert decoded.milliseconds > 0


def test_a_label_changes_the_picture_of_a_model_that_takes_one(conditional, session):
    pictures = {conditional.decode(conditional.start, label).url for label in range(10)}
    assert len(pictures) == 10
    assert session.decode(session.start, 3).url == session.decode(session.start).url


def test_a_sample_is_the_first_that_the_command_draws(session):
    z = session.sample(7)
    np.testing.assert_array_equal(z, session.sample(7))
    assert (z != session.sample(8)).all()
    np.testing.assert_array_equal(z, example_noise(jax.random.key(7), 18, 2)[0])


def test_a_plain_autoencoder_has_no_samples_and_the_range_of_its_encodings(plain):
    with pytest.raises(UserError, match="digits_ae is a plain autoencoder: it has no prior"):
        plain.sample(0)
    assert (plain.means >= plain.low).all()
    assert (plain.means <= plain.high).all()
    assert (plain.low < plain.high).all()
    assert (plain.low <= plain.start).all()
    assert (plain.start <= plain.high).all()


def test_under_a_prior_the_controls_reach_three_standard_deviations(session):
    np.testing.assert_array_equal(session.low, [-3, -3])
    np.testing.assert_array_equal(session.high, [3, 3])
    np.testing.assert_array_equal(session.start, [0, 0])


def test_the_dimensions_are_ordered_by_how_far_images_spread_on_them(plain):
    spread = plain.means.std(axis=0)[plain.order]
    assert (np.diff(spread) <= 0).all()
    assert sorted(plain.order) == list(range(14))


def test_a_session_without_data_explores_all_the_same():
    session = Session(trained_of("digits_ae"), "a file")
    assert session.means.shape == (0, 14)
    np.testing.assert_array_equal(session.order, range(14))
    assert session.decode(session.start).url
    with pytest.raises(UserError, match="restart with --data"):
        session.training_image(0)


def test_a_training_image_is_encoded_with_its_own_label(conditional):
    found = conditional.training_image(13)
    np.testing.assert_allclose(found.z, conditional.means[13], atol=1e-5)
    assert found.title == "image 13: 3"
    expected = conditional.dataset.train.images[13]
    np.testing.assert_array_equal(pixels_of(found.url), expected[..., 0])


@pytest.mark.parametrize("number", [-31, 30, 10**9])
def test_an_image_that_is_not_there_is_refused_with_those_that_are(session, number):
    with pytest.raises(UserError) as caught:
        session.training_image(number)
    expected = f"some digits has no training image {number}: expected 0 to 29, or -1 to -30 from "
    assert str(caught.value) == expected + "the end"


def test_the_way_between_two_images_begins_and_ends_at_them(session):
    start, end = session.training_image(1), session.training_image(2)
    for kind in ("linear", "spherical"):
        np.testing.assert_array_equal(session.between(start, end, 0, kind), start.z)
        np.testing.assert_array_equal(session.between(start, end, 1.0, kind), end.z)
    middle = session.between(start, end, 0.5, "linear")
    np.testing.assert_allclose(middle, (start.z + end.z) / 2, rtol=1e-6)


def test_arithmetic_combines_the_groups_as_the_command_encodes_them(session):
    definitions = {"a": "0, 1", "b": "2", "c": "5 , 6, 7"}
    z, terms = session.combine("a = 0, 1\n\n b=2\nc = 5 , 6, 7", "a - b + c")
    groups = Groups(trained_of("digits_vae"), definitions, dataset_of)
    a, b, c = (groups.encoding(name) for name in "abc")
    np.testing.assert_array_equal(z, a - b + c)
    assert [(term.name, term.weight) for term in terms] == [("a", 1), ("b", -1), ("c", 1)]
    assert terms[1].url == session.decode(b).url


@pytest.mark.parametrize(
    ("groups", "expression", "message"),
    [
        ("a = 0\nb = 1", "a - bb + b", "column 5: there is no group 'bb'"),
        ("a = 0\nb = 1", "a + b", "the weights sum to 2, expected 1"),
        ("a = 0\nb : 1", "a", "line 2 of the groups, 'b : 1': expected NAME=IMAGES"),
        ("a = 0\n2b = 1", "a", "line 2 of the groups, '2b = 1': '2b' cannot name a group"),
        ("a = 1, x", "a", "group a: '1, x'; expected image numbers"),
        ("a = /etc", "a", "group a: '/etc'; expected image numbers"),  # no files over the network
        ("a = 30", "a", "some digits has no training image 30: expected 0 to 29"),
        ("", "a", "there is no group 'a'"),
    ],
)
def test_arithmetic_that_cannot_be_is_refused_with_the_place(session, groups, expression, message):
    with pytest.raises(UserError) as caught:
        session.combine(groups, expression)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_upload_is_read_as_a_picture_of_the_data_is(session):
    file = io.BytesIO()
    stored = session.dataset.train.images[4]
    PIL.Image.fromarray(stored[..., 0]).save(file, "png")
    found = session.uploaded_image("four.png", file.getvalue())
    np.testing.assert_allclose(found.z, session.means[4], atol=1e-5)
    assert found.title == "four.png"


@pytest.mark.parametrize(
    "contents",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)],
    ids=["empty", "text", "damaged"],
)
def test_an_upload_that_is_no_picture_is_refused_in_one_line_with_its_name(session, contents):
    with pytest.raises(DataError) as caught:
        session.uploaded_image("my\nnotes.png", contents)
    message = str(caught.value)
    assert message.startswith("the upload: cannot read the picture 'my notes.png' (")
    assert "\n" not in message
    assert "/tmp" not in message


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(session):
    with pytest.raises(DataError, match=r"large\.png has 10\.0 MB; expected at most 10 MB"):
        session.uploaded_image("large.png", bytes(10_000_001))


def test_a_picture_that_is_not_finite_is_an_error_and_not_a_black_square(session):
    with pytest.raises(UserError, match="not finite"):
        session.decode(np.array([np.nan, 0], np.float32))


def test_data_of_more_classes_than_the_model_knows_are_refused():
    dataset = dataset_of()
    dataset.train.labels[3] = 10
    with pytest.raises(DataError, match="a label is 10 but the model takes 0 to 9"):
        Session(trained_of("digits_cvae"), "a run", dataset)
