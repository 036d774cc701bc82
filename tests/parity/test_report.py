"""A report that fails must say so, and one that proves nothing must not pass."""

import numpy as np
import pytest

from vae_jax.parity.probes import make_probe
from vae_jax.parity.report import Report, Row, compare, summary


def test_an_error_is_relative_to_the_references_largest_magnitude():
    (row,) = compare("s", {"t": np.array([1.0, -4.0])}, {"t": np.array([1.0, -4.4])}, 0.2)
    assert row.error == pytest.approx(0.1)
    assert row.passed


def test_nan_breaks_the_budget():
    (row,) = compare("s", {"t": np.array([1.0])}, {"t": np.array([np.nan])}, 1e9)
    assert not row.passed
    report = Report("title", (Row("s", "fine", 0.0, 1.0), row))
    assert not report.passed
    assert "BROKEN" in report.table()


def test_a_difference_from_zeros_is_infinitely_wrong():
    (row,) = compare("s", {"t": np.zeros(3)}, {"t": np.full(3, 1e-9)}, 1.0)
    assert not row.passed


def test_a_missing_tensor_or_another_shape_cannot_be_compared():
    with pytest.raises(AssertionError, match="differ"):
        compare("s", {"t": np.zeros(1)}, {}, 1.0)
    with pytest.raises(AssertionError, match=r"\(1,\), \(2,\)"):
        compare("s", {"t": np.zeros(1)}, {"t": np.zeros(2)}, 1.0)


def test_a_report_without_rows_does_not_pass():
    assert not Report("title", ()).passed


def test_the_table_shows_the_worst_of_each_stage():
    rows = (Row("a", "x", 1e-9, 1e-6), Row("a", "y", 1e-3, 1e-6), Row("b", "z", 0.0, 1.0))
    table = Report("title", rows).table()
    assert "y" in table
    assert "BROKEN" in table
    assert len(Report("title", rows).worst()) == 2


def test_probes_differ_from_image_to_image_and_are_stored_pixels():
    probe = make_probe((28, 20, 3), 5, 4, seed=1)
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
    square = make_probe((16, 16, 3), None, 2, seed=1).image
    assert np.abs(square - square.transpose(0, 2, 1, 3)).mean() > 0.05
    assert np.abs(square[..., 0] - square[..., 1]).mean() > 0.05


def test_the_summary_has_the_worst_of_each_stage_and_keeps_noise_fed_tensors_apart():
    rows = (
        Row("forward", "x", 1e-9, 1e-6),
        Row("forward", "y", 2e-9, 1e-6),
        Row("losses, 2 steps", "loss at step 1", float("nan"), 1.0),
        Row("losses, 2 steps", "loss at step 2", 0.5, 1.0),
        Row("weights and statistics", "w", 1e-3, 1.0),
        Row("weights and statistics, noise-fed", "b", 3e-1, 1.0),
        Row("exp_avg", "w", 4e-3, 1.0),
    )
    head, line = summary({"tiny": Report("title", rows)}).splitlines()
    assert head.split() == [
        "model", "forward", "gradients", "losses", "weights", "noise-fed", "verdict",
    ]  # fmt: skip
    assert line.split() == ["tiny", "2.0e-09", "nan", "4.0e-03", "3.0e-01", "BROKEN"]
