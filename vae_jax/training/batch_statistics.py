"""A check, before training, that batch norm gets more than one value per channel in every batch.

Normalised over itself, a single value becomes 0 whatever it was: the layer puts out its bias for
every image, and its running variance falls to 0. PyTorch refuses it: "Expected more than 1 value
per channel when training". It takes a batch, or a group of it, of one image, and a feature map of
one pixel.
"""

# JAX's functions are without full hints:
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm
from vae_jax.models import init_variables
from vae_jax.recipe import Recipe


def require_batch_statistics(
    model: nn.Module, recipe: Recipe, num_examples: int, width: int
) -> None:
    """Check every batch norm of a model against every size of batch.

    Args:
        model: the model.
        recipe: determines the batches and their groups.
        num_examples: images in an epoch.
        width: rows of a padded batch, from ``Parallel.width``.

    Raises:
        UserError: a layer would normalise single values.
    """
    full, last = divmod(num_examples, recipe.batch_size)
    batches = {"every batch": recipe.batch_size if full else 0}
    if not recipe.drop_remainder:
        batches["the last batch of an epoch"] = last
    for which, images in batches.items():
        if not _has_group_of_one(images, recipe.batch_norm_groups, width):
            continue
        layer = next((name for name, size in feature_maps(model).items() if size == (1, 1)), None)
        if layer is None:
            return
        raise UserError(
            f"the batch norm {layer} would normalise single values in {which} "
            f"({_count(images)}{_groups(recipe)}, feature maps of 1x1): {_advice(recipe, full)}"
        )


def feature_maps(model: Any) -> dict[str, tuple[int, int]]:
    """Return height and width of each batch norm's input, by the layer's name."""
    found: dict[str, tuple[int, int]] = {}

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            found[".".join(context.module.path)] = args[0].shape[1:3]
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        # The function under jit, because one that was traced before would call no layer.
        draw: Any = init_variables
        jax.eval_shape(lambda: draw.__wrapped__(model, jax.random.key(0)))
    return found


def _has_group_of_one(images: int, groups: int, width: int) -> bool:
    rows = width // groups
    return any(min(rows, images - start) == 1 for start in range(0, width, rows))


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"


def _groups(recipe: Recipe) -> str:
    return f" in {recipe.batch_norm_groups} groups" if recipe.batch_norm_groups > 1 else ""


def _advice(recipe: Recipe, full: int) -> str:
    if recipe.batch_norm_groups > 1:
        return "choose fewer --batch-norm-groups, or another --batch-size"
    if recipe.batch_size == 1:
        return "choose a --batch-size of 2 or more"
    if full == 0:
        return "train on more than one image"
    return "add --drop-remainder, or choose another --batch-size"
