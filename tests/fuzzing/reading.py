"""What reads each kind of file, as a function of the folder that the file lies in.

Every function of the package that is tried is imported here, when it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .seed_checkpoints import SHAPES

IDX_SHAPE = (4, 5, 1)
PIXELS = (8, 6, 3)


# What a reader may return.


def are_tensors(value: Any) -> bool:
    """Return whether it is names to arrays whose bytes can be had."""
    if type(value) is not dict:
        return False
    for name, array in value.items():
        if type(name) is not str or not isinstance(array, np.ndarray):
            return False
        if array.nbytes < 1 << 20:  # a stride of 0 can make much of little
            array.tobytes()
    return True


def is_adam(value: Any) -> bool:
    """Return whether it is an optimiser's state, or none was there."""
    from vae_jax.convert.optimizer import AdamState

    return value is None or type(value) is AdamState


def are_pixels(value: Any) -> bool:
    """Return whether it is an array of bytes."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.size > 0


# Checkpoints.


def checkpoint(path: Path) -> Any:
    """Read the tensors of a checkpoint of any format."""
    from vae_jax.convert import read_checkpoint

    return read_checkpoint(path)


def model_weights(folder: Path) -> Any:
    """Read the variables of a model that is known by its tensors."""
    from vae_jax.pretrained import load

    return load(folder / "a.safetensors").variables


def torch_adam(folder: Path) -> Any:
    """Read Adam's state in PyTorch's training checkpoint."""
    from vae_jax.convert.errors import reading
    from vae_jax.convert.read import read_as_named, read_root
    from vae_jax.convert.torch.optimizer import find_torch_adam

    path = folder / "a.pth"
    with reading(path):
        names = read_as_named(path, key="model")
        return find_torch_adam(read_root(path), {n: SHAPES[n] for n in names if n in SHAPES})


def paddle_adam(folder: Path) -> Any:
    """Read Adam's state beside Paddle's weights."""
    from vae_jax.convert.paddle.optimizer import find_paddle_adam

    return find_paddle_adam({"": folder / "a.pdparams"}, SHAPES, _recipe())


def tensorflow_adam(folder: Path) -> Any:
    """Read Adam's state among TensorFlow's variables."""
    from vae_jax.convert.tensorflow.optimizer import find_tf_adam

    return find_tf_adam(checkpoint(folder), SHAPES, _recipe())


def _recipe() -> Any:
    from vae_jax.recipe import Recipe

    return Recipe(data="digits", epochs=1, batch_size=1, learning_rate=1e-3)


# Data.


def idx(folder: Path) -> Any:
    """Read the images of IDX files."""
    from vae_jax.data import open_dataset

    return open_dataset(f"idx:{folder}", IDX_SHAPE).train.images


def picture(folder: Path) -> Any:
    """Read the one picture of a folder."""
    from vae_jax.data import open_picture

    (path,) = folder.iterdir()
    return open_picture("the data", path, PIXELS)


def upload(folder: Path) -> Any:
    """Read a picture as a browser sends it."""
    from vae_jax.explore.pictures import read_upload

    (path,) = folder.iterdir()
    return read_upload("a.png", path.read_bytes(), PIXELS)


def stream(folder: Path) -> Any:
    """Read all pictures of a folder of classes."""
    from vae_jax.data import open_dataset

    return open_dataset(f"stream:{folder}", PIXELS).train.images[:]


def attributes(folder: Path) -> Any:
    """Read the attributes of two pictures."""
    from vae_jax.data.attributes import read_attributes

    return read_attributes("the data", folder, ["a/1.png", "b/2.png"])


# Runs, Flax folders and recordings.


def run(folder: Path) -> Any:
    """Read a run's description."""
    from vae_jax.training.run import open_run

    return open_run(folder)


def metrics(folder: Path) -> Any:
    """Read a run's metrics."""
    from vae_jax.training.metrics import read_metrics
    from vae_jax.training.run import Run

    return read_metrics(Run(folder, "digits_ae", {}, _recipe()))


def checkpoint_metadata(folder: Path) -> Any:
    """Read what is stored beside a checkpoint's arrays."""
    from vae_jax.errors import UserError
    from vae_jax.training.metadata import read_metadata

    try:
        return read_metadata(folder)
    except ValueError as error:  # from which a resume makes its own line
        raise UserError(str(error)) from error


def flax_folder(folder: Path) -> Any:
    """Read the variables of a Flax checkpoint folder."""
    from vae_jax.training.checkpoint import load_variables

    return load_variables(folder)[2]


def parity_bundle(folder: Path) -> Any:
    """Read what a parity bundle expects."""
    from vae_jax.parity.recording import read_recording

    about, expected = read_recording(checkpoint(folder / "a.safetensors"), "float32")
    return [about, *expected]


# Texts of the command line and of the explorer.


def images(text: str) -> Any:
    """Parse the numbers of images to train on."""
    from vae_jax.recipe import chosen_images

    return chosen_images(text)


def corruption(text: str) -> Any:
    """Parse the noise for denoising."""
    from vae_jax.recipe import parse_corruption

    return str(parse_corruption(text))


def expression(text: str) -> Any:
    """Parse a sum of groups."""
    from vae_jax.latents import parse_expression

    return parse_expression(text, ["men_g", "women_g", "women_ng"])


def conditions(text: str) -> Any:
    """Choose images by their attributes."""
    from vae_jax.latents import select_images

    columns = {"glasses": np.array(["yes", "no"]), "light": np.array([0.2, np.nan])}
    return select_images(columns, text, "the data")


def group(text: str) -> Any:
    """Parse a group as the command line takes it."""
    from vae_jax.cli.groups import parse_definitions

    return parse_definitions((text,))


def groups(text: str) -> Any:
    """Parse groups as the explorer takes them."""
    from vae_jax.data.dataset import Split, make_dataset
    from vae_jax.explore.groups import parse_lines
    from vae_jax.latents.groups import Groups
    from vae_jax.models import get_spec
    from vae_jax.pretrained import Pretrained

    split = Split(np.zeros((9, 2, 2, 1), np.uint8), np.arange(9, dtype=np.int32) % 3)
    dataset = make_dataset("the data", split, None, ("a", "b", "c"))
    model = Pretrained("digits_vae", {}, {}, get_spec("digits_vae").recipe)
    found = Groups(model, parse_lines(text), lambda: dataset, allow_files=False)
    return {name: found.images(name) for name in found.names}


def hyperparameter(text: str) -> Any:
    """Parse a hyperparameter."""
    from vae_jax.models import get_spec
    from vae_jax.models.hyper import parse_hyperparameters

    name, _, value = text.partition("=")
    return parse_hyperparameters(get_spec("conv_vae"), {name: value})
