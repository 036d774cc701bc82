"""Read prepared data sets of tensorflow-datasets (TFDS) without TensorFlow and network.

This needs data prepared as ``array_record``. Preparing them (downloading, shuffling, writing) needs
both, and is left to a TFDS command that the error message states.
https://www.tensorflow.org/datasets/data_source
"""

from __future__ import annotations

import io
import os
import pathlib
import re
from typing import Any

import numpy as np

from vae_jax.data.colours import upright
from vae_jax.data.dataset import Dataset, Split, make_dataset, require_shape
from vae_jax.data.picture import opened_picture
from vae_jax.errors import DataError
from vae_jax.files import require_local

CHUNK = 1024
VERSION = re.compile(r"\d+\.\d+\.\d+")


def open_tfds(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Open a prepared TFDS data set that has the features ``image`` and ``label``.

    Like TFDS, it looks in ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``. The held-out images are
    the split ``test``, or else ``validation``.

    Args:
        source: the source as the user gave it, for error messages.
        place: TFDS's name for the set: "mnist", "NAME/CONFIG", and with ":VERSION" if not the
            newest that is prepared.
        image_shape: the model's (height, width, channels).

    Raises:
        DataError: if the set is not prepared (the message says how to), or holds other images.
    """
    folder = _find_prepared(source, place)
    builder = _open_builder(source, place, folder)
    splits, features = builder.info.splits, builder.info.features
    feature_names = sorted(getattr(features, "keys", list)())  # it may be another type
    if not {"image", "label"} <= set(feature_names) or "train" not in splits:
        raise DataError(
            f"{source}: the set has the features {feature_names} and the splits"
            f" {sorted(splits)}: expected `image`, `label` and a split `train`"
        )
    require_shape(source, features["image"].shape, image_shape)
    names = getattr(features["label"], "names", None)
    if names is None or features["image"].np_dtype != np.uint8:
        raise DataError(
            f"{source}: found image={features['image']} and label={features['label']}:"
            " expected an image of bytes and a class label"
        )

    train = _read_split(source, builder, "train", image_shape)
    held_out = next((name for name in ("test", "validation") if name in splits), None)
    test = None if held_out is None else _read_split(source, builder, held_out, image_shape)
    return make_dataset(source, train, test, tuple(names))


def _find_prepared(source: str, place: str) -> pathlib.Path:
    """Find the folder of a prepared version.

    For a set that is not prepared, ``tfds.builder(NAME)`` would retry the network for minutes.
    """
    name, _, version = place.partition(":")
    root = _data_dir()
    if not re.fullmatch(r"\w+(/[\w.-]+)*(:\d+\.\d+\.\d+)?", place, re.ASCII) or ".." in place:
        raise DataError(f"{source}: {place!r} is not a TFDS name: expected one like tfds:mnist")
    found = (root / name).glob(f"{version or '*'}/dataset_info.json")
    # An unfinished preparation is in a folder "incomplete.XXXXXX_1.0.0".
    infos = sorted((i for i in found if VERSION.fullmatch(i.parent.name)), key=_version_of)
    if not infos:
        configs = sorted(p.parent.parent.name for p in (root / name).glob("*/*/dataset_info.json"))
        if configs:
            raise DataError(
                f"{source}: the set has configurations: try tfds:{name}/{configs[0]}"
                f" (prepared: {', '.join(dict.fromkeys(configs))})"
            )
        raise DataError(f"{source}: not prepared in {root}: {_how_to_prepare(place)}")
    return infos[-1].parent


def _version_of(info: pathlib.Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", info.parent.name))


def _data_dir() -> pathlib.Path:
    folder = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    require_local(folder)
    return pathlib.Path(folder).expanduser()


def _how_to_prepare(place: str) -> str:
    # ``tfds build`` would also need apache_beam.
    return (
        "run, where there is a network, pip install 'vae-jax[tensorflow]' and then python -c"
        f" \"import tensorflow_datasets as tfds; tfds.builder('{place}', data_dir='{_data_dir()}',"
        " file_format='array_record').download_and_prepare()\" (the folder may be copied here"
        " from another machine); idx:DIR and digits need no preparation"
    )


def _open_builder(source: str, place: str, folder: pathlib.Path) -> Any:
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(str(folder))
    except ImportError as error:
        raise DataError(
            f"{source}: tensorflow-datasets does not import ({error}):"
            " pip install 'tensorflow-datasets>=4.9.9' importlib_resources array_record"
        ) from error
    except Exception as error:  # TFDS raises whatever its parsers raise
        raise DataError(
            f"{source}: {folder} is damaged ({_one_line(error)}): delete it and prepare it again"
        ) from error
    file_format = builder.info.file_format
    if file_format is None or file_format.value != "array_record":
        found = "an unknown format" if file_format is None else file_format.value
        raise DataError(
            f"{source}: {folder} is prepared as {found}, which only TensorFlow reads:"
            f" {_how_to_prepare(place)}"
        )
    return builder


def _read_split(source: str, builder: Any, name: str, image_shape: tuple[int, int, int]) -> Split:
    import tensorflow_datasets as tfds

    # Decode by Pillow: TFDS prefers OpenCV if it is installed, whose JPEG pixels differ, and the
    # fingerprint must not depend on what is installed.
    decoders = {"image": tfds.decode.SkipDecoding()}
    try:
        records = builder.as_data_source(split=name, decoders=decoders)
        images = np.empty((len(records), *image_shape), np.uint8)
        labels = np.empty(len(records), np.int32)
        for start in range(0, len(records), CHUNK):
            indices = range(start, min(start + CHUNK, len(records)))
            for index, record in zip(indices, records.__getitems__(indices), strict=True):
                images[index] = _decode(record["image"], image_shape)
                labels[index] = record["label"]
    except DataError:
        raise
    except Exception as error:  # whatever the parsers raise
        raise DataError(
            f"{source}: the split {name} cannot be read ({_one_line(error)}):"
            " delete the prepared folder and prepare it again"
        ) from error
    if not len(labels):
        raise DataError(f"{source}: the split {name} is empty: prepare the set again")
    return Split(images, labels)


def _decode(encoded: bytes, image_shape: tuple[int, int, int]) -> np.ndarray:
    with opened_picture(io.BytesIO(encoded)) as image:
        if (image.height, image.width) != image_shape[:2]:
            raise ValueError(f"an image is {image.height}x{image.width}")
        return np.asarray(upright(image, image_shape[2])).reshape(image_shape)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
