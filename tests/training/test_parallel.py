"""Whatever shares a run's steps, they are the same steps: one device, a mesh, and pmap agree."""

import pytest

from vae_jax.training.epoch_runner import Options
from vae_jax.training.stopping import StoppedError

from . import tiny
from .ways import ON_SEVERAL, WAYS, assert_near, trained

MESH, MESH_WITH_PARAMETERS, PMAP = ON_SEVERAL


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("one") / "run")


@pytest.mark.parametrize("way", [way if way == MESH else tiny.slow(way) for way in WAYS], ids=str)
def test_every_way_ends_where_one_device_does(tmp_path, way, on_one_device):
    found = trained(tmp_path / "run", way)
    assert_near(found, on_one_device)
    if way[1] == 1:
        assert tiny.bits(found.state) == tiny.bits(on_one_device.state)


@pytest.mark.slow
@pytest.mark.parametrize("way", [MESH, PMAP], ids=str)
def test_batches_that_are_streamed_are_shared_as_those_that_stay_on_the_device(
    tmp_path, way, on_one_device
):
    streamed = trained(tmp_path / "run", way, options=Options(resident=False))
    assert_near(streamed, on_one_device)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [{"reduction": "mean", "clip_norm": 0.5, "epochs": 1}, {"batch_norm_groups": 4}],
    ids=["mean, clipped", "groups"],
)
def test_a_mean_a_clipped_gradient_and_groups_are_over_all_devices(tmp_path, fields):
    expected = trained(tmp_path / "one", **fields)
    for way in (MESH, PMAP):
        assert_near(trained(tmp_path / str(way), way, **fields), expected)


@pytest.mark.slow
@pytest.mark.parametrize("way", [tiny.slow(MESH_WITH_PARAMETERS), PMAP], ids=str)
def test_a_run_stopped_and_resumed_on_the_same_devices_ends_with_the_same_bits(tmp_path, way):
    expected = trained(tmp_path / "whole", way)
    calls = []

    def stop():
        calls.append(1)
        return "SIGTERM" if len(calls) == 2 else None

    with pytest.raises(StoppedError, match="saved at step"):
        trained(tmp_path / "run", way, options=Options(stop=stop))
    found = trained(tmp_path / "run", way, resume=True)
    assert tiny.bits(found.state) == tiny.bits(expected.state)


@pytest.mark.slow
# Each way saves once and restores once.
@pytest.mark.parametrize(
    ("before", "after"),
    [
        tiny.slow(MESH, ("pmap", 2, 1)),
        tiny.slow(PMAP, ("sharded", 2, 2)),
        tiny.slow(MESH_WITH_PARAMETERS, ("jit", 1, 1)),
        (("jit", 1, 1), MESH),
    ],
    ids=str,
)
def test_a_run_goes_on_on_other_devices(tmp_path, before, after, on_one_device):
    trained(tmp_path / "run", before, epochs=1)
    assert_near(trained(tmp_path / "run", after, resume=True), on_one_device)
