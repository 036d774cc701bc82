"""Training recipes and corruptions, as plain data.

Nothing here imports JAX, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from typing import Any, Literal

from vae_jax.errors import UserError

_MAX_DIGITS = 12  # Python refuses to read numbers of thousands of digits
_EXPECTED = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every number that the reference's training loop fixes.

    ``help`` in a field's metadata is the help text of its command-line option.
    """

    data: str = dataclasses.field(
        metadata={
            "help": "Training images: digits, faces, idx:DIR, emnist:DIR, folder:DIR, stream:DIR, "
            "tfds:NAME."
        }
    )
    epochs: int = dataclasses.field(metadata={"help": "Passes over the training images."})
    batch_size: int = dataclasses.field(metadata={"help": "Images per training step."})
    learning_rate: float = dataclasses.field(metadata={"help": "Adam's step size."})
    beta1: float = dataclasses.field(
        default=0.9, metadata={"help": "Adam's decay of the first moment."}
    )
    beta2: float = dataclasses.field(
        default=0.999, metadata={"help": "Adam's decay of the second moment."}
    )
    epsilon: float = dataclasses.field(
        default=1e-8, metadata={"help": "Adam's term against division by zero."}
    )
    epsilon_scaling: Literal["torch", "tensorflow"] = dataclasses.field(
        default="torch",
        metadata={"help": "Add epsilon after (torch) or before (tensorflow) bias correction."},
    )
    weight_decay: float = dataclasses.field(
        default=0.0,
        metadata={"help": "L2 penalty, added to the gradient (not decoupled as in AdamW)."},
    )
    beta: float = dataclasses.field(
        default=1.0, metadata={"help": "Weight of the KL divergence in the loss."}
    )
    beta_warmup: int = dataclasses.field(
        default=0, metadata={"help": "Steps over which --beta rises linearly from 0."}
    )
    noise: float = dataclasses.field(
        default=1.0,
        metadata={"help": "Scale of the posterior's noise; 0 with --beta 0 is an autoencoder."},
    )
    corrupt: str = dataclasses.field(
        default="none",
        metadata={
            "help": "Corrupt the input, to train a denoiser: gaussian:SIGMA, mask:P, salt-pepper:P."
        },
    )
    images: str = dataclasses.field(
        default="all",
        metadata={"help": "Train only on these images, by number from 0: 5 or 5,25."},
    )
    skip_unreadable: bool = dataclasses.field(
        default=False,
        metadata={"help": "Leave out the pictures of a folder that cannot be read."},
    )
    reduction: Literal["sum", "mean"] = dataclasses.field(
        default="sum", metadata={"help": "Sum or average the loss over a batch."}
    )
    epoch_loss: Literal["sum", "mean"] = dataclasses.field(
        default="sum", metadata={"help": "Sum or average the printed loss over an epoch."}
    )
    drop_remainder: bool = dataclasses.field(
        default=False, metadata={"help": "Drop the last batch if it is not full."}
    )
    batch_norm_groups: int = dataclasses.field(
        default=1,
        metadata={
            "help": "Groups of a batch that batch norm normalises separately; 1: the whole batch."
        },
    )
    clip_norm: float = dataclasses.field(
        default=0.0, metadata={"help": "Clip the gradient to this global norm; 0: never."}
    )
    seed: int = dataclasses.field(
        default=0, metadata={"help": "Seed of the weights, the batch order and the noise."}
    )

    def __post_init__(self):
        """Check every value.

        Raises:
            UserError: naming the field.
        """
        for name, kind in _field_types().items():
            _require_type(name, getattr(self, name), kind)
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.epochs >= 0, "epochs", self.epochs, "at least 0")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(self.epsilon > 0, "epsilon", self.epsilon, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(self.beta >= 0, "beta", self.beta, "at least 0")
        _require(
            self.batch_norm_groups >= 1, "batch_norm_groups", self.batch_norm_groups, "at least 1"
        )
        _require(self.clip_norm >= 0, "clip_norm", self.clip_norm, "at least 0")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        _require(self.noise >= 0, "noise", self.noise, "at least 0")
        _require(self.beta_warmup >= 0, "beta_warmup", self.beta_warmup, "at least 0")

        if self.corrupt != "none":
            parse_corruption(self.corrupt)
        chosen_images(self.images)

    def replace(self, **changes: object) -> Recipe:
        """Return the recipe with some fields changed.

        Raises:
            UserError: a field does not exist or cannot take its value.
        """
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UserError(
                    f"a recipe has no field {name!r}; its fields are {', '.join(known)}"
                )
        return dataclasses.replace(self, **changes)


def chosen_images(text: str) -> list[int] | None:
    """Return the image numbers of ``Recipe.images``; None for all.

    Raises:
        UserError: it is neither ``all`` nor numbers separated by commas.

    >>> chosen_images("5,25")
    [5, 25]
    """
    if text == "all":
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= _MAX_DIGITS for part in parts):
        raise UserError(f"images is {text!r:.200}; expected all, or numbers from 0 such as 5,25")
    return [int(part) for part in parts]


@functools.cache
def _field_types() -> dict[str, Any]:
    return typing.get_type_hints(Recipe)


def _require_type(name: str, value: object, kind: Any) -> None:
    """Raise UserError unless the value has the type of a field or is one of its choices."""
    if choices := typing.get_args(kind):
        _require(value in choices, name, value, " or ".join(choices))
        return
    # A bool is an int, and a whole number is a number.
    accepted = (int, float) if kind is float else kind
    fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    _require(fits, name, value, _EXPECTED[kind])
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value}; expected a finite number")


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UserError(f"{name} is {value!r}; expected {expected}")


CORRUPTIONS = ("gaussian", "mask", "salt-pepper", "none")
"""The kinds of corruption."""

_FORMS = (
    "expected gaussian:SIGMA such as gaussian:0.3, mask:PROBABILITY such as mask:0.5,"
    " salt-pepper:PROBABILITY such as salt-pepper:0.1, or none"
)


@dataclasses.dataclass(frozen=True)
class Corruption:
    """Noise to add to images; ``str`` returns the text that ``parse_corruption`` reads.

    Attributes:
        kind: one of ``CORRUPTIONS``.
        amount: the standard deviation as a fraction of the pixel range (``gaussian``), the
            probability that a pixel is changed (``mask``, ``salt-pepper``), or 0 (``none``).

    Raises:
        UserError: the kind is unknown, or cannot have this amount.
    """

    kind: str
    amount: float = 0.0

    def __post_init__(self):
        if self.kind not in CORRUPTIONS:
            raise UserError(f"unknown corruption {self.kind!r}: {_FORMS}")
        if not math.isfinite(self.amount) or self.amount < 0:
            raise UserError(
                f"corruption {self.kind} by {self.amount!r}, which is not a finite number of at"
                f" least 0: {_FORMS}"
            )
        if self.kind in ("mask", "salt-pepper") and self.amount > 1:
            raise UserError(
                f"corruption {self.kind} by {self.amount!r}, a probability above 1: {_FORMS}"
            )
        if self.kind == "none" and self.amount != 0:
            raise UserError(f"corruption none by {self.amount!r}, but it has no amount")

    def __str__(self) -> str:
        if self.kind == "none":
            return self.kind
        return f"{self.kind}:{self.amount!r}".removesuffix(".0")


def parse_corruption(text: str) -> Corruption:
    """Parse ``gaussian:0.3``, ``mask:0.5``, ``salt-pepper:0.1`` or ``none``.

    >>> parse_corruption("mask:0.5")
    Corruption(kind='mask', amount=0.5)

    Raises:
        UserError: the text has none of these forms, or its amount is infinite, negative or, as a
            probability, above 1.
    """
    kind, colon, amount = text.partition(":")
    if kind not in CORRUPTIONS:
        raise UserError(f"unknown corruption {text!r}: {_FORMS}")
    if kind == "none":
        if colon:
            raise UserError(f"corruption {text!r}, but none has no amount: {_FORMS}")
        return Corruption(kind)
    try:
        number = float(amount)
    except ValueError:
        found = f"the amount {amount!r}, which is not a number" if amount else "no amount"
        raise UserError(f"corruption {text!r} has {found}: {_FORMS}") from None
    return Corruption(kind, number)
