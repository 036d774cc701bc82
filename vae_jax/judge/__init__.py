"""Latent arithmetic and interpolation of faces, measured: a judge that sees attributes, and counts.

Nothing here knows a model: a ``Space`` says how images become points and points pictures.
"""

from vae_jax.judge.arithmetic import (
    EXPRESSIONS,
    GROUPS,
    Tally,
    draw_all_groups,
    expected,
    measure_arithmetic,
    results,
    standard_error,
    tally,
)
from vae_jax.judge.classifier import (
    Classifier,
    Judged,
    accuracy,
    judge,
    require_attributes,
    require_faces,
    shrink,
)
from vae_jax.judge.interpolation import (
    crossing_place,
    crossings,
    dark_to_light,
    largest_over_mean,
    measure_ways,
    steps_forward,
    with_to_without,
)
from vae_jax.judge.spaces import Space, draw_groups, group_means, latent_space, pixel_space
from vae_jax.judge.training import (
    Augmentation,
    JudgeRecipe,
    load_classifier,
    save_classifier,
    train_classifier,
)

__all__ = [
    "EXPRESSIONS",
    "GROUPS",
    "Augmentation",
    "Classifier",
    "JudgeRecipe",
    "Judged",
    "Space",
    "Tally",
    "accuracy",
    "crossing_place",
    "crossings",
    "dark_to_light",
    "draw_all_groups",
    "draw_groups",
    "expected",
    "group_means",
    "judge",
    "largest_over_mean",
    "latent_space",
    "load_classifier",
    "measure_arithmetic",
    "measure_ways",
    "pixel_space",
    "require_attributes",
    "require_faces",
    "results",
    "save_classifier",
    "shrink",
    "standard_error",
    "steps_forward",
    "tally",
    "train_classifier",
    "with_to_without",
]
