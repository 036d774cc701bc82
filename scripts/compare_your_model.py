"""A worked example of `vae_jax.parity.compare_models`: a port that is not one of the package's.

A small convolutional regressor in PyTorch, its Flax port, and the rules between their tensors. The
comparison prints every stage. With `--flax-batch-norm` the port uses Flax's own batch norm, which
keeps the biased variance: the comparison then says so, and where.

    python scripts/compare_your_model.py
    python scripts/compare_your_model.py --flax-batch-norm
"""

import argparse
import sys

import flax.linen as nn
import numpy as np
import optax
import torch

from vae_jax.layers import BatchNorm
from vae_jax.models import pytorch_rules
from vae_jax.parity import compare_models
from vae_jax.parity.report import Report
from vae_jax.parity.tables import table


class Original(torch.nn.Module):
    """What is ported: images [B, 2, 8, 6] to two numbers."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.bn = torch.nn.BatchNorm2d(6)
        self.out = torch.nn.Linear(6 * 4 * 3, 2)

    def forward(self, x):
        """The predictions [B, 2]."""
        x = torch.nn.functional.leaky_relu(self.bn(self.conv(x)), 0.1)
        return self.out(torch.flatten(x, 1))


class Port(nn.Module):
    """The same in Flax, channels last: images [B, 8, 6, 2] to two numbers."""

    flax_batch_norm: bool = False

    @nn.compact
    def __call__(self, x, *, train=False):
        """The predictions [B, 2]."""
        x = nn.Conv(6, (3, 3), strides=2, padding=1, name="conv")(x)
        if self.flax_batch_norm:
            x = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name="bn")(x)
        else:
            x = BatchNorm(name="bn")(x, train=train)
        x = nn.leaky_relu(x, 0.1)
        return nn.Dense(2, name="out")(x.reshape(len(x), -1))


def compare(flax_batch_norm: bool = False, precision: str = "float64") -> Report:
    """The report of the comparison."""
    torch.manual_seed(0)
    model = Port(flax_batch_norm)
    rules = (
        *pytorch_rules.conv("conv", ("conv",)),
        # PyTorch counts batches too; neither Flax's batch norm nor the outputs need that.
        *pytorch_rules.batch_norm("bn", ("bn",))[: 4 if flax_batch_norm else 5],
        *pytorch_rules.linear("out", ("out",), flat_input=(6, 4, 3)),
    )
    rng = np.random.default_rng(0)
    batches = [(rng.random((4, 8, 6, 2)), rng.random((4, 2))) for _ in range(11)]

    def reference_forward(module, x, y):
        return {"prediction": module(x.permute(0, 3, 1, 2))}

    def forward(variables, x, y):
        return {"prediction": model.apply(variables, x)}

    def reference_loss(module, x, y):
        return {"squared error": ((module(x.permute(0, 3, 1, 2)) - y) ** 2).sum()}

    def loss(variables, x, y):
        found, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return {"squared error": ((found - y) ** 2).sum()}, updates["batch_stats"]

    return compare_models(
        Original(),
        model,
        rules,
        batches,
        reference_forward=reference_forward,
        forward=forward,
        reference_loss=reference_loss,
        loss=loss,
        reference_optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        optimizer=optax.sgd(0.01, momentum=0.9),
        precision=precision,
        zero_gradient_tensors=("conv.bias", "bn.running_mean"),
        ignored=("bn.num_batches_tracked",) if flax_batch_norm else (),
    )


def main() -> None:
    """Prints the report; the exit status is 1 where the port differs."""
    parser = argparse.ArgumentParser(description="Checks a port of one's own.")
    parser.add_argument("--flax-batch-norm", action="store_true")
    parser.add_argument("--precision", default="float64")
    args = parser.parse_args()
    report = compare(args.flax_batch_norm, args.precision)
    print(table(report))
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
