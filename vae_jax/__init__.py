"""The variational autoencoders that people learn from, in JAX, with proof that they agree.

The names below are the public interface. They are loaded when first used, so that a program that
needs little of the package starts fast.
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
