"""The table of everything that reads bytes from outside. A new reader is one more line."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.fuzzing import reading, seed_folders, seeds, words
from vae_jax.fuzzing.seeds import Case


@dataclasses.dataclass(frozen=True)
class Reader:
    """What reads a kind of file, and real files of that kind.

    Attributes:
        seeds: makes real files; each case is files that belong together.
        read: reads a case from the folder that it lies in.
        is_right: whether what came back is what such a reader returns.
        container: of the files, in ``CONTAINERS``; "" for none.
        words: what the format is made of.
        share: of the inputs, for a slow reader less than 1.
        needs: the framework that it is read through; "" for none.
    """

    seeds: Callable[[], Sequence[Case]]
    read: Callable[[Path], Any]
    is_right: Callable[[Any], bool]
    container: str = ""
    words: tuple[bytes, ...] = ()
    share: float = 1.0
    needs: str = ""


def _texts(*examples: str) -> Callable[[], list[Case]]:
    return lambda: [{"text": example.encode()} for example in examples]


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _files(name: str) -> Callable[[], list[Case]]:
    return lambda: [seeds.checkpoint_files(name)]


def _small_weights() -> list[Case]:
    return [seeds.checkpoint_files("a.safetensors", seed_folders.small_model())]


def _saved_by_torch(**options: Any) -> Callable[[], list[Case]]:
    def make() -> list[Case]:
        values = (seeds.TENSORS, seeds.torch_training())
        return [{"a.pth": seeds.saved_by_torch(value, **options)} for value in values]

    return make


def _at(name: str) -> Callable[[Path], Any]:
    return lambda folder: reading.checkpoint(folder / name)


def _picture_reader(suffix: str, *modes: str, **options: Any) -> Reader:
    container = "png" if suffix == ".png" else ""
    make: Callable[[], list[Case]] = lambda: seed_folders.pictures(suffix, *modes, **options)  # noqa: E731
    return Reader(make, reading.picture, reading.is_images, container, words.PICTURES)


READERS: Mapping[str, Reader] = {
    "torch zip": Reader(_saved_by_torch(), _at("a.pth"), reading.are_tensors, "zip", words.PICKLE),
    "torch legacy": Reader(
        _saved_by_torch(_use_new_zipfile_serialization=False),
        _at("a.pth"),
        reading.are_tensors,
        words=words.PICKLE,
    ),
    "torchscript": Reader(
        lambda: [{"a.pt": seeds.scripted()}], _at("a.pt"), reading.are_tensors, "zip", words.PICKLE
    ),
    "safetensors": Reader(
        _files("a.safetensors"),
        _at("a.safetensors"),
        reading.are_tensors,
        "safetensors",
        words.JSON,
    ),
    "paddle": Reader(
        seeds.saved_by_paddle, _at("a.pdparams"), reading.are_tensors, words=words.PICKLE
    ),
    "tensorflow": Reader(
        seeds.saved_by_tensorflow,
        reading.checkpoint,
        reading.are_tensors,
        share=0.5,
        needs="tensorflow",
    ),
    "torch optimiser": Reader(
        lambda: [{"a.pth": seeds.saved_by_torch(seeds.torch_training())}],
        reading.torch_adam,
        reading.is_adam,
        "zip",
        words.PICKLE,
    ),
    "paddle optimiser": Reader(
        seeds.paddle_training, reading.paddle_adam, reading.is_adam, words=words.PICKLE
    ),
    "tensorflow optimiser": Reader(
        seeds.saved_by_tensorflow,
        reading.tensorflow_adam,
        reading.is_adam,
        share=0.25,
        needs="tensorflow",
    ),
    "weights of a model": Reader(
        _small_weights, reading.weights, _is(dict), "safetensors", words.JSON, share=0.2
    ),
    "idx": Reader(lambda: [seed_folders.idx_folder()], reading.idx, reading.is_images),
    "idx gzip": Reader(
        lambda: [seed_folders.idx_folder(gzip.compress, ".gz")],
        reading.idx,
        reading.is_images,
        "gzip",
    ),
    "png": _picture_reader(".png", "1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": _picture_reader(".jpg", "L", "RGB", "CMYK", exif=seed_folders.ORIENTATION),
    "gif": _picture_reader(".gif", "1", "L", "P"),
    "bmp": _picture_reader(".bmp", "1", "L", "P", "RGB"),
    "webp": _picture_reader(".webp", "RGB", "RGBA"),
    "tiff": _picture_reader(".tif", "1", "L", "LA", "P", "RGB", "CMYK", "F", "I;16", "YCbCr"),
    "tiff compressed": _picture_reader(".tif", "L", "RGB", compression="tiff_lzw"),
    "ppm": _picture_reader(".ppm", "1", "L", "RGB", "I"),
    "upload": Reader(
        lambda: seed_folders.pictures(".png", "RGB"),
        reading.upload,
        reading.is_images,
        "png",
        share=0.5,
    ),
    "folder": Reader(
        seed_folders.folder, reading.folder, reading.is_images, words=words.CSV, share=0.1
    ),
    "attributes": Reader(seed_folders.attributes, reading.attributes, _is(dict), words=words.CSV),
    "parity bundle": Reader(
        seed_folders.bundle, reading.bundle, _is(list), "arrays", words.JSON, share=0.3
    ),
    "run.json": Reader(
        seed_folders.run_json, reading.run, lambda run: run.recipe.epochs >= 0, words=words.JSON
    ),
    "metrics.jsonl": Reader(
        seed_folders.metrics,
        reading.metrics,
        lambda lines: all(type(n) is dict for n in lines),
        words=words.JSON,
    ),
    "checkpoint description": Reader(
        seed_folders.description, reading.description, _is(dict), words=words.JSON
    ),
    "flax folder": Reader(
        seed_folders.flax_folder, reading.flax, _is(dict), words=words.JSON, share=0.05
    ),
    "images": Reader(
        _texts("all", "5,25"), reading.as_reader(reading.chosen_images), lambda n: True
    ),
    "corruption": Reader(
        _texts("gaussian:0.3", "mask:0.5", "none"), reading.as_reader(reading.corruption), _is(str)
    ),
    "expression": Reader(
        _texts("men_g - women_g + women_ng", "2*(men_g - women_g)/4.5e1 + women_ng"),
        reading.as_reader(reading.expression),
        _is(dict),
        words=words.EXPRESSION,
    ),
    "conditions": Reader(
        _texts("glasses=yes,light=0.1..1"),
        reading.as_reader(reading.conditions),
        _is(np.ndarray),
        words=words.CSV,
    ),
    "group": Reader(
        _texts("men=0,3,-5", "a=b.png,c/"), reading.as_reader(reading.definition), _is(dict)
    ),
    "groups": Reader(
        _texts("men = 0, 3, -5\nwomen = attr:class=a\n"),
        reading.as_reader(reading.groups),
        _is(dict),
        words=words.CSV,
    ),
    "hyperparameter": Reader(
        _texts("image_shape=64x48x3", "widths=32,64", "likelihood=bernoulli"),
        reading.as_reader(reading.hyper),
        _is(dict),
    ),
}
"""Name to reader."""
