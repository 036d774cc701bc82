"""The table of everything that reads bytes from outside. A new reader is one more line."""

from __future__ import annotations

import dataclasses
import functools
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import reading, seed_checkpoints, seed_data, words
from .seed_checkpoints import Case


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
        needs: the framework that makes or reads the files; "" for none.
    """

    seeds: Callable[[], Sequence[Case]]
    read: Callable[[Path], Any]
    is_right: Callable[[Any], bool]
    container: str = ""
    words: tuple[bytes, ...] = ()
    share: float = 1.0
    needs: str = ""


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


_torch = functools.partial(Reader, words=words.PICKLE, needs="torch")
_tensorflow = functools.partial(Reader, seeds=seed_checkpoints.tensorflow_files, needs="tensorflow")


def _at(name: str) -> Callable[[Path], Any]:
    return lambda folder: reading.checkpoint(folder / name)


def _pictures(suffix: str, *modes: str, **options: Any) -> Reader:
    seeds = functools.partial(seed_data.pictures, suffix, *modes, **options)
    container = "png" if suffix == ".png" else ""
    return Reader(seeds, reading.picture, reading.are_pixels, container, words.PICTURES)


def _texts(
    parse: Callable[[str], Any],
    kind: type,
    *examples: str,
    words: tuple[bytes, ...] = (),
) -> Reader:
    def read(folder: Path) -> Any:
        # What is not UTF-8 comes as the command line passes it.
        return parse((folder / "text").read_bytes().decode("utf-8", "surrogateescape"))

    cases = [{"text": example.encode()} for example in examples]
    return Reader(lambda: cases, read, _is(kind), words=words)


READERS: Mapping[str, Reader] = {
    "torch zip": _torch(
        seed_checkpoints.torch_files, _at("a.pth"), reading.are_tensors, container="zip"
    ),
    "torch legacy": _torch(
        functools.partial(seed_checkpoints.torch_files, _use_new_zipfile_serialization=False),
        _at("a.pth"),
        reading.are_tensors,
    ),
    "torchscript": _torch(
        seed_checkpoints.torchscript, _at("a.pt"), reading.are_tensors, container="zip"
    ),
    "torch optimiser": _torch(
        seed_checkpoints.torch_training, reading.torch_adam, reading.is_adam, container="zip"
    ),
    "safetensors": Reader(
        lambda: seed_checkpoints.written("a.safetensors"),
        _at("a.safetensors"),
        reading.are_tensors,
        "safetensors",
        words.JSON,
    ),
    "shards": Reader(
        seed_checkpoints.shards, _at("a.index.json"), reading.are_tensors, words=words.JSON
    ),
    "npz": Reader(seed_checkpoints.npz_files, _at("a.npz"), reading.are_tensors, "zip"),
    "paddle": Reader(
        seed_checkpoints.paddle_files,
        _at("a.pdparams"),
        reading.are_tensors,
        words=words.PICKLE,
    ),
    "paddle optimiser": Reader(
        seed_checkpoints.paddle_training, reading.paddle_adam, reading.is_adam, words=words.PICKLE
    ),
    "tensorflow": _tensorflow(read=reading.checkpoint, is_right=reading.are_tensors, share=0.5),
    "tensorflow optimiser": _tensorflow(
        read=reading.tensorflow_adam, is_right=reading.is_adam, share=0.25
    ),
    "weights of a model": Reader(
        seed_data.model_weights,
        reading.model_weights,
        _is(dict),
        "safetensors",
        words.JSON,
        share=0.2,
    ),
    "idx": Reader(seed_data.idx_folder, reading.idx, reading.are_pixels),
    "idx gzip": Reader(
        lambda: seed_data.idx_folder(gzip.compress, ".gz"), reading.idx, reading.are_pixels, "gzip"
    ),
    "png": _pictures(".png", "1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": _pictures(".jpg", "L", "RGB", "CMYK", exif=seed_data.ORIENTATION),
    "gif": _pictures(".gif", "1", "L", "P"),
    "bmp": _pictures(".bmp", "1", "L", "P", "RGB"),
    "webp": _pictures(".webp", "RGB", "RGBA"),
    "tiff": _pictures(".tif", "1", "L", "LA", "P", "RGB", "CMYK", "I;16", "YCbCr"),
    "tiff compressed": _pictures(".tif", "L", "RGB", compression="tiff_lzw"),
    "ppm": _pictures(".ppm", "1", "L", "RGB", "I"),
    "upload": dataclasses.replace(_pictures(".png", "RGB"), read=reading.upload, share=0.5),
    "folder": Reader(
        seed_data.folder, reading.stream, reading.are_pixels, words=words.CSV, share=0.1
    ),
    "attributes": Reader(seed_data.attributes, reading.attributes, _is(dict), words=words.CSV),
    "parity bundle": Reader(
        seed_data.parity_bundle, reading.parity_bundle, _is(list), "arrays", words.JSON, share=0.3
    ),
    "run.json": Reader(
        seed_data.run_json, reading.run, lambda run: run.recipe.epochs >= 0, words=words.JSON
    ),
    "metrics.jsonl": Reader(
        seed_data.metrics,
        reading.metrics,
        lambda lines: all(type(line) is dict for line in lines),
        words=words.JSON,
    ),
    "checkpoint metadata": Reader(
        seed_data.checkpoint_metadata, reading.checkpoint_metadata, _is(dict), words=words.JSON
    ),
    "flax folder": Reader(
        seed_data.flax_folder, reading.flax_folder, _is(dict), words=words.JSON, share=0.05
    ),
    "images": _texts(reading.images, object, "all", "5,25"),
    "corruption": _texts(reading.corruption, str, "gaussian:0.3", "mask:0.5", "none"),
    "expression": _texts(
        reading.expression,
        dict,
        "men_g - women_g + women_ng",
        "2*(men_g - women_g)/4.5e1 + women_ng",
        words=words.EXPRESSION,
    ),
    "conditions": _texts(
        reading.conditions, np.ndarray, "glasses=yes,light=0.1..1", words=words.CSV
    ),
    "group": _texts(reading.group, dict, "men=0,3,-5", "a=b.png,c/"),
    "groups": _texts(
        reading.groups, dict, "men = 0, 3, -5\nwomen = attr:class=a\n", words=words.CSV
    ),
    "hyperparameter": _texts(
        reading.hyperparameter, dict, "image_shape=64x48x3", "widths=32,64", "likelihood=bernoulli"
    ),
}
"""Name to reader."""


@functools.cache
def real_cases(name: str) -> list[Case]:
    """Return the real files of a reader, made once."""
    return list(READERS[name].seeds())
