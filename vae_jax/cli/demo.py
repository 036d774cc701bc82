"""``vae-jax demo``: import, verify, train and draw, with files that the package ships."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import click

from vae_jax.cli.options import setup_jax

EPOCHS = 60  # over 4,500 digits; the tutorial's 10 are over 60,000


@click.command()
@click.option(
    "--out", default="runs/demo", help="Output folder; an earlier demo there is replaced."
)
def demo(out: str) -> None:
    """Import a PyTorch checkpoint without PyTorch, verify it, train the same model, and draw.

    Needs no network, and about a minute on 2 cores.
    """
    setup_jax()
    import vae_jax
    from vae_jax import figures
    from vae_jax.cli.drawing import epoch_figure, reconstruct_unit
    from vae_jax.data import open_dataset
    from vae_jax.errors import RunError
    from vae_jax.models import MODELS
    from vae_jax.parity.bundle import check_recorded
    from vae_jax.parity.tables import table
    from vae_jax.pretrained import Pretrained
    from vae_jax.training.loop import train
    from vae_jax.training.run import Run

    started = time.perf_counter()
    assets = Path(vae_jax.__file__).parent / "assets"
    folder = Path(out).absolute()
    if folder.exists() and not (folder / "figures").is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder} is not a demo's folder; choose another --out")
    _replace(folder)

    checkpoint = assets / "AEdigits.pt"
    click.echo(f"1. Import {checkpoint.name}, a TorchScript file that PyTorch wrote")
    tensors = vae_jax.read_checkpoint(checkpoint)
    variables = vae_jax.import_weights("digits_ae", tensors)
    torch = "loaded (by something else)" if "torch" in sys.modules else "not loaded"
    count = sum(t.size for t in tensors.values())
    click.echo(f"   {len(tensors)} tensors, {count:,} numbers; PyTorch is {torch}\n")

    click.echo("2. Compare its outputs with those that PyTorch recorded")
    recorded = vae_jax.read_checkpoint(assets / "AEdigits_outputs.safetensors")
    report = check_recorded("digits_ae", variables, recorded)
    click.echo("   " + table(report).replace("\n", "\n   ") + "\n")
    if not report.passed:
        raise RunError("the imported model does not agree with PyTorch's recorded outputs")
    recipe = MODELS["digits_ae"].recipe.replace(epochs=EPOCHS)
    pairs = reconstruct_unit(Pretrained("digits_ae", {}, variables, recipe), recorded["input"])
    figures.save_figure(figures.reconstruction_rows(*pairs), folder / "figures/imported.png")

    click.echo(f"3. Train digits_ae from scratch: {EPOCHS} epochs of 4,500 real digits")
    dataset = open_dataset("digits", (28, 28, 1))
    run = Run(folder / "digits_ae", "digits_ae", {}, recipe)
    result = train(run, dataset, on_epoch=epoch_figure(run, dataset))
    for name, epoch in (("before.png", 0), ("after.png", EPOCHS)):
        shutil.copy(run.figures / f"epoch_{epoch:03d}.png", folder / "figures" / name)
    curve = figures.loss_curve(
        [r["epoch"] for r in result.epochs], [r["loss"] for r in result.epochs], label="loss"
    )
    figures.save_figure(curve, folder / "figures/loss.png")

    program = "vae-jax" if shutil.which("vae-jax") else os.path.relpath(sys.argv[0])
    click.echo(
        f"\nDone in {time.perf_counter() - started:.0f} s. Figures in {folder / 'figures'}:\n"
        "  imported.png   ten held-out digits above the imported PyTorch model's reconstructions\n"
        "  before.png     the same by the model trained here, before its first step\n"
        f"  after.png      and after {EPOCHS} epochs (all epochs: {out}/digits_ae/figures)\n"
        "  loss.png       its loss per epoch\n"
        "Next:\n"
        f"  {program} reconstruct {out}/digits_ae\n"
        f"  {program} convert {out}/digits_ae --to AEdigits.safetensors\n"
        f"  {program} train digits_ae --data idx:DIR --out runs/mine   (MNIST's own files)\n"
        f"  {program} parity digits_ae   (against live PyTorch: pip install 'vae-jax[torch]')"
    )


def _replace(folder: Path) -> None:
    """Remove what an earlier demo wrote, and nothing else."""
    for part in ("figures", "digits_ae"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
