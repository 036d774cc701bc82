"""Projections: what principal components and t-SNE keep."""

import sys

import numpy as np
import pytest

from vae_jax.errors import MissingExtraError, UserError
from vae_jax.latents import principal_components, tsne


def cloud(count=40, size=6, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, size), np.float32) * 2.0 ** np.arange(size)[None] + 3


def test_all_components_turn_the_points_and_explain_everything():
    points = cloud().astype(np.float64)
    found = principal_components(points, 6)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(6), atol=1e-12)
    back = found.coordinates @ found.axes + points.mean(axis=0, keepdims=True)
    np.testing.assert_allclose(back, points, atol=1e-9)
    assert found.explained_fraction.sum() == pytest.approx(1)
    assert (np.diff(found.explained_fraction) <= 0).all()


def test_the_components_are_scikit_learns_up_to_sign():
    from sklearn.decomposition import PCA

    points = cloud(seed=1).astype(np.float64)
    found, reference = principal_components(points), PCA(2).fit(points)
    signs = np.sign((found.axes * reference.components_).sum(axis=1))
    np.testing.assert_allclose(found.axes, reference.components_ * signs[:, None], atol=1e-9)
    np.testing.assert_allclose(found.explained_fraction, reference.explained_variance_ratio_)
    expected = reference.transform(points) * signs[None]
    np.testing.assert_allclose(found.coordinates, expected, atol=1e-9)


def test_single_precision_points_are_projected_in_double():
    found = principal_components(cloud())
    assert {array.dtype for array in found} == {np.dtype(np.float64)}


def test_the_sign_does_not_depend_on_the_order_of_the_points():
    points = cloud().astype(np.float64)
    first, second = principal_components(points), principal_components(points[::-1])
    np.testing.assert_allclose(first.axes, second.axes, atol=1e-9)
    assert (np.take_along_axis(first.axes, abs(first.axes).argmax(1)[:, None], 1) > 0).all()


def test_points_all_alike_have_no_variance_to_explain():
    found = principal_components(np.ones((4, 3)))
    np.testing.assert_array_equal(found.explained_fraction, [0, 0])
    np.testing.assert_array_equal(found.coordinates, np.zeros((4, 2)))


@pytest.mark.parametrize(("points", "count"), [(np.ones((1, 3)), 2), (np.ones((4, 1)), 2)])
def test_more_components_than_there_are_is_refused(points, count):
    with pytest.raises(UserError, match=r"2 principal components of . points of . latents"):
        principal_components(points, count)


def test_encodings_that_are_not_finite_are_counted():
    points = cloud()
    points[3, 2], points[7] = np.nan, np.inf
    for project in (principal_components, tsne):
        with pytest.raises(UserError, match="2 of 40 encodings are not finite"):
            project(points)


@pytest.mark.slow
def test_tsne_keeps_clusters_apart_and_repeats_itself():
    points = np.concatenate([cloud(12, seed=2), cloud(12, seed=3) + 500])
    import threadpoolctl  # which comes with scikit-learn

    with threadpoolctl.threadpool_limits(1):  # of so few points threads do nothing but wait
        found, again = tsne(points, seed=4), tsne(points, seed=4)
    assert found.shape == (24, 2)
    distance = np.linalg.norm(found[:, None] - found[None], axis=-1)
    inside = max(distance[:12, :12].max(), distance[12:, 12:].max())
    assert distance[:12, 12:].min() > inside / 2
    np.testing.assert_array_equal(found, again)


def test_tsne_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match=r"t-SNE needs scikit-learn.*vae-jax\[workbench\]"):
        tsne(cloud())
