"""Interpolations between faces: the ends, and the measures on changes that are known."""

import jax
import numpy as np
import pytest
from face_arithmetic import report
from face_arithmetic.interpolation import (
    Interpolations,
    Pairs,
    crossing_place,
    crossings,
    dark_to_light,
    largest_over_mean,
    measure_interpolations,
    steps_forward,
    with_to_without,
)
from face_arithmetic.spaces import pixel_space

KEY = jax.random.key(0)


def test_interpolations_go_from_dark_frames_to_light_ones_of_the_same_person(known):
    pairs = dark_to_light(known, 5, 2, KEY)
    assert pairs.starts.shape == pairs.ends.shape == (5, 2)
    assert known["frame_lightness"][pairs.starts].max() <= 0.2
    assert known["frame_lightness"][pairs.ends].min() >= 0.8
    person = known["person"]
    assert set(person[pairs.starts[:3]].flat) == set(person[pairs.ends[:3]].flat) == {"man"}
    assert set(person[pairs.starts[3:]].flat) == set(person[pairs.ends[3:]].flat) == {"woman"}


def test_interpolations_go_from_women_with_glasses_to_women_without(known):
    pairs = with_to_without(known, 6, 3, KEY)
    assert set(known["person"][np.concatenate(pairs)].flat) == {"woman"}
    assert set(known["glasses"][pairs.starts].flat) == {"yes"}
    assert set(known["glasses"][pairs.ends].flat) == {"no"}


def test_a_cross_fade_changes_evenly_and_reaches_both_ends():
    images = np.array([0, 255, 51], np.uint8).reshape(3, 1, 1, 1)
    pairs = Pairs(np.array([[0]] * 7), np.array([[1]] * 6 + [[2]]))

    def classify(pictures):
        level = pictures.reshape(-1)
        return {"glasses": level, "man": level, "frame_lightness": level}

    found = measure_interpolations(pixel_space("pixels", images), pairs, classify, KEY)
    assert found.predictions["glasses"].shape == (7, 11)
    np.testing.assert_allclose(found.predictions["glasses"][0], np.linspace(0, 1, 11), atol=1e-6)
    np.testing.assert_allclose(found.predictions["glasses"][6], np.linspace(0, 0.2, 11), atol=1e-6)
    np.testing.assert_allclose(found.changes[0], 0.1, atol=1e-6)
    np.testing.assert_allclose(largest_over_mean(found.changes), 1, rtol=1e-5)


def test_steps_back_within_the_tolerance_are_none():
    values = np.array([[0, 0.5, 0.5, 1], [0, 0.5, 0.495, 1], [0, 0.5, 0.4, 1]])
    assert steps_forward(values).all(axis=1).tolist() == [True, True, False]
    assert steps_forward(values, 0).all(axis=1).tolist() == [True, False, False]
    assert steps_forward(-values).mean() == pytest.approx(3 / 9)


def test_one_jump_is_as_uneven_as_can_be():
    changes = np.array([[1.0, 1, 1, 1], [0, 0, 4, 0]])
    assert largest_over_mean(changes).tolist() == [1, 4]


def test_crossings_are_counted_in_both_directions_and_the_first_is_placed():
    probability = np.array(
        [[0.9, 0.7, 0.1], [0.9, 0.1, 0.9], [0.9, 0.8, 0.7], [0.1, 0.2, 0.8], [0.5, 0.4, 0.3]]
    )
    assert crossings(probability).tolist() == [1, 2, 0, 1, 0]
    place = crossing_place(probability)
    np.testing.assert_allclose(place, [2 / 3, 0.25, np.nan, 0.75, np.nan])


def test_the_facts_count_whole_interpolations():
    rising, falling = np.linspace(0, 1, 5), np.linspace(1, 0, 5)
    stays, breaks = np.ones(5), np.array([1, 1, 0, 1, 1.0])
    predictions = {
        "frame_lightness": np.stack([rising, breaks]),
        "glasses": np.stack([stays, falling]),
        "man": np.stack([stays, breaks]),
    }
    found = Interpolations(predictions, np.array([[1.0, 1, 1, 1], [1, 2, 1, 0]]))
    dark = report.dark_to_light_facts(found)
    assert (dark["interpolations"], dark["monotone"]) == (2, 1)
    assert (dark["glasses all along"], dark["same person all along"]) == (1, 1)
    assert dark["steps forward"] == 7 / 8
    assert dark["largest over mean"] == 1.5
    gone = report.with_to_without_facts(found)
    assert gone["crossings"] == {"0": 1, "1": 1}
    assert (gone["once"], gone["place"]) == (1, pytest.approx(0.5))
    row = report.dark_to_light_table({"VAE": dark}).splitlines()[-1]
    assert row.startswith("| VAE | 0.50 -> 0.25 -> 1.00 | 50.0 ± 35.4 | 87.5 |")
    assert "| 1 x 0, 1 x 1 |" in report.with_to_without_table({"VAE": gone})
