"""``vae-jax parity``: a port against its original, in one table; and recordings of originals."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vae_jax.cli.options import hyper_option, json_option, key_option, setup_jax

# What a recording does not fix.
_WITH_BUNDLE = ("model", "every", "recorded", "bundle", "checkpoint", "key", "precisions")
_PRECISIONS = ("float64", "float32", "tf32", "bfloat16")  # as vae_jax.parity.precision has them
_QUICK_STEPS = 3

_seed_option = click.option(
    "--seed", default=0, type=click.IntRange(0), help="Of images and noise."
)
_batch_option = click.option(
    "--batch-size", default=4, type=click.IntRange(2), help="Images a step."
)


def _checkpoint_option(default: str) -> Any:
    text = f"Weights to start from: a run, folder or file; default: {default}."
    return click.option("--checkpoint", help=text)


class _Parity(click.Group):
    """The command ``check`` is meant unless another is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Marks what kept a comparison from running, so that it is told from a broken budget."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            vars(error)["exit_status"] = 2
            raise


@click.group(cls=_Parity)
def parity() -> None:
    """Compare ports with their originals."""


@parity.command()
@click.argument("model", required=False)
@click.option("--all", "every", is_flag=True, help="All models.")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(_PRECISIONS),
    default=("float64",),
    help="Of both sides; may be given more than once.",
)
@click.option("--quick", is_flag=True, help=f"{_QUICK_STEPS} training steps alone.")
@click.option("--steps", default=20, type=click.IntRange(0), help="Training steps to compare.")
@click.option("--bundle", help="Compare with this recording, made by `vae-jax parity record`.")
@click.option(
    "--recorded", is_flag=True, help="Compare with the recordings that come with the package."
)
@_checkpoint_option("the original's own start")
@key_option
@hyper_option
@_batch_option
@_seed_option
@click.option("--out", help="Folder for report.json, report.md and report.png.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    model: str | None,
    every: bool,
    precisions: tuple[str, ...],
    quick: bool,
    steps: int,
    bundle: str | None,
    recorded: bool,
    checkpoint: str | None,
    key: str | None,
    hyper: dict[str, Any],
    batch_size: int,
    seed: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Compare MODEL with its original, stage by stage; the first divergence stands on top.

    Both start from the same weights and see the same images, noise and batch order: layer by
    layer, posterior heads, loss terms, every gradient, the optimiser by itself, one step, and a
    run of steps. The original must be installed; else compare with a recording (--recorded or
    --bundle). `vae-jax parity record --help` tells how one is made.

    Exit status: 0 when all agrees, 1 when a budget is broken, 2 when it could not run.
    """
    setup_jax()
    import vae_jax
    from vae_jax.errors import MissingExtraError, UserError
    from vae_jax.models import MODELS, get_spec
    from vae_jax.parity.bundle import bundle_file, check_bundle
    from vae_jax.parity.check import check_model
    from vae_jax.parity.tables import device_names, summary, table, write_reports

    if sum((model is not None, every, bundle is not None and model is None)) != 1:
        raise UserError("name one model, or give --all")
    if every and (checkpoint or bundle):
        raise UserError("--checkpoint and --bundle are of one model: name it instead of --all")
    if recorded and bundle:
        raise UserError("--recorded and --bundle are two recordings: give one")
    if quick and context.get_parameter_source("steps") is ParameterSource.COMMANDLINE:
        raise UserError("--quick is a number of --steps: give one of the two")
    if key and not checkpoint:
        raise UserError("--key chooses inside the file of --checkpoint: give that too")
    if every and hyper:
        raise UserError("--hyper is of one model: name it instead of --all")
    if (recorded or bundle) and (fixed := _given(context, _WITH_BUNDLE)):
        raise UserError(f"a recording fixes what it was made with: leave out {fixed}")
    started = time.perf_counter()
    names = list(MODELS) if every else [get_spec(model).name if model else ""]
    if out:
        _make_folder(out)  # before anything slow
    tensors, hyper = _weights(checkpoint, names[0] or None, key, hyper)

    def compared(name: str, precision: str) -> Any:
        if file := bundle or (recorded and bundle_file(name)):
            kept = vae_jax.read_checkpoint(file)
            return check_bundle(kept, model=name or None, precision=precision, tensors=tensors)
        given = {"batch_size": batch_size, "seed": seed, "tensors": tensors, **hyper}
        given["steps"] = _QUICK_STEPS if quick else steps
        try:
            return check_model(name, precision=precision, **given)
        except MissingExtraError as error:
            advice = "or compare with what it recorded: add --recorded"
            raise UserError(f"{error}; {advice}") from error

    reports = []
    try:
        for name, precision in itertools.product(names, precisions):
            reports.append(compared(name, precision))
            if not as_json:
                click.echo(table(reports[-1]) + "\n")
    finally:
        if out and reports:  # nothing that was compared is lost
            files = write_reports(Path(out), reports)
            click.echo(f"in {out}: {', '.join(files)}", err=True)
    minutes = (time.perf_counter() - started) / 60
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports], indent=2))
    else:
        click.echo(f"{summary(reports)}\n\n{minutes:.1f} minutes on {device_names()}")
    sys.exit(0 if all(report.passed for report in reports) else 1)


@parity.command()
@click.argument("model")
@click.option("--out", required=True, help="The file to write, such as bundle.safetensors.")
@click.option("--steps", default=20, type=click.IntRange(0), help="Training steps to record.")
@_checkpoint_option("seeded ones")
@key_option
@hyper_option
@_batch_option
@_seed_option
def record(
    model: str,
    out: str,
    steps: int,
    checkpoint: str | None,
    key: str | None,
    hyper: dict[str, Any],
    batch_size: int,
    seed: int,
) -> None:
    """Record what MODEL's original computes, for `vae-jax parity --bundle` on another machine.

    The file holds digests of every stage in float64, and the original's own errors in float32,
    TF32 and bfloat16. With --checkpoint it knows the weights by their hash: the same checkpoint is
    then needed to compare.
    """
    setup_jax()
    import vae_jax
    from vae_jax.errors import UserError
    from vae_jax.models import get_spec
    from vae_jax.parity.bundle import record as record_bundle

    if Path(out).suffix != ".safetensors":
        raise UserError(f"{out} is no name of a bundle: expected one that ends in .safetensors")
    if Path(out).exists():
        raise UserError(f"{out} exists already: choose another name")
    _make_folder(str(Path(out).parent))  # before anything slow
    tensors, hyper = _weights(checkpoint, get_spec(model).name, key, hyper)
    bundle = record_bundle(
        model, seed=seed, batch_size=batch_size, steps=steps, tensors=tensors, **hyper
    )
    vae_jax.write_checkpoint(out, bundle)
    click.echo(f"{out}: {Path(out).stat().st_size:,} bytes")


def _make_folder(path: str) -> None:
    from vae_jax.errors import UserError

    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made a folder: {error.strerror}") from error


def _weights(
    checkpoint: str | None, name: str | None, key: str | None, hyper: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """A checkpoint's tensors under the reference's names, and its hyperparameters."""
    if not checkpoint:
        return None, hyper
    from vae_jax.convert import export_weights
    from vae_jax.pretrained import load

    loaded = load(checkpoint, name, key=key, **hyper)
    return export_weights(loaded.name, loaded.variables, **loaded.hyper), loaded.hyper


def _given(context: click.Context, known: tuple[str, ...]) -> str:
    """The options that the command line names beside the known ones."""
    source, typed = context.get_parameter_source, ParameterSource.COMMANDLINE
    known = (*known, "out", "as_json")
    names = [n for n in context.params if n not in known and source(n) is typed]
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
