"""Trains a model 10 steps in one framework, moves the optimiser, and trains 10 in the other.

For each model, in float64: its original takes 10 steps and saves weights and optimiser with its own
functions; the port reads the files as `vae-jax train --init` does and takes steps 11 to 20. And
back: the port's first 10 steps, written as `vae-jax convert --optimizer` does, are continued by a
fresh original with its own loading functions. Prints, as a markdown table, a row a model and
direction: the largest relative difference of the losses of steps 11 to 20 from a run that never
left the first framework. Needs the `test` extra; face_vae takes some minutes:

    python scripts/transfer_optimizer.py digits_ae conv_vae
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vae_jax
from vae_jax.convert.optimizer import export_adam
from vae_jax.convert.training_files import files_with_adam, write_with_adam
from vae_jax.errors import UserError
from vae_jax.models import MODELS, get_spec
from vae_jax.objectives import make_loss
from vae_jax.optim import optimizer_of
from vae_jax.optimizer_transfer import import_optimizer
from vae_jax.parity.backends import create_reference
from vae_jax.parity.probes import probes_of
from vae_jax.recipe import Recipe

STEPS = 10


class Port:
    """This package's side: the model and its Optax state."""

    def __init__(self, name: str, recipe: Recipe, hyper: dict[str, Any]):
        self.name, self.recipe, self.hyper = name, recipe, hyper
        self.optimizer: Any = optimizer_of(recipe)
        self.variables: Any = None
        self.opt_state: Any = None
        loss = make_loss(name, recipe=recipe, **hyper)

        @jax.jit
        def update(variables, opt_state, batch, noise):
            params, stats = variables["params"], variables.get("batch_stats", {})
            gradient = jax.value_and_grad(loss, has_aux=True)
            (value, (_, stats)), grads = gradient(params, stats, batch, noise)
            updates, opt_state = self.optimizer.update(grads, opt_state, params)
            params = jax.tree.map(lambda p, u: p + u, params, updates)
            return {"params": params, "batch_stats": stats}, opt_state, value

        self.update = update

    def start(self, tensors: dict[str, np.ndarray]) -> None:
        """Takes weights alone."""
        self.variables = vae_jax.import_weights(self.name, tensors, **self.hyper)
        self.opt_state = self.optimizer.init(self.variables["params"])

    def load(self, files: Sequence[Path]) -> None:
        """Takes weights and optimiser, as the command line does."""
        spec = get_spec(self.name)
        known = spec.hyperparameters() | self.hyper
        hyper = {field: known[field] for field in spec.reference.undetermined(known)}
        pretrained = vae_jax.load(files, self.name, **hyper)
        found = import_optimizer(pretrained, self.recipe, {})
        assert found is not None
        assert found.recipe == self.recipe
        self.variables, self.opt_state = pretrained.variables, found.opt_state

    def save(self, folder: Path) -> list[Path]:
        """Writes what the original loads."""
        files = [folder / name for name in _NAMES[get_spec(self.name).reference.framework]]
        kept = {k: v for k, v in self.variables.items() if v}
        tensors = vae_jax.export_weights(self.name, kept, **self.hyper)
        adam = export_adam(self.name, self.opt_state, **self.hyper)
        write_with_adam(self.name, files, tensors, adam, self.recipe, 1)
        return files_with_adam(self.name, files)

    def step(self, probe) -> float:
        """One step; its loss."""
        batch = {"image": probe.image} | ({} if probe.label is None else {"label": probe.label})
        self.variables, self.opt_state, loss = self.update(
            self.variables, self.opt_state, batch, probe.noise
        )
        return float(loss)


class Original:
    """A live original with its own functions to save and load; one subclass a framework."""

    def __init__(self, name: str, recipe: Recipe, hyper: dict[str, Any], seed: int = 0):
        self.recipe = recipe
        self.twin = create_reference(name, np.float64, seed=seed, **hyper)

    def step(self, probe) -> float:
        """One step; its loss."""
        return self.twin.step(self.recipe, *probe)["loss"]


class Torch(Original):
    """PyTorch: ``state_dict`` and ``torch.save``."""

    def _parts(self) -> tuple[Any, Any, Any]:
        import torch

        if self.twin.optimizer is None:
            recipe = self.recipe
            self.twin.optimizer = torch.optim.Adam(
                self.twin.model.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.beta1, recipe.beta2),
                eps=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
        return torch, self.twin.model, self.twin.optimizer

    def save(self, folder: Path) -> list[Path]:
        """One file."""
        torch, model, optimizer = self._parts()
        content = {"net": model.state_dict(), "optim": optimizer.state_dict(), "epoch": 1}
        torch.save(content, folder / "checkpoint.pth")
        return [folder / "checkpoint.pth"]

    def load(self, files: Sequence[Path]) -> None:
        """Reads our file."""
        torch, model, optimizer = self._parts()
        content = torch.load(files[0], weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])


class Paddle(Original):
    """Paddle: ``paddle.save`` of each part's ``state_dict`` and of its Adam's."""

    def __init__(self, *args: Any, **options: Any):
        from vae_jax.parity.backends.paddle import paddle

        # Parameters and Adam's state get the names that they have in a process of their own.
        paddle.utils.unique_name.switch()
        super().__init__(*args, **options)

    def save(self, folder: Path) -> list[Path]:
        """The parts' files; the optimisers' lie beside them."""
        from vae_jax.parity.backends.paddle import paddle

        pair = self.twin.save(folder)
        for path, optimizer in zip(pair, self.twin.optimizers, strict=True):
            paddle.save(optimizer.state_dict(), str(path.with_suffix(".pdopt")))
        return list(pair)

    def load(self, files: Sequence[Path]) -> None:
        """Reads our files."""
        from vae_jax.parity.backends.paddle import paddle

        recipe, pair = self.recipe, files[:2]
        for part, path in zip(self.twin.parts.values(), pair, strict=True):
            loaded = paddle.load(str(path), keep_name_table=True)
            names = loaded.pop("StructuredToParameterName@@")
            assert part.set_state_dict(loaded) == ([], [])
            for name, parameter in part.named_parameters():
                parameter.name = names[name]  # in case its layers are of other classes
            scalars = (recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
            adam = paddle.optimizer.Adam(*scalars, parameters=part.parameters())
            adam.set_state_dict(paddle.load(str(path.with_suffix(".pdopt"))))
            self.twin.optimizers.append(adam)


class TensorFlow(Original):
    """TensorFlow 1: a ``Saver`` of all variables."""

    def save(self, folder: Path) -> list[Path]:
        """A checkpoint's prefix."""
        return [Path(self.twin.save(folder / "train", global_step=STEPS))]

    def load(self, files: Sequence[Path]) -> None:
        """Reads our checkpoint."""
        from vae_jax.parity.backends.tensorflow import tf

        with self.twin.graph.as_default():
            prefix = str(files[0].with_suffix(""))
            tf.compat.v1.train.Saver().restore(self.twin.session, prefix)


_ORIGINALS = {"PyTorch": Torch, "Paddle": Paddle, "TensorFlow": TensorFlow}
_NAMES = {
    "PyTorch": ("ours.pth",),
    "Paddle": ("B_encoder_False.pdparams", "B_decoder_False.pdparams"),
    "TensorFlow": ("ours.index",),
}


def transfer(name: str, batch_size: int = 4, **hyper: Any) -> dict[str, float]:
    """The largest relative difference of the losses after a switch, by direction.

    Args:
        name: one of ``vae_jax.MODELS``; JAX must be set to 64 bits.
        batch_size: images a step.
        **hyper: the model's hyperparameters where they differ from the reference's.
    """
    spec = get_spec(name)
    make = _ORIGINALS[spec.reference.framework]
    probes = list(probes_of(name, batch_size, 1, 2 * STEPS, **hyper))
    first, then = probes[:STEPS], probes[STEPS:]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        original = make(name, spec.recipe, hyper)
        start = original.twin.state_dict()
        for probe in first:
            original.step(probe)
        files = original.save(Path(folder))
        stayed = [original.step(probe) for probe in then]
        port = Port(name, spec.recipe, hyper)
        port.load(files)
        switched = [port.step(probe) for probe in then]
        found[f"{spec.reference.framework} to JAX"] = _apart(switched, stayed)

        port.start(start)
        for probe in first:
            port.step(probe)
        files = port.save(Path(folder))
        stayed = [port.step(probe) for probe in then]
        original = make(name, spec.recipe, hyper, seed=9)
        if spec.reference.framework == "TensorFlow":
            original.step(first[0])  # its graph has no optimiser before
        original.load(files)
        switched = [original.step(probe) for probe in then]
        found[f"JAX to {spec.reference.framework}"] = _apart(switched, stayed)
    return found


def _apart(found: list[float], expected: list[float]) -> float:
    return float(np.max(np.abs(np.subtract(found, expected)) / np.abs(expected)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Losses after switching, beside never switching")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument("--batch-size", type=int, default=4, help="default: 4")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    print(f"| model | direction | largest relative difference, steps {STEPS + 1} to {2 * STEPS} |")
    print("|---|---|---|")
    for name in args.models or MODELS:
        for direction, apart in transfer(name, args.batch_size).items():
            print(f"| `{name}` | {direction} | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
