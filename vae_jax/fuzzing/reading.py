"""What reads each kind of file, as a function of the folder that the file lies in, and what a
reader may return. Each imports what it tests when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.errors import UserError
from vae_jax.fuzzing import seeds

IDX_SHAPE = (4, 5, 1)
PIXELS = (8, 6, 3)


def are_tensors(value: Any) -> bool:
    """Whether it is names to arrays whose bytes can be had."""
    if type(value) is not dict:
        return False
    for name, array in value.items():
        if type(name) is not str or not isinstance(array, np.ndarray):
            return False
        if array.nbytes < 1 << 20:  # a stride of 0 can make much of little
            array.tobytes()
    return True


def checkpoint(path: Path) -> Any:
    """A checkpoint of any format."""
    from vae_jax.convert.read import read_checkpoint

    return read_checkpoint(path)


def weights(folder: Path) -> Any:
    """The variables of a model that is told by its tensors."""
    from vae_jax.cli.trained import load_trained

    return load_trained(str(folder / "a.safetensors")).variables


def torch_adam(folder: Path) -> Any:
    """Adam's state in PyTorch's training checkpoint."""
    from vae_jax.convert.errors import reading
    from vae_jax.convert.read import read_as_named, read_root
    from vae_jax.convert.torch.optimizer import find_torch_adam

    path = folder / "a.pth"
    with reading(path):
        names = read_as_named(path, key="model")
        shapes = {name: seeds.SHAPES[name] for name in names if name in seeds.SHAPES}
        return find_torch_adam(read_root(path), shapes)


def paddle_adam(folder: Path) -> Any:
    """Adam's state beside Paddle's weights."""
    from vae_jax.convert.paddle.optimizer import find_paddle_adam

    return find_paddle_adam({"": folder / "a.pdparams"}, seeds.SHAPES, seeds.RECIPE)


def tensorflow_adam(folder: Path) -> Any:
    """Adam's state among TensorFlow's variables."""
    from vae_jax.convert.tensorflow.optimizer import find_tf_adam

    return find_tf_adam(checkpoint(folder), seeds.SHAPES, seeds.RECIPE)


def is_adam(value: Any) -> bool:
    """Whether it is an optimiser's state, or none was there."""
    return value is None or type(value) is type(seeds.ADAM)


def idx(folder: Path) -> Any:
    """The images of IDX files."""
    from vae_jax.data import open_dataset

    return open_dataset(f"idx:{folder}", IDX_SHAPE).train.images


def is_images(value: Any) -> bool:
    """Whether it is bytes of pixels."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.size > 0


def picture(folder: Path) -> Any:
    """The one picture of a folder."""
    from vae_jax.data import open_picture

    (path,) = folder.iterdir()
    return open_picture("the data", path, PIXELS)


def upload(folder: Path) -> Any:
    """A picture as a browser sends it."""
    from vae_jax.explore.pictures import read_upload

    (path,) = folder.iterdir()
    return read_upload("a.png", path.read_bytes(), PIXELS)


def folder(folder: Path) -> Any:
    """All pictures of a folder of classes."""
    from vae_jax.data import open_dataset

    return open_dataset(f"stream:{folder}", PIXELS).train.images[:]


def attributes(folder: Path) -> Any:
    """The attributes of two pictures."""
    from vae_jax.data.attributes import read_attributes

    return read_attributes("the data", folder, ["a/1.png", "b/2.png"])


def bundle(folder: Path) -> Any:
    """What a parity bundle expects."""
    from vae_jax.parity.recording import read_recording

    about, expected = read_recording(checkpoint(folder / "a.safetensors"), "float32")
    return [about, *expected]


def run(folder: Path) -> Any:
    """A run's description."""
    from vae_jax.training.run import open_run

    return open_run(folder)


def metrics(folder: Path) -> Any:
    """A run's metrics."""
    from vae_jax.training.metrics import read_metrics
    from vae_jax.training.run import Run

    return read_metrics(Run(folder, "digits_ae", {}, seeds.RECIPE))


def description(folder: Path) -> Any:
    """What lies beside a checkpoint's arrays."""
    from vae_jax.training.description import read_description

    try:
        return read_description(folder)
    except ValueError as error:  # from which a resume makes its own line
        raise UserError(str(error)) from error


def flax(folder: Path) -> Any:
    """The variables of a Flax checkpoint folder."""
    from vae_jax.training.checkpoint import load_variables

    return load_variables(folder)[2]


def as_reader(parse: Callable[[str], Any]) -> Callable[[Path], Any]:
    """A parser of texts as a reader; what is not UTF-8 comes as the command line passes it."""
    return lambda folder: parse((folder / "text").read_bytes().decode("utf-8", "surrogateescape"))


def chosen_images(text: str) -> Any:
    """Image numbers."""
    from vae_jax.recipe import chosen_images

    return chosen_images(text)


def corruption(text: str) -> Any:
    """Noise for denoising."""
    from vae_jax.recipe import parse_corruption

    return str(parse_corruption(text))


def expression(text: str) -> Any:
    """A sum of groups."""
    from vae_jax.latents import parse_expression

    return parse_expression(text, ["men_g", "women_g", "women_ng"])


def conditions(text: str) -> Any:
    """Images chosen by their attributes."""
    from vae_jax.latents import select_images

    columns = {"glasses": np.array(["yes", "no"]), "light": np.array([0.2, np.nan])}
    return select_images(columns, text, "the data")


def definition(text: str) -> Any:
    """A group as the command line takes it."""
    from vae_jax.cli.groups import parse_definitions

    return parse_definitions((text,))


def groups(text: str) -> Any:
    """Groups as the explorer takes them."""
    from vae_jax.data.dataset import Split, make_dataset
    from vae_jax.explore.groups import parse_groups

    split = Split(np.zeros((9, 2, 2, 1), np.uint8), np.arange(9, dtype=np.int32) % 3)
    return parse_groups(text, make_dataset("the data", split, None, ("a", "b", "c")))


def hyper(text: str) -> Any:
    """A hyperparameter as text."""
    from vae_jax.models import get_spec
    from vae_jax.models.hyper import canonical

    name, _, value = text.partition("=")
    return canonical(get_spec("conv_vae"), {name: value})
