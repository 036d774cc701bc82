"""The study: faces added and interpolated in each space, classified, and counted."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.data import Split
from vae_jax.distributions import DiagonalGaussian
from vae_jax.pretrained import Pretrained
from vae_jax.typing import Key

from . import report
from .arithmetic import (
    EXPRESSIONS,
    GROUPS,
    Classify,
    Draws,
    draw_all_groups,
    expected,
    measure_arithmetic,
    results,
)
from .classifier import accuracy, classify, shrink
from .figures import curves_figure, verdict_grid
from .interpolation import (
    Interpolations,
    Pairs,
    dark_to_light,
    measure_interpolations,
    with_to_without,
)
from .spaces import Space, latent_space, pixel_space
from .training import ClassifierRecipe, load_classifier, save_classifier, train_classifier

GROUP_SIZE = 3  # listing 7.7
OTHER_SIZES = (1, 10)
SHOWN = 8  # draws of the figure
RECONSTRUCTED = 2000  # training faces whose reconstructions the classifier learns from
DARKEST = 0.25  # frames of the draws with frames alike
MEANS = "VAE, means"
Say = Callable[[str], None]


class Measured(NamedTuple):
    """What the study found.

    Attributes:
        facts: numbers by name.
        tables: the same in Markdown.
        figures: by file name.
    """

    facts: report.Facts
    tables: list[str]
    figures: dict[str, Any]


def prepare_classifier(
    models: dict[str, Pretrained],
    train: Split,
    source: str,
    file: Path,
    say: Say,
    recipe: ClassifierRecipe,
) -> Classify:
    """Load the classifier from a file, or train one and write it there.

    It learns from the faces and from the models' reconstructions of some of them, whose attributes
    are the same: a classifier of photographs alone fails on a decoder's pictures.
    """
    if file.exists():
        return functools.partial(classify, load_classifier(file, recipe, source))
    some = np.linspace(0, len(train) - 1, min(RECONSTRUCTED, len(train))).astype(int)
    parts, rows = [shrink(train.images)], [np.arange(len(train))]
    for model in models.values():
        parts.append(shrink(model.reconstruct(train.images[some])))
        rows.append(some)
    say("reconstructed faces for the classifier")
    known = {name: column[np.concatenate(rows)] for name, column in train.attributes.items()}
    params = train_classifier(np.concatenate(parts), known, recipe)
    save_classifier(file, params, recipe, source)
    say(f"trained the classifier, {file}")
    return functools.partial(classify, params)


def accuracies(
    models: dict[str, Pretrained], test: Split, classify: Classify
) -> dict[str, dict[str, float]]:
    """Return how right the classifier is on held-out faces, and on reconstructions of them."""
    pictures = {"as they are": test.images}
    for name, model in models.items():
        pictures[f"{name}'s reconstructions"] = model.reconstruct(test.images)
    return {what: accuracy(classify(some), test.attributes) for what, some in pictures.items()}


def make_spaces(models: dict[str, Pretrained], images: np.ndarray, say: Say) -> dict[str, Space]:
    """Return the VAE by draws, as the tutorial's, and by means; the autoencoder; the pixels."""
    spaces = []
    for name, model in models.items():
        encoded = model.encode(images)
        assert isinstance(encoded, DiagonalGaussian)
        say(f"encoded {len(images)} faces with the {name}")
        spaces.append(latent_space(name, encoded, model.decode, sampled=name == "VAE"))
        if name == "VAE":
            spaces.append(latent_space(MEANS, encoded, model.decode, sampled=False))
    spaces.append(pixel_space("pixels", images))
    return {space.name: space for space in spaces}


def measure(
    spaces: dict[str, Space],
    attributes: Mapping[str, np.ndarray],
    classify: Classify,
    num_draws: int,
    num_interpolations: int,
    seed: int,
    say: Say,
) -> Measured:
    """Measure arithmetic and interpolation in every space.

    Args:
        spaces: by name.
        attributes: of the training images, whose numbers are drawn.
        classify: the attribute classifier.
        num_draws: random draws of each group.
        num_interpolations: of each kind.
        seed: of draws and noise.
        say: is told the progress.
    """
    draw_key, point_key, dark_key, with_key = jax.random.split(jax.random.key(seed), 4)
    dark_key, alike_key = jax.random.split(dark_key)
    draws = {
        size: draw_all_groups(attributes, num_draws, size, jax.random.fold_in(draw_key, size))
        for size in (GROUP_SIZE, *OTHER_SIZES)
    }
    by_size = _by_size(spaces, draws, classify, point_key, say)
    alike = draw_all_groups(attributes, num_draws, GROUP_SIZE, alike_key, lightest=DARKEST)
    dark_frames = _by_size(spaces, {GROUP_SIZE: alike}, classify, point_key, say)[GROUP_SIZE]

    def go(pairs: Pairs) -> dict[str, Interpolations]:
        found = {}
        for name, space in spaces.items():
            found[name] = measure_interpolations(space, pairs, classify, point_key)
            say(f"{len(pairs.starts)} interpolations: {name}")
        return found

    lightness = go(dark_to_light(attributes, num_interpolations, GROUP_SIZE, dark_key))
    glasses = go(with_to_without(attributes, num_interpolations, GROUP_SIZE, with_key))
    facts: report.Facts = {
        "arithmetic": by_size,
        "arithmetic, dark frames": dark_frames,
        "dark to light": {n: report.dark_to_light_facts(i) for n, i in lightness.items()},
        "with to without": {n: report.with_to_without_facts(i) for n, i in glasses.items()},
    }
    tables = [
        report.success_table(by_size[GROUP_SIZE], "both"),
        report.success_table(by_size[GROUP_SIZE], "right"),
        report.attribute_table(by_size[GROUP_SIZE]),
        report.success_table(by_size[GROUP_SIZE], "both", groups=True),
        report.size_table(by_size),
        f"Frames darker than {DARKEST} only:\n\n{report.success_table(dark_frames, 'both')}",
        report.success_table(dark_frames, "both", groups=True),
        report.dark_to_light_table(facts["dark to light"]),
        report.with_to_without_table(facts["with to without"]),
    ]
    seen_lightness = {n: i.predictions["frame_lightness"] for n, i in lightness.items()}
    seen_glasses = {n: i.predictions["glasses"] for n, i in glasses.items()}
    figures = {
        "arithmetic.png": listing_figure(spaces, draws[GROUP_SIZE], classify, point_key),
        "frame_lightness.png": curves_figure(seen_lightness, "frame lightness seen"),
        "glasses.png": curves_figure(seen_glasses, "probability of glasses"),
    }
    return Measured(facts, tables, figures)


def listing_figure(spaces: dict[str, Space], draws: Draws, classify: Classify, key: Key) -> Any:
    """Draw the faces that listing 7.9 gives for the first draws, with the classifier's verdict."""
    listing = next(iter(EXPRESSIONS.values()))
    some = {name: numbers[:SHOWN] for name, numbers in draws.items()}
    count = len(some[next(iter(GROUPS))])
    rows = {}
    for name, space in spaces.items():
        points = results(space, some, jax.random.fold_in(key, 0))
        shown = space.pictures(points[len(GROUPS) * count :][:count])
        rows[name] = (shown, classify(shown))
    return verdict_grid(rows, *expected(listing), listing)


def recipes(models: dict[str, Pretrained]) -> dict[str, Any]:
    """Return how each model was trained, as JSON takes it."""
    return {name: dataclasses.asdict(model.recipe) for name, model in models.items()}


def _by_size(
    spaces: dict[str, Space], draws: dict[int, Draws], classify: Classify, key: Key, say: Say
) -> dict[int, report.Facts]:
    """Measure the arithmetic by images a group, then by space; means at one size only."""
    found: dict[int, report.Facts] = {}
    for size in sorted(draws):
        found[size] = {}
        for name, space in spaces.items():
            if size == GROUP_SIZE or name != MEANS:
                predictions = measure_arithmetic(space, draws[size], classify, key)
                found[size][name] = report.arithmetic_facts(predictions)
                say(f"arithmetic, {size} images a group: {name}")
    return found
