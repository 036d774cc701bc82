"""The variational autoencoders that people learn from, in JAX, with proof that they agree.

The names below are the public interface. They are loaded when first used, so that a program that
needs little of the package starts fast.

Load a checkpoint, here PyTorch's own file of the autoencoder of digits, and use it:

    >>> from importlib.resources import files
    >>> import jax, numpy as np, vae_jax
    >>> path = files("vae_jax") / "assets" / "AEdigits.pt"
    >>> pretrained = vae_jax.load(path)
    >>> images = np.zeros((2, 28, 28, 1), np.uint8)
    >>> posterior = pretrained.encode(images)
    >>> pretrained.decode(posterior.mean).shape, pretrained.reconstruct(images).shape
    ((2, 28, 28, 1), (2, 28, 28, 1))
    >>> vae_jax.evaluate(pretrained, images).num_images
    2

The same by its parts, and back to a file:

    >>> tensors = vae_jax.read_checkpoint(path)
    >>> list(tensors)[:2]
    ['common.weight', 'common.bias']
    >>> variables = vae_jax.import_weights("digits_ae", tensors)
    >>> model = vae_jax.create_model("digits_ae")
    >>> z = model.apply(variables, np.zeros((2, 28, 28, 1), np.float32), method="encode").mean
    >>> model.apply(variables, z, method="decode").shape
    (2, 28, 28, 1)
    >>> exported = vae_jax.export_weights("digits_ae", variables)
    >>> all(exported[name].tobytes() == tensors[name].tobytes() for name in tensors)
    True

A step of your own training loop; ``vae_jax.train`` is the package's:

    >>> import optax
    >>> loss = vae_jax.make_loss("digits_ae")
    >>> optimizer = vae_jax.make_optimizer("digits_ae")
    >>> batch = {"image": np.zeros((2, 28, 28, 1), np.float32)}
    >>> gradient = jax.grad(loss, has_aux=True)
    >>> grads, (metrics, _) = gradient(variables["params"], {}, batch, None)
    >>> updates, _ = optimizer.update(grads, optimizer.init(variables["params"]))
    >>> params = optax.apply_updates(variables["params"], updates)
    >>> sorted(metrics)
    ['loss', 'reconstruction']
"""

from typing import TYPE_CHECKING

from vae_jax.version import __version__ as __version__

if TYPE_CHECKING:
    from vae_jax import parity as parity
    from vae_jax.convert import export_weights as export_weights
    from vae_jax.convert import import_weights as import_weights
    from vae_jax.convert import read_checkpoint as read_checkpoint
    from vae_jax.convert import write_checkpoint as write_checkpoint
    from vae_jax.data import open_dataset as open_dataset
    from vae_jax.errors import CheckpointError as CheckpointError
    from vae_jax.evaluation import evaluate as evaluate
    from vae_jax.models import MODELS as MODELS
    from vae_jax.models import create_model as create_model
    from vae_jax.objectives import make_loss as make_loss
    from vae_jax.optim import make_optimizer as make_optimizer
    from vae_jax.pretrained import Pretrained as Pretrained
    from vae_jax.pretrained import load as load
    from vae_jax.training.loop import train as train

_HOMES = {
    "MODELS": "models",
    "create_model": "models",
    "load": "pretrained",
    "Pretrained": "pretrained",
    "read_checkpoint": "convert",
    "import_weights": "convert",
    "export_weights": "convert",
    "write_checkpoint": "convert",
    "make_loss": "objectives",
    "make_optimizer": "optim",
    "train": "training.loop",
    "evaluate": "evaluation",
    "open_dataset": "data",
    "CheckpointError": "errors",
    "parity": "parity",  # a module: vae_jax.parity.compare_models
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'vae_jax' has no attribute {name!r}")
    import importlib

    home = importlib.import_module(f"vae_jax.{_HOMES[name]}")
    value = home if name == _HOMES[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
