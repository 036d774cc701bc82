"""A port against outputs that its reference recorded, where the reference is not installed."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vae_jax.data.pixels import scale_pixels
from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends.flax import heads
from vae_jax.parity.compare import Expected, compare
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.report import Report
from vae_jax.parity.stages import Observation
from vae_jax.parity.tolerances import Tolerances
from vae_jax.typing import Tensors, Variables

OUTPUTS_TOLERANCE = 1e-5


def check_recorded(name: str, variables: Variables, recorded: Tensors, **hyper: Any) -> Report:
    """Compares ``encode`` and ``decode`` in float32 with recorded ones, each head by itself.

    Args:
        name: one of ``vae_jax.MODELS``.
        variables: the imported weights.
        recorded: ``input`` (uint8 [B, H, W, C]) and the reference's outputs for it: ``latent`` or
            ``mean`` and ``std``, and ``image`` decoded from the latent or the mean.
        **hyper: the model's hyperparameters where they differ from the reference's.
    """
    model: Any = create_model(name, **hyper)
    x = scale_pixels(recorded["input"], get_spec(name).pixel_range)

    @jax.jit
    def run(variables, x):
        encoded = model.apply(variables, x, method="encode")
        image = model.apply(variables, encoded.mean, method="decode")
        return {**heads(encoded), "image": image}

    found = {k: np.asarray(v) for k, v in run(variables, x).items()}
    expected = {k: v for k, v in recorded.items() if k != "input"}
    rows = compare(
        iter([Expected("outputs", 0, expected, None)]),
        iter([Observation("outputs", 0, found)]),
        PRECISIONS["float32"],
        Tolerances({"outputs": OUTPUTS_TOLERANCE}, {}),
    )
    return Report(
        f"{name}: the port against its reference's recorded outputs, float32", tuple(rows)
    )
