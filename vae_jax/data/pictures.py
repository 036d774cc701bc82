"""A folder's pictures as an array that holds no pixels: they are decoded when asked for."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from vae_jax.data.decode import AHEAD, decode_pictures


class Pictures:
    """The pictures, uint8 [N, H, W, C], indexed along their first axis as an array is.

    Attributes:
      shape: (N, height, width, channels).
      dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        source: str,
        folder: pathlib.Path,
        names: Sequence[str],
        image_shape: tuple[int, int, int],
    ):
        """Reads nothing yet.

        Args:
          source: the source as the user gave it, for the messages.
          folder: where the pictures lie.
          names: their paths in it.
          image_shape: (height, width, channels) that they are resized to.
        """
        self._source, self._folder, self._names = source, folder, names
        self.shape = (len(names), *image_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Decodes a picture [H, W, C], or those of a slice or of int numbers [B, H, W, C].

        Raises:
          IndexError: there is no such picture.
          DataError: a picture cannot be read.
        """
        numbers = np.arange(len(self))[index]
        images = np.empty((numbers.size, *self.shape[1:]), np.uint8)
        with contextlib.closing(self._decode(numbers.ravel(), AHEAD)) as decoded:
            for place, image in enumerate(decoded):
                images[place] = image
        return images.reshape(*numbers.shape, *self.shape[1:])

    def batches(self, rows: np.ndarray) -> Generator[np.ndarray, None, None]:
        """Yields the pictures of each row of numbers in turn, the next two decoded ahead.

        Args:
          rows: int [M, B].

        Yields:
          uint8 [B, H, W, C], as `self[rows[i]]`.

        Raises:
          DataError: a picture cannot be read.
        """
        size = rows.shape[1]
        with contextlib.closing(self._decode(rows.ravel(), max(AHEAD, 2 * size))) as decoded:
            for _ in range(len(rows)):
                yield np.stack(list(itertools.islice(decoded, size)))

    def _decode(self, numbers: np.ndarray, ahead: int) -> Generator[np.ndarray, None, None]:
        names = [self._names[int(number)] for number in numbers]
        return decode_pictures(self._source, self._folder, names, self.shape[1:], ahead=ahead)
