"""A report that fails must say so and where, and one that proves nothing must not pass."""

import json
import math

import numpy as np
import pytest

from vae_jax.parity.layers import INPUT
from vae_jax.parity.probes import probe_of
from vae_jax.parity.report import Report
from vae_jax.parity.stages import Stage
from vae_jax.parity.tables import median_ratio, worst

from .rows import double, exact, judged, layers, single


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_the_first_divergence_is_the_first_in_the_order_of_the_computation():
    report = double("conv2")
    first = report.first_divergence
    assert first is not None
    assert (first.stage, first.tensor) == (Stage.ACTIVATIONS, "conv2")
    assert report.place(first) == "conv2"
    assert not report.passed
    assert double().first_divergence is None
    assert double().passed


@pytest.mark.parametrize(
    ("layer", "place"),
    [
        ("conv1", "before conv1"),
        ("conv2", "between conv1 and conv2"),
        ("dense", "between conv2 and dense"),
    ],
)
def test_an_input_that_differs_points_at_what_lies_before_the_layer(layer, place):
    report = double(layer + INPUT)
    first = report.first_divergence
    assert first is not None
    assert report.place(first) == place


def test_what_lies_before_a_layer_is_of_the_same_stage():
    other = [exact(Stage.TRAIN_ACTIVATIONS, name) for name in ("late" + INPUT, "late")]
    report = Report("title", (*layers(exact), *other))
    assert report.place(report.rows[-2]) == "before late"


def test_a_report_without_rows_proves_nothing():
    assert not Report("title", ()).passed


@pytest.mark.parametrize("error", [math.nan, math.inf, 1.1e-12])
def test_a_row_over_its_tolerance_breaks_the_report(error):
    report = Report("title", (exact(Stage.GRADIENTS, "fine"), exact(Stage.GRADIENTS, "t", error)))
    assert not report.passed
    assert exact(Stage.GRADIENTS, "t", 1e-12).passed
    assert exact(Stage.GRADIENTS, "t", 0.0, 0.0).passed


def test_below_float64_the_tolerance_is_for_the_error_ratio():
    row = judged(Stage.GRADIENTS, "t", ratio=2.0)
    assert row.error == 2.0
    assert row.passed
    assert not judged(Stage.GRADIENTS, "t", ratio=3.1).passed
    assert not judged(Stage.GRADIENTS, "t", ratio=math.nan).passed
    assert (
        median_ratio([row, judged(Stage.GRADIENTS, "t", 5.0), exact(Stage.GRADIENTS, "t")]) == 3.5
    )
    assert median_ratio([exact(Stage.GRADIENTS, "t")]) is None


def test_the_worst_row_is_the_nearest_to_its_own_tolerance():
    near, far = exact(Stage.GRADIENTS, "near", 9e-13), exact(Stage.GRADIENTS, "far", 1e-9, 1e-6)
    assert worst([far, near]) is near
    broken = exact(Stage.GRADIENTS, "broken", math.nan)
    assert worst([near, broken, far]) is broken
    assert worst([exact(Stage.GRADIENTS, "zero", 0.0, 0.0), near]) is near
    wrong = exact(Stage.GRADIENTS, "wrong", 1e-300, 0.0)
    assert worst([near, wrong]) is wrong


def test_rows_come_by_stage_in_order():
    stages = double().stages()
    assert list(stages)[:3] == ["structure", "activations", "posterior heads"]
    assert len(stages["activations"]) == 6


def test_json_is_strict_whatever_the_numbers():
    rows = (
        exact(Stage.GRADIENTS, "nan", math.nan, by_step=((1, math.nan, None),)),
        exact(Stage.GRADIENTS, "inf", math.inf),
        *single().rows,
    )
    report = Report("title", rows, ("note",), {"seed": 0})
    text = json.dumps(report.as_dict())
    found = json.loads(text, parse_constant=refuse)
    assert found["passed"] is False
    assert found["first_divergence"] == {"stage": "gradients", "place": "nan"}
    assert found["rows"][0]["relative"] == "nan"
    assert found["rows"][1]["error"] == "inf"
    assert found["rows"][2]["passed"] is True
    assert found["facts"] == {"seed": 0}
    assert json.loads(json.dumps(double().as_dict()))["first_divergence"] is None


def test_json_has_the_fields_and_stages_of_the_rows():
    (row,) = Report("title", (judged(Stage.GRADIENTS, "w", 2.0),)).as_dict()["rows"]
    assert list(row) == [
        *(
            "stage",
            "tensor",
            "max_abs",
            "relative",
            "ulps",
            "rms",
            "tolerance",
            "reference_error",
            "error_ratio",
        ),
        *("by_step", "error", "passed"),
    ]
    assert (row["tolerance"], row["reference_error"], row["error_ratio"], row["error"]) == (
        3.0,
        1e-7,
        2.0,
        2.0,
    )
    rows = double().as_dict()["rows"]
    assert [r["stage"] for r in rows if r["tensor"] == "b"] == [
        "gradients, zero-gradient",
        "weights after steps, zero-gradient",
    ]


def test_probes_differ_from_image_to_image_and_are_stored_pixels():
    probe = probe_of("conv_vae", 4, 1, 0, image_shape=(28, 20, 3), latent_size=5)
    assert probe.image.shape == (4, 28, 20, 3)
    assert probe.noise is not None
    assert probe.noise.shape == (4, 5)
    assert 0 <= probe.image.min() < 0.3 < 0.7 < probe.image.max() <= 1
    np.testing.assert_allclose(probe.image * 255, np.round(probe.image * 255), atol=1e-9)
    for i in range(4):
        assert probe.image[i].std() > 0.05
        for j in range(i):
            assert np.abs(probe.image[i] - probe.image[j]).mean() > 0.05
    # Neither axis nor channel can be swapped unseen.
    square = probe_of("conv_vae", 2, 1, 0, image_shape=(16, 16, 3)).image
    assert np.abs(square - square.transpose(0, 2, 1, 3)).mean() > 0.05
    assert np.abs(square[..., 0] - square[..., 1]).mean() > 0.05


def test_each_number_and_each_seed_gives_another_probe_of_the_models_own_kind():
    probes = [probe_of("digits_cvae", 3, *key) for key in ((0, 0), (0, 1), (1, 0))]
    for i, probe in enumerate(probes):
        assert probe.label is not None
        np.testing.assert_array_equal(probe.label.sum(1), np.ones(3))
        assert len(set(probe.label.argmax(1))) == 3
        assert probe.image.min() < -0.3
        for other in probes[:i]:
            assert np.abs(probe.image - other.image).mean() > 0.05
            assert probe.noise is not None
            assert other.noise is not None
            assert np.abs(probe.noise - other.noise).mean() > 0.1
    assert probe_of("digits_ae", 2, 0, 0).noise is None
