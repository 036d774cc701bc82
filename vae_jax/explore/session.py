"""The explorer's computations: a trained model that is ready to decode single points.

Nothing here depends on the page. All pages share one session, which never changes; each page has
its own point.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import jax
import numpy as np

from vae_jax.data import Dataset, image_number, require_labels
from vae_jax.distributions import example_noise
from vae_jax.errors import UserError
from vae_jax.explore.groups import parse_lines
from vae_jax.explore.pictures import picture_url, read_upload
from vae_jax.latents import combine, interpolate, parse_expression, require_affine
from vae_jax.latents.groups import Groups
from vae_jax.latents.interpolation import Kind
from vae_jax.pretrained import Label, Pretrained
from vae_jax.typing import Float, Int, UInt8

NUM_ENCODED = 500
"""Most training images to encode and show."""
NUM_WEIGHTS = 101
"""Number of positions of an interpolation's weight."""
REACH = 3
"""Range of the controls, in standard deviations of the prior on each side."""

Point = Float[np.ndarray, " L"]


class Decoded(NamedTuple):
    """A decoded point.

    Attributes:
        url: the picture, a data URL.
        milliseconds: time from the latent to the URL.
    """

    url: str
    milliseconds: float


class Encoded(NamedTuple):
    """An image and its encoding.

    Attributes:
        title: a description for people.
        url: the image in the model's size, a data URL.
        z: the mean of its posterior, or a plain autoencoder's latent, [L].
    """

    title: str
    url: str
    z: Point


class Term(NamedTuple):
    """A group in an expression, with its weight and the picture of its encoding."""

    name: str
    weight: float
    url: str


class Session:
    """A model to explore, already compiled.

    Args:
        pretrained: the model.
        source: where it came from, as the user gave it.
        dataset: training images; None if there are none.

    Attributes:
        means: central latents of up to 500 training images, [N, L]; N is 0 without data.
        labels: their class numbers, [N].
        low: lower end of each dimension's control, [L]: -3, or for a plain autoencoder the minimum
            of ``means``.
        high: upper end, [L].
        start: where a page starts, [L]: zero, or for a plain autoencoder the mean of ``means``.
        order: the dimensions by the spread of ``means``, the widest first, [L].

    Raises:
        DataError: the data have labels that the model does not accept.
    """

    def __init__(self, pretrained: Pretrained, source: str, dataset: Dataset | None = None):
        if dataset is not None:
            require_labels(dataset, pretrained.spec.num_classes)
        self.name, self.source, self.dataset = pretrained.name, source, dataset
        self.variational = pretrained.spec.variational
        self.num_classes = pretrained.spec.num_classes
        self.latent_size = pretrained.latent_size
        self.image_shape = pretrained.image_shape
        self._pretrained = pretrained
        self.means, self.labels = self._encode_training()
        self.order = np.arange(self.latent_size)
        if len(self.means):
            self.order = np.argsort(-self.means.std(axis=0), kind="stable")
        self.low, self.high = self._range()
        self.start = np.zeros(self.latent_size, np.float32)
        if not self.variational and len(self.means):
            self.start = self.means.mean(axis=0)
        self.decode(self.start)
        self.encode("", np.zeros(self.image_shape, np.uint8))

    def decode(self, z: Point, label: int = 0) -> Decoded:
        """Decode a point to a picture.

        Args:
            z: [L].
            label: class number; ignored by a model without labels.

        Raises:
            UserError: the picture is not finite.
        """
        started = time.perf_counter()
        images = self._pretrained.decode(z[None], self._pretrained.label_if_taken(label))
        self._pretrained.require_finite(images)
        url = picture_url(self._pretrained.to_unit(images[0]))
        return Decoded(url, 1000 * (time.perf_counter() - started))

    def encode(self, title: str, image: UInt8[np.ndarray, "H W C"], label: int = 0) -> Encoded:
        """Encode an image."""
        return Encoded(title, picture_url(image), self._latents(image[None], label)[0])

    def training_image(self, number: int) -> Encoded:
        """Encode a training image.

        Raises:
            UserError: the image does not exist.
        """
        dataset = self._require_dataset()
        number = image_number(dataset, number)
        label = int(dataset.train.labels[number])
        title = f"image {number}: {dataset.class_names[label]}"
        return self.encode(title, np.asarray(dataset.train.images[number]), label)

    def uploaded_image(self, name: str, contents: bytes, label: int = 0) -> Encoded:
        """Encode the picture of an uploaded file.

        Raises:
            DataError: the file is too large or not a picture.
        """
        return self.encode(name, read_upload(name, contents, self.image_shape), label)

    def sample(self, seed: int) -> Point:
        """Draw a point from the prior, the first one of ``vae-jax sample --seed``.

        Raises:
            UserError: the model is a plain autoencoder, which has no prior.
        """
        if not self.variational:
            raise UserError(f"{self.name} is a plain autoencoder: it has no prior to sample from")
        return np.asarray(example_noise(jax.random.key(seed), 1, self.latent_size)[0])

    def between(self, start: Encoded, end: Encoded, weight: int | float, kind: Kind) -> Point:
        """Return a point between two images.

        Args:
            start: the image at weight 0.
            end: the image at weight 1.
            weight: 0 to 1, rounded to hundredths.
            kind: linear or spherical.
        """
        points = interpolate(start.z, end.z, NUM_WEIGHTS, kind)
        return np.asarray(points)[round(weight * (NUM_WEIGHTS - 1))]

    def combine(self, text: str, expression: str, label: int = 0) -> tuple[Point, list[Term]]:
        """Add and subtract groups of training images, encoded as ``vae-jax arithmetic`` does.

        Args:
            text: one ``name = images`` per line.
            expression: an expression such as ``men_g - women_g + women_ng``.
            label: class to decode the terms with.

        Returns:
            The point [L], and the terms in the order of the expression.

        Raises:
            UserError: a line is malformed, an image or a name does not exist, or the weights do not
                sum to 1.
        """
        definitions = parse_lines(text)
        weights = parse_expression(expression, list(definitions))
        require_affine(weights)
        groups = Groups(self._pretrained, definitions, self._require_dataset, allow_files=False)
        encodings = {name: groups.encoding(name) for name in weights}
        terms = [
            Term(name, weight, self.decode(encodings[name], label).url)
            for name, weight in weights.items()
        ]
        return np.asarray(combine(weights, encodings)), terms

    def _latents(self, images: np.ndarray, labels: Label) -> np.ndarray:
        given = self._pretrained.label_if_taken(labels)
        return np.asarray(self._pretrained.encode(images, given).mean)

    def _encode_training(self) -> tuple[Float[np.ndarray, "N L"], Int[np.ndarray, " N"]]:
        if self.dataset is None or len(self.dataset.train) == 0:
            return np.zeros((0, self.latent_size), np.float32), np.zeros(0, np.int32)
        train = self.dataset.train
        labels = np.asarray(train.labels[:NUM_ENCODED])
        return self._latents(np.asarray(train.images[:NUM_ENCODED]), labels), labels

    def _range(self) -> tuple[Point, Point]:
        low, high = (np.full(self.latent_size, end, np.float32) for end in (-REACH, REACH))
        if self.variational or not len(self.means):
            return low, high
        low, high = self.means.min(axis=0), self.means.max(axis=0)
        # A constant dimension still needs a control with two distinct ends.
        return np.where(high > low, low, low - 1), np.where(high > low, high, high + 1)

    def _require_dataset(self) -> Dataset:
        if self.dataset is None:
            raise UserError("there are no training images; restart with --data")
        return self.dataset
