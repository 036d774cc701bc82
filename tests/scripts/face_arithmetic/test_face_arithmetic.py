"""Draws, spaces, and the counting of what came out right."""

import jax
import numpy as np
import pytest
from face_arithmetic import report
from face_arithmetic.arithmetic import (
    DISTINCT,
    EXPRESSIONS,
    GROUPS,
    draw_all_groups,
    expected,
    measure_arithmetic,
    results,
    standard_error,
    tally,
)
from face_arithmetic.spaces import draw_groups, group_means, latent_space, pixel_space

from vae_jax.distributions import DiagonalGaussian
from vae_jax.errors import UserError
from vae_jax.latents import parse_expression

LISTING = EXPRESSIONS["listing 7.9"]
KEY = jax.random.key(0)


def ideal_space():
    """Forty images a group whose latents are exactly (glasses, man), and pictures of these."""
    mean = np.repeat(np.array(list(GROUPS.values()), np.float32), 40, axis=0)
    encoded = DiagonalGaussian(mean, np.full_like(mean, -20))
    return latent_space("ideal", encoded, lambda z: z.reshape(-1, 1, 1, 2), sampled=False)


def classify(pictures):
    values = pictures.reshape(-1, 2)
    glasses, man = values.T
    return {"glasses": glasses, "man": man, "frame_lightness": glasses, "one": np.ones(len(man))}


@pytest.mark.parametrize(
    ("name", "glasses", "man"),
    [
        ("listing 7.9", False, True),
        ("exercise 7.1 (1)", True, False),
        ("exercise 7.1 (2)", True, True),
        ("exercise 7.1 (3)", True, False),
    ],
)
def test_each_expression_gives_the_face_that_the_tutorial_names(name, glasses, man):
    assert expected(EXPRESSIONS[name]) == (glasses, man)


@pytest.mark.parametrize(
    "printed",
    [
        "women_g - men_g + women_ng",
        "men_ng - men_g + women_ng",
        "women_ng - men_ng + women_g",
        "men_ng - women_ng + men_g",
    ],
)
def test_the_printed_sentences_taken_literally_are_no_face(printed):
    with pytest.raises(UserError, match="expected 0 or 1 of each"):
        expected(printed)


def test_exercise_7_1_has_one_sum_twice():
    weights = [parse_expression(text, GROUPS) for text in EXPRESSIONS.values()]
    assert weights[1] == weights[3]
    assert [parse_expression(text, GROUPS) for text in DISTINCT] == weights[:3]


def test_draws_are_of_the_right_groups_and_no_image_is_used_twice_while_others_wait(known):
    draws = draw_all_groups(known, 5, 3, KEY)
    for name, (glasses, man) in GROUPS.items():
        numbers = draws[name]
        assert numbers.shape == (5, 3)
        assert set(known["glasses"][numbers].flat) == {"yes" if glasses else "no"}
        assert set(known["person"][numbers].flat) == {"man" if man else "woman"}
        assert len(np.unique(numbers)) == 15


def test_draws_of_dark_frames_take_no_lighter_one_and_all_without(known):
    draws = draw_all_groups(known, 2, 3, KEY, lightest=0.2)
    assert known["frame_lightness"][draws["men_g"]].max() <= 0.2
    assert np.isnan(known["frame_lightness"][draws["men_ng"]]).all()


def test_draws_begin_anew_when_the_images_are_used_up_and_repeat_none_in_a_group():
    drawn = draw_groups(np.arange(10, 50), 5, 15, KEY)
    assert all(len(set(row)) == 15 for row in drawn.tolist())
    assert np.bincount(drawn.ravel(), minlength=50)[10:].max() <= 3  # rounds of two groups
    assert set(drawn.ravel()) <= set(range(10, 50))


def test_draws_follow_the_key_alone():
    members = np.arange(40)
    one, same, other = (draw_groups(members, 8, 3, jax.random.key(s)) for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_group_larger_than_its_images_is_refused():
    with pytest.raises(UserError, match="a group of 3 images of 2"):
        draw_groups(np.arange(2), 1, 3, KEY)


def test_a_perfect_space_and_a_perfect_classifier_are_always_right(known):
    draws = draw_all_groups(known, 11, 3, KEY)  # more than one chunk, the last not full
    predictions = measure_arithmetic(ideal_space(), draws, classify, KEY)
    assert list(predictions) == [*GROUPS, *EXPRESSIONS.values()]
    for text, seen in predictions.items():
        assert tally(seen, *expected(text)) == (11,) * 6


def test_a_point_is_drawn_from_its_posterior_or_is_its_mean():
    mean = np.zeros((4, 2), np.float32)
    encoded = DiagonalGaussian(mean, mean)
    drawn, central = (
        latent_space("space", encoded, lambda z: z, sampled=sampled).points(np.array([1, 2]), KEY)
        for sampled in (True, False)
    )
    assert np.abs(drawn).min() > 0
    assert not np.array_equal(drawn[0], drawn[1])
    assert not central.any()


def test_pixels_of_constant_images_add_as_their_values_do_and_are_clipped():
    levels = {"men_g": 200, "women_g": 100, "men_ng": 0, "women_ng": 51}
    values = np.array(list(levels.values()), np.uint8)
    space = pixel_space("pixels", np.tile(values[:, None, None, None], (1, 2, 2, 3)))
    draws = {name: np.array([[number]]) for number, name in enumerate(levels)}
    pictures = space.pictures(results(space, draws, KEY))
    assert pictures.shape == (8, 2, 2, 3)
    np.testing.assert_allclose(
        pictures[4:, 0, 0, 0], np.clip([151 / 255, 251 / 255, 49 / 255, 251 / 255], 0, 1), atol=1e-6
    )
    draws["men_ng"], draws["men_g"] = draws["men_g"], draws["men_ng"]
    low, _, high, _ = space.pictures(results(space, draws, KEY))[4:, 0, 0, 0]
    assert low == 0  # 0 - 100 + 51
    np.testing.assert_allclose(high, 249 / 255, atol=1e-6)


def test_a_group_is_the_mean_of_its_points():
    space = pixel_space("pixels", np.arange(0, 240, 20, dtype=np.uint8).reshape(12, 1, 1, 1))
    means = group_means(space, np.array([[0, 2], [3, 9]]), KEY)
    np.testing.assert_allclose(means * 255, [[20], [120]], rtol=1e-6)


def test_successes_need_both_attributes_and_one_face():
    predictions = {
        "glasses": np.array([0.9, 0.9, 0.1, 0.1]),
        "man": np.array([0.9, 0.1, 0.9, 0.6]),
        "one": np.array([0.9, 0.9, 0.9, 0.1]),
    }
    assert tally(predictions, glasses=False, man=True) == (4, 1, 2, 2, 3, 3)
    assert tally(predictions, glasses=True, man=False) == (4, 1, 1, 2, 1, 3)


def test_the_standard_error_is_that_of_a_share():
    assert standard_error(270, 300) == pytest.approx(np.sqrt(0.9 * 0.1 / 300))
    assert standard_error(300, 300) == 0
    flips = np.random.default_rng(0).random((4000, 50)) < 0.3
    assert flips.mean(axis=1).std() == pytest.approx(standard_error(15, 50), rel=0.05)


def test_the_tables_say_what_was_counted():
    right = {"glasses": np.array([0.0, 0.0, 1.0, 0.0]), "man": np.ones(4), "one": np.ones(4)}
    predictions = dict.fromkeys((*GROUPS, *EXPRESSIONS.values()), right)
    facts = report.arithmetic_facts(predictions)
    counts = {"total": 4, "right": 3, "both": 3, "glasses": 3, "person": 4, "one": 4}
    assert facts[LISTING] == counts
    # Exercise 7.1 (1) expects a woman with glasses and (2) a man: 0 and 1 of 4.
    assert facts["all expressions, both"]["share"] == pytest.approx(4 / 12)
    assert facts["all expressions, both"]["error"] == pytest.approx(0)
    row = report.success_table({"VAE": facts}, "both").splitlines()[-1]
    assert row == "| VAE | 75.0 ± 21.7 | 0.0 ± 0.0 | 25.0 ± 21.7 | 0.0 ± 0.0 | 33.3 ± 0.0 |"
    row = report.attribute_table({"VAE": facts}).splitlines()[-1]
    assert row.startswith("| VAE | 75.0 / 100.0 / 100.0 | 25.0 / 0.0 / 100.0 |")
