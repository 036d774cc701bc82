"""Whatever shares a run's steps, they are the same steps: one device, a mesh, and pmap agree."""

import pytest

from vae_jax.training import whole_epochs
from vae_jax.training.stopping import StoppedError

from . import tiny
from .ways import ON_SEVERAL, WAYS, assert_near, trained


@pytest.fixture(scope="module", params=[True, False], ids=["resident", "streamed"], autouse=True)
def resident(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_epochs, "stays_on_device", lambda *_: request.param)
        yield request.param


@pytest.fixture(scope="module")
def on_one_device(resident, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("one") / "run")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_ends_where_one_device_does(tmp_path, way, on_one_device):
    assert_near(trained(tmp_path / "run", way), on_one_device)


@pytest.mark.parametrize(
    "fields",
    [{"reduction": "mean", "clip_norm": 0.5, "epochs": 1}, {"batch_norm_groups": 4}],
    ids=["mean, clipped", "groups"],
)
def test_a_mean_a_clipped_gradient_and_groups_are_over_all_devices(tmp_path, fields):
    expected = trained(tmp_path / "one", **fields)
    for way in ON_SEVERAL:
        assert_near(trained(tmp_path / str(way), way, **fields), expected)


@pytest.mark.parametrize("way", [("sharded", 8, 2), ("pmap", 4, 1)], ids=str)
def test_a_run_stopped_and_resumed_on_the_same_devices_ends_with_the_same_bits(tmp_path, way):
    expected = trained(tmp_path / "whole", way)
    calls = []

    def stop():
        calls.append(1)
        return "SIGTERM" if len(calls) == 2 else None

    with pytest.raises(StoppedError, match="saved at step"):
        trained(tmp_path / "run", way, stop=stop)
    found = trained(tmp_path / "run", way, resume=True)
    assert tiny.bits(found.state) == tiny.bits(expected.state)
