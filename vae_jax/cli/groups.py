"""Groups of images that a command's options define."""

from __future__ import annotations

from vae_jax.cli.encodings import training_data
from vae_jax.errors import UserError
from vae_jax.latents.groups import Groups, parse_group
from vae_jax.pretrained import Pretrained


def parse_definitions(definitions: tuple[str, ...]) -> dict[str, str]:
    """Split the texts of ``--group`` into names and images.

    Raises:
        UserError: a text is not NAME=IMAGES, or defines a group again.
    """
    groups: dict[str, str] = {}
    for definition in definitions:
        try:
            name, images = parse_group(definition, groups)
        except UserError as error:
            raise UserError(f"--group {definition!r}: {error}") from error
        groups[name] = images
    return groups


def open_groups(
    loaded: Pretrained,
    definitions: tuple[str, ...],
    data: str | None,
    per_group: int,
    seed: int | None,
    label: int | None,
) -> Groups:
    """Return the groups of a command; images are opened when they are needed.

    Args:
        loaded: the model.
        definitions: the texts of ``--group``.
        data: the data source; None for the model's own.
        per_group: how many images to take of those that match attributes.
        seed: seed of the draws; None encodes by posterior means.
        label: class to decode with, and class of pictures from files.

    Raises:
        UserError: a definition is wrong, or the model does not take the label.
    """
    loaded.one_hot(label, 1)
    return Groups(
        loaded,
        parse_definitions(definitions),
        lambda: training_data(loaded, data),
        per_group=per_group,
        seed=seed,
        label=label,
    )
