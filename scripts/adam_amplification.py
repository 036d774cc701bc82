"""Shows how Adam magnifies rounding: face_vae's weights after one float64 step, against PyTorch.

Adam's first update is lr g / (|g| + eps), so an error dg of the gradient moves a weight by
lr dg eps / (|g| + eps)^2: nothing where the gradient is large, up to dg lr / eps where it is below
epsilon. For some tensors this prints how many weights differ at all, and for the one that differs
most its gradient, dg, that prediction and what was found. About 20 s on 2 cores; needs `torch`:

    python scripts/adam_amplification.py
"""

import argparse

import numpy as np

from vae_jax.models import get_spec
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.backends.pytorch import TorchReference
from vae_jax.parity.probes import probe_of

NAME = "face_vae"
TENSORS = (
    "encoder.linear1.weight",
    "decoder.decoder_lin.2.weight",
    "encoder.conv2.weight",
    "encoder.conv2.bias",
)


def main() -> None:
    """Print a Markdown table."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=raw).parse_args()
    recipe, probe = get_spec(NAME).recipe, probe_of(NAME, 4, 0, 0)
    reference = TorchReference(NAME, np.float64)
    start = reference.state_dict()
    port = Port(NAME, np.float64, start)
    gradients, found = ({}, {}), ({}, {})
    for i, side in enumerate((reference, port)):
        gradients[i].update(side.backward(*probe)[1])
        side.reset(start)
        side.step(recipe, *probe)
        found[i].update(side.state_dict())
    rate, epsilon = recipe.learning_rate, recipe.epsilon
    print("| tensor | weights | apart by over 1e-15 | worst: gradient | dg | predicted | found |")
    print("|---|---|---|---|---|---|---|")
    for name in TENSORS:
        apart = np.abs(found[0][name] - found[1][name]).reshape(-1)
        # The L2 term joins the gradient before the moments.
        gradient = np.abs(gradients[0][name] + recipe.weight_decay * start[name]).reshape(-1)
        differ = np.abs(gradients[0][name] - gradients[1][name]).reshape(-1)
        worst = int(apart.argmax())
        predicted = rate * differ[worst] * epsilon / (gradient[worst] + epsilon) ** 2
        print(
            f"| `{name}` | {apart.size:,} | {(apart > 1e-15).sum():,} | {gradient[worst]:.1e} "
            f"| {differ[worst]:.1e} | {predicted:.4e} | {apart[worst]:.4e} |"
        )


if __name__ == "__main__":
    main()
