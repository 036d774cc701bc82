"""Measures the arithmetic and interpolation of faces that tutorial 002, section 7.4.4, shows once.

"man with glasses - woman with glasses + woman without = man without glasses": for how many of
hundreds of random groups of images is that so, in the latents of a VAE, in those of a plain
autoencoder, and in the pixels, without any model? An attribute classifier, trained first on the
faces' exact attributes and on the models' reconstructions of some of them, decides. It is kept in
the folder of --out, and used again.

RUN is a run of face_vae on the synthetic faces, AE_RUN one of the same network as a plain
autoencoder. Prints tables in Markdown, and writes measured.json and figures to --out:

    vae-jax train face_vae --out runs/faces
    vae-jax train face_vae --beta 0 --noise 0 --out runs/faces_ae
    python scripts/experiments/face_arithmetic/measure.py runs/faces --autoencoder runs/faces_ae
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from vae_jax.errors import UserError


def main() -> None:
    """Print the tables, write the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Whole)
    parser.add_argument("run", metavar="RUN", help="run folder of face_vae")
    parser.add_argument("--autoencoder", metavar="AE_RUN", help="run folder of a plain autoencoder")
    parser.add_argument("--draws", type=int, default=300, help="random draws of each group")
    parser.add_argument("--interpolations", type=int, default=200, help="of each kind")
    parser.add_argument("--epochs", type=int, default=8, help="of the classifier's training")
    parser.add_argument("--seed", type=int, default=0, help="of draws and noise")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="a folder")
    args = parser.parse_args()
    if min(args.draws, args.interpolations) < 2:
        parser.error("expected at least 2 --draws and 2 --interpolations")
    try:
        measure_runs(args)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error


def measure_runs(args: argparse.Namespace) -> None:
    """Do what the command line says."""
    from face_arithmetic import report, study
    from face_arithmetic.models import open_runs
    from face_arithmetic.training import ClassifierRecipe
    from vae_jax.cli.options import setup_jax
    from vae_jax.figures import save_figure

    setup_jax()
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - started:6.0f} s: {text}", file=sys.stderr, flush=True)

    models, data = open_runs(args.run, args.autoencoder)
    assert data.test is not None
    source, recipe = f"{data.name}, {data.fingerprint}", ClassifierRecipe(epochs=args.epochs)
    file = args.out / "classifier.npz"
    classify = study.prepare_classifier(models, data.train, source, file, say, recipe)
    accuracies = study.accuracies(models, data.test, classify)
    say("tried the classifier on held-out faces")
    spaces = study.make_spaces(models, data.train.images, say)
    measured = study.measure(
        spaces,
        data.train.attributes,
        classify,
        args.draws,
        args.interpolations,
        args.seed,
        say,
    )
    about = {
        "runs": {"VAE": args.run, "AE": args.autoencoder},
        "recipes": study.recipes(models),
        "data": source,
        "seed": args.seed,
        "classifier": {"recipe": dataclasses.asdict(recipe), "accuracy": accuracies},
    }
    (args.out / "measured.json").write_text(json.dumps(about | measured.facts, indent=1) + "\n")
    print("\n\n".join([report.classifier_table(accuracies), *measured.tables]))
    for name, figure in measured.figures.items():
        say(f"wrote {save_figure(figure, args.out / name)}")


class _Whole(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The text above as it is, and the defaults."""


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the folder that holds this package
    main()
