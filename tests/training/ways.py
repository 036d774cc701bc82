"""The ways in which devices share a run, and runs that must end alike."""

import jax
import numpy as np
import pytest

from vae_jax.training import loop
from vae_jax.training.devices import make_parallel

from . import tiny

WAYS = [("sharded", 1, 1), ("sharded", 4, 1), ("sharded", 8, 2), ("pmap", 1, 1), ("pmap", 4, 1)]
ON_SEVERAL = [way for way in WAYS if way[1] > 1]


def trained(path, way=("jit", 1, 1), **fields):
    """22 images in batches of 6, which 4 and 8 devices share with padding; the last has 4.

    With a large epsilon Adam does not magnify rounding, and its steps grow with the gradient.
    """
    options = {name: fields.pop(name) for name in ("resume", "options") if name in fields}
    run = tiny.run_of(path, "tiny_vae", **({"batch_size": 6, "epsilon": 1.0} | fields))
    return loop.train(run, tiny.dataset_of(), parallel=make_parallel(*way), **options)


def assert_near(found, expected):
    for one, other in zip(*map(jax.tree.leaves, (found.state, expected.state)), strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert np.abs(one - other).max() <= 5e-5 * np.abs(other).max()
    for one, other in zip(found.epochs, expected.epochs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-6)
