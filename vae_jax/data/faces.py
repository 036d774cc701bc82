"""Synthetic faces with known attributes, the data of ``face_vae`` that need no download.

They have the layout of tutorial 002's folder, section 7.4.1: first all with glasses, then all
without. Listing 7.7 finds a man or a woman at each number it picks, so the tutorial's numbers work
as printed.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from vae_jax.data import cache
from vae_jax.data.attributes import ATTRIBUTES_FILE, Columns, write_attributes
from vae_jax.data.dataset import Dataset, Split, fingerprint
from vae_jax.data.face_canvas import SIZE
from vae_jax.data.face_drawing import HAIR_COLOURS, NUM_VARIETY, Face, draw_face
from vae_jax.data.picture import cover
from vae_jax.errors import DataError
from vae_jax.files import explain_errors, replacing

NUM_FACES = 5000
MAX_FACES = 99_999  # the file names have five digits
CLASS_NAMES = ("glasses", "no_glasses")
TRAIN_SEED, TEST_SEED = 0, 1
VERSION = 1  # increase it whenever the drawing changes, so that caches become stale
# Listing 7.7 picks from the first 25 faces, and from the last 25 by negative numbers.
LISTING_MEN = (0, 3, 14, -2, -8, -23)
LISTING_WOMEN = (9, 15, 21, -5, -10, -20)
_NUM_DRAWS = 12


def open_faces(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Open the faces, after drawing them the first time; another tenth are test images.

    Args:
        source: the source as the user gave it, for error messages.
        place: the number of training images; "" for 5,000.
        image_shape: the model's shape; unless it is (256, 256, 3), the pictures are resized like
            those of a folder.

    Raises:
        DataError: ``place`` is not a number, or the cache cannot be written.
    """
    count = NUM_FACES
    if place:
        if not (place.isascii() and place.isdigit() and 2 <= int(place) <= MAX_FACES):
            raise DataError(f"{source}: expected faces, or faces:COUNT with 2 to {MAX_FACES} faces")
        count = int(place)
    if image_shape[2] not in (1, 3):
        raise DataError(f"{source}: pictures have 1 or 3 channels, the model {image_shape[2]}")
    train = _split(source, TRAIN_SEED, count, image_shape)
    test = _split(source, TEST_SEED, max(2, count // 10), image_shape)
    return Dataset(source, train, test, CLASS_NAMES, fingerprint(train, test, CLASS_NAMES))


def make_face(seed: int, index: int, count: int) -> Face:
    """Return the attributes of face ``index`` of ``count``, always the same for a seed."""
    # NumPy's policy (NEP 19) freezes a bit generator's raw words, but not its distributions, and
    # these faces must never change.
    bits = np.random.PCG64(np.random.SeedSequence([seed, index]))
    words = bits.random_raw(_NUM_DRAWS + NUM_VARIETY)
    u = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    glasses, places = index < -(-count // 2), {index, index - count}
    man = bool(u[0] < 0.5)
    if places & set(LISTING_MEN):
        man = True
    elif places & set(LISTING_WOMEN):
        man = False
    return Face(
        glasses=glasses,
        man=man,
        frame_lightness=float(u[1]) if glasses else float("nan"),
        square_frame=glasses and bool(u[2] < 0.5),
        beard=man and bool(u[3] < 0.6),
        skin_lightness=float(u[4]),
        hair_colour=list(HAIR_COLOURS)[int(u[5] * len(HAIR_COLOURS))],
        yaw=float(2 * u[6] - 1),
        tilt=float(10 * u[7] - 5),
        smile=float(2 * u[8] - 1),
        background_hue=float(u[9]),
        background_lightness=float(0.3 + 0.5 * u[10]),
        variety=u[_NUM_DRAWS:],
    )


def face_attributes(faces: list[Face]) -> Columns:
    """Return the columns of ``attributes.csv``, texts such as "yes" and numbers."""

    def yes_no(values: list[bool]) -> np.ndarray:
        return np.where(values, "yes", "no")

    shapes = np.where([f.square_frame for f in faces], "square", "round")
    columns: dict[str, np.ndarray] = {
        "glasses": yes_no([f.glasses for f in faces]),
        "person": np.where([f.man for f in faces], "man", "woman"),
        "frame_lightness": np.array([f.frame_lightness for f in faces]),
        "frame_shape": np.where([f.glasses for f in faces], shapes, ""),
        "beard": yes_no([f.beard for f in faces]),
        "hair_colour": np.array([f.hair_colour for f in faces]),
    }
    numbers = ("skin_lightness", "yaw", "tilt", "smile", "background_hue", "background_lightness")
    return columns | {name: np.array([getattr(f, name) for f in faces]) for name in numbers}


def write_faces(folder: pathlib.Path, count: int, seed: int) -> None:
    """Write all faces as PNG in the tutorial's layout, with ``attributes.csv``, or none.

    Raises:
        DataError: the folder is not empty or cannot be written.
    """
    import concurrent.futures

    from PIL import Image

    advice = "check its space and permissions, or choose another folder"
    with explain_errors(DataError, f"cannot write faces to {folder}", advice):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} exists and is not an empty folder: choose another")
        with replacing(folder, parents=True) as (root,):
            for name in CLASS_NAMES:
                (root / name).mkdir(parents=True)
            faces = [make_face(seed, index, count) for index in range(count)]
            names = [f"{CLASS_NAMES[not face.glasses]}/{i:05d}.png" for i, face in enumerate(faces)]

            def write(name: str, face: Face) -> None:
                Image.fromarray(draw_face(face)).save(root / name, compress_level=1)

            # Pillow releases the GIL while it compresses.
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in _progress(pool.map(write, names, faces), count):
                    pass
            write_attributes(root / ATTRIBUTES_FILE, names, face_attributes(faces))


def _split(source: str, seed: int, count: int, image_shape: tuple[int, int, int]) -> Split:
    faces = [make_face(seed, index, count) for index in range(count)]
    content = cache.Content(
        name="faces",
        where=("synthetic faces", seed, count, image_shape),
        what=VERSION,
        class_names=CLASS_NAMES,
        labels=np.array([not face.glasses for face in faces], np.int32),
        image_shape=image_shape,
    )
    images, _ = cache.open_cached(source, content, lambda: _draw_all(faces, image_shape))
    return Split(images, content.labels, face_attributes(faces))


def _draw_all(faces: list[Face], image_shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    from PIL import Image

    for face in _progress(faces, len(faces)):
        picture = draw_face(face)
        if image_shape != (SIZE, SIZE, 3):
            picture = cover(Image.fromarray(picture), image_shape)
        yield picture


def _progress(items, count: int):
    """Show a progress bar for long work, only on a terminal."""
    import tqdm

    disable = True if count < 500 else None  # None: silent unless on a terminal
    return tqdm.tqdm(items, desc="drawing", unit="face", total=count, disable=disable)
