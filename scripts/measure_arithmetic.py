"""Measures the arithmetic and interpolation of faces that tutorial 002, section 7.4.4, shows once.

"man with glasses - woman with glasses + woman without = man without glasses": for how many of
hundreds of random groups of images is that so, in the latents of a VAE, in those of a plain
autoencoder, and in the pixels, without any model? A small network, trained first on the faces'
exact attributes and on the models' reconstructions of some of them, judges the pictures. It is kept
in the folder of --out, and used again.

RUN is a run of face_vae on the synthetic faces, AE_RUN one of the same network as a plain
autoencoder. Prints tables in Markdown, and writes measured.json and figures to DIR:

    vae-jax train face_vae --out runs/faces
    vae-jax train face_vae --beta 0 --noise 0 --out runs/faces_ae
    python scripts/measure_arithmetic.py runs/faces --autoencoder runs/faces_ae --out measured
"""

import argparse
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vae_jax.cli import drawing
from vae_jax.cli.inputs import open_training_data
from vae_jax.cli.options import setup_jax
from vae_jax.cli.trained import Trained, load_trained
from vae_jax.data import Split
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import DiagonalGaussian
from vae_jax.errors import UserError
from vae_jax.figures import save_figure
from vae_jax.judge import report
from vae_jax.judge.arithmetic import (
    EXPRESSIONS,
    GROUPS,
    Draws,
    Look,
    draw_all_groups,
    expected,
    measure_arithmetic,
    results,
)
from vae_jax.judge.classifier import accuracy, judge, require_attributes, shrink
from vae_jax.judge.interpolation import (
    Pairs,
    Ways,
    dark_to_light,
    measure_ways,
    with_to_without,
)
from vae_jax.judge.pictures import curves_figure, verdict_grid
from vae_jax.judge.spaces import Space, latent_space, pixel_space
from vae_jax.judge.training import (
    JudgeRecipe,
    load_classifier,
    save_classifier,
    train_classifier,
)
from vae_jax.models.face_vae import FaceVAE
from vae_jax.typing import Key

GROUP_SIZE = 3  # listing 7.7
OTHER_SIZES = (1, 10)
SHOWN = 8  # draws of the figure
RECONSTRUCTED = 2000  # training faces whose reconstructions the judge learns from
DARKEST = 0.25  # frames of the draws with frames alike
MEANS = "VAE, means"
_CHUNK = 64  # images encoded at a time
Say = Callable[[str], None]


def open_runs(run: str, autoencoder: str | None) -> tuple[dict[str, Trained], Split, Split, str]:
    """The models by name, the training and the test images, and what these are.

    Raises:
        UserError: a run is not of faces, is no plain autoencoder, or the data lack attributes.
    """
    models = {"VAE": open_model(run)}
    first = models["VAE"]
    if autoencoder is not None:
        models["AE"] = plain = open_model(autoencoder)
        if plain.recipe.beta or plain.recipe.noise:
            raise UserError(
                f"{autoencoder} was trained with beta {plain.recipe.beta:g} and noise "
                f"{plain.recipe.noise:g}; expected a plain autoencoder: vae-jax train face_vae "
                "--beta 0 --noise 0"
            )
        if (plain.recipe.data, plain.recipe.images) != (first.recipe.data, first.recipe.images):
            raise UserError(
                f"{autoencoder} was trained on {plain.recipe.data}, {run} on {first.recipe.data}; "
                "expected the same faces"
            )
    data = open_training_data(first.recipe, first.model.image_shape)
    if data.test is None:
        raise UserError(f"{data.name} has no held-out images to try the judge on")
    for split in (data.train, data.test):
        require_attributes(split.attributes, data.name)
    return models, data.train, data.test, f"{data.name}, {data.fingerprint}"


def open_model(run: str) -> Trained:
    """A model of faces.

    Raises:
        UserError: it is another.
    """
    trained = load_trained(run)
    if not isinstance(trained.model, FaceVAE):
        raise UserError(f"{run} is a run of {trained.name}; expected face_vae")
    return trained


def encode_all(trained: Trained, images: np.ndarray) -> DiagonalGaussian:
    """The posteriors of stored images, which may be a memory map."""
    parts = [
        drawing.encode(trained, scale_pixels(images[i : i + _CHUNK], trained.spec.pixel_range))
        for i in range(0, len(images), _CHUNK)
    ]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def prepare_judge(
    models: dict[str, Trained], source: str, train: Split, file: Path, say: Say
) -> Any:
    """The judge of a file, or a new one that is written there.

    It learns from the faces and from the models' reconstructions of some of them, whose attributes
    are the same: a judge of photographs alone does not know a decoder's pictures.
    """
    recipe = JudgeRecipe()
    if file.exists():
        return load_classifier(file, recipe, source)
    some = np.linspace(0, len(train) - 1, min(RECONSTRUCTED, len(train))).astype(int)
    parts, rows = [shrink(train.images)], [np.arange(len(train))]
    for trained in models.values():
        decoded = drawing.decode(trained, encode_all(trained, train.images[some]).mean)
        parts.append(shrink(decoded))
        rows.append(some)
    say("reconstructed faces for the judge")
    known = {name: column[np.concatenate(rows)] for name, column in train.attributes.items()}
    params = train_classifier(np.concatenate(parts), known, recipe)
    save_classifier(file, params, recipe, source)
    say(f"trained the judge, {file}")
    return params


def accuracies(models: dict[str, Trained], test: Split, look: Look) -> dict[str, Any]:
    """How well the judge sees held-out faces, and the models' reconstructions of them."""
    found = {"as they are": accuracy(look(test.images), test.attributes)}
    for name, trained in models.items():
        z = encode_all(trained, test.images).mean
        found[f"{name}'s reconstructions"] = accuracy(
            look(drawing.decode(trained, z)), test.attributes
        )
    return found


def make_spaces(models: dict[str, Trained], images: np.ndarray, say: Say) -> dict[str, Space]:
    """VAE by draws, as the tutorial's, and by means; plain autoencoder; pixels."""
    spaces = []
    for name, trained in models.items():
        encoded = encode_all(trained, images)
        decode = functools.partial(drawing.decode, trained)
        say(f"encoded {len(images)} faces with the {name}")
        spaces.append(latent_space(name, encoded, decode, sampled=name == "VAE"))
        if name == "VAE":
            spaces.append(latent_space(MEANS, encoded, decode, sampled=False))
    spaces.append(pixel_space("pixels", images))
    return {space.name: space for space in spaces}


def measure_sizes(
    spaces: dict[str, Space], draws: dict[int, Draws], look: Look, key: Key, say: Say
) -> dict[int, report.Facts]:
    """The arithmetic by images a group, then by space; the tutorial's size in every space."""
    found: dict[int, report.Facts] = {}
    for size in sorted(draws):
        found[size] = {}
        for name, space in spaces.items():
            if size != GROUP_SIZE and name == MEANS:
                continue
            judged = measure_arithmetic(space, draws[size], look, key)
            found[size][name] = report.arithmetic_facts(judged)
            say(f"arithmetic, {size} images a group: {name}")
    return found


def measure_all_ways(
    spaces: dict[str, Space], pairs: Pairs, look: Look, key: Key, say: Say
) -> dict[str, Ways]:
    """The ways between some pairs by space."""
    found = {}
    for name, space in spaces.items():
        found[name] = measure_ways(space, pairs, look, key)
        say(f"{len(pairs.starts)} ways: {name}")
    return found


def listing_figure(spaces: dict[str, Space], draws: Draws, look: Look, key: Key) -> Any:
    """The faces that listing 7.9 gives for the first draws, with the judge's verdict."""
    listing = next(iter(EXPRESSIONS.values()))
    some = {name: numbers[:SHOWN] for name, numbers in draws.items()}
    count = len(some[next(iter(GROUPS))])
    rows = {}
    for name, space in spaces.items():
        points = results(space, some, jax.random.fold_in(key, 0))
        shown = space.pictures(points[len(GROUPS) * count :][:count])
        rows[name] = (shown, look(shown))
    return verdict_grid(rows, *expected(listing), listing)


def main() -> None:
    """Prints the tables, writes the rest."""
    parser = argparse.ArgumentParser(description="How often arithmetic of faces comes out right")
    parser.add_argument("run", metavar="RUN", help="run folder of face_vae")
    parser.add_argument("--autoencoder", metavar="AE_RUN", help="run folder of a plain autoencoder")
    parser.add_argument("--draws", type=int, default=300, help="random draws (default: 300)")
    parser.add_argument("--ways", type=int, default=200, help="interpolations (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of draws and noise (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="default: measured")
    args = parser.parse_args()
    if min(args.draws, args.ways) < 2:
        raise UserError(f"{args.draws} draws and {args.ways} ways; expected at least 2 of each")
    setup_jax()
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - started:6.0f} s: {text}", file=sys.stderr, flush=True)

    models, train, test, source = open_runs(args.run, args.autoencoder)
    look = functools.partial(
        judge, prepare_judge(models, source, train, args.out / "judge.npz", say)
    )
    seen = accuracies(models, test, look)
    say("tried the judge")
    spaces = make_spaces(models, train.images, say)
    draw_key, point_key, dark_key, with_key = jax.random.split(jax.random.key(args.seed), 4)
    known, size = train.attributes, GROUP_SIZE
    draws = {
        k: draw_all_groups(known, args.draws, k, jax.random.fold_in(draw_key, k))
        for k in (size, *OTHER_SIZES)
    }
    by_size = measure_sizes(spaces, draws, look, point_key, say)
    dark_key, alike_key = jax.random.split(dark_key)
    alike_draws = draw_all_groups(known, args.draws, size, alike_key, lightest=DARKEST)
    alike = measure_sizes(spaces, {size: alike_draws}, look, point_key, say)[size]
    dark = dark_to_light(known, args.ways, size, dark_key)
    lightness = measure_all_ways(spaces, dark, look, point_key, say)
    pairs = with_to_without(known, args.ways, size, with_key)
    glasses = measure_all_ways(spaces, pairs, look, point_key, say)
    facts: report.Facts = {
        "runs": {"VAE": args.run, "AE": args.autoencoder},
        "recipes": {name: dataclasses.asdict(t.recipe) for name, t in models.items()},
        "data": source,
        "seed": args.seed,
        "judge": {"recipe": dataclasses.asdict(JudgeRecipe()), "accuracy": seen},
        "arithmetic": by_size,
        "arithmetic, dark frames": alike,
        "dark to light": {n: report.dark_to_light_facts(w) for n, w in lightness.items()},
        "with to without": {n: report.with_to_without_facts(w) for n, w in glasses.items()},
    }
    (args.out / "measured.json").write_text(json.dumps(facts, indent=1) + "\n")
    tables = (
        report.judge_table(seen),
        report.success_table(by_size[size], "both"),
        report.success_table(by_size[size], "right"),
        report.attribute_table(by_size[size]),
        report.success_table(by_size[size], "both", groups=True),
        report.size_table(by_size),
        f"Frames darker than {DARKEST} alone:\n\n{report.success_table(alike, 'both')}",
        report.success_table(alike, "both", groups=True),
        report.dark_to_light_table(facts["dark to light"]),
        report.with_to_without_table(facts["with to without"]),
    )
    print("\n\n".join(tables))
    seen_lightness = {n: w.judged["frame_lightness"] for n, w in lightness.items()}
    seen_glasses = {n: w.judged["glasses"] for n, w in glasses.items()}
    for name, figure in {
        "arithmetic": listing_figure(spaces, draws[size], look, point_key),
        "frame_lightness": curves_figure(seen_lightness, "frame lightness seen"),
        "glasses": curves_figure(seen_glasses, "probability of glasses"),
    }.items():
        say(f"wrote {save_figure(figure, args.out / f'{name}.png')}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
