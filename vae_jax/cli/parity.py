"""``vae-jax parity``: compare a model with its original, and record originals."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vae_jax.cli.options import hyper_option, json_option, key_option, setup_jax

if TYPE_CHECKING:
    from vae_jax.cli.devices import Decorator
    from vae_jax.parity.report import Report
    from vae_jax.typing import Tensors

# Options that a recording does not fix.
_WITH_BUNDLE = ("model", "every", "recorded", "bundle", "checkpoint", "key", "precisions")
# Repeated from vae_jax.parity.precision, whose import would load JAX.
_PRECISIONS = ("float64", "float32", "tf32", "bfloat16")
_QUICK_STEPS = 3

_seed_option = click.option(
    "--seed", default=0, type=click.IntRange(0), help="Seed of images and noise."
)
_batch_option = click.option(
    "--batch-size", default=4, type=click.IntRange(2), help="Images per step."
)


def _checkpoint_option(default: str) -> Decorator:
    text = f"Weights to start from: a run, folder or file; default: {default}."
    return click.option("--checkpoint", help=text)


class _Parity(click.Group):
    """A group whose default command is ``check``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Give errors another exit status than a comparison that fails."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            vars(error)["exit_status"] = 2
            raise


@click.group(cls=_Parity)
def parity() -> None:
    """Compare models with their originals."""


@parity.command()
@click.argument("model", required=False)
@click.option("--all", "every", is_flag=True, help="Compare all models.")
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(_PRECISIONS),
    default=("float64",),
    help="Precision of both; repeatable.",
)
@click.option("--quick", is_flag=True, help=f"Compare only {_QUICK_STEPS} training steps.")
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
    hyper: dict[str, object],
    batch_size: int,
    seed: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Compare MODEL with its original, stage by stage; the first divergence is listed first.

    Both start from the same weights and get the same images, noise and batch order. Compared are
    the layers, posterior heads, loss terms, every gradient, the optimiser by itself, one step, and
    a run of steps. The original's framework must be installed; otherwise compare with a recording
    (--recorded or --bundle, see `vae-jax parity record --help`).

    Exit status: 0 if everything agrees, 1 if an error exceeds its tolerance, 2 if the comparison
    could not run.
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
        raise UserError("--checkpoint and --bundle need one model: name it instead of --all")
    if recorded and bundle:
        raise UserError("--recorded and --bundle exclude each other; leave out one")
    if quick and context.get_parameter_source("steps") is ParameterSource.COMMANDLINE:
        raise UserError("--quick sets --steps; leave out one")
    if key and not checkpoint:
        raise UserError("--key needs --checkpoint, the file to choose from")
    if every and hyper:
        raise UserError("--hyper needs one model: name it instead of --all")
    if (recorded or bundle) and (fixed := _given(context, _WITH_BUNDLE)):
        raise UserError(f"a recording fixes these options; leave out {fixed}")
    started = time.perf_counter()
    names = list(MODELS) if every else [get_spec(model).name if model else ""]
    if out:
        _make_folder(out)  # fails before the slow work
    tensors, hyper = _weights(checkpoint, names[0] or None, key, hyper)

    def compared(name: str, precision: str) -> Report:
        if file := bundle or (recorded and bundle_file(name)):
            kept = vae_jax.read_checkpoint(file)
            return check_bundle(kept, model=name or None, precision=precision, tensors=tensors)
        given: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "tensors": tensors}
        given |= {**hyper, "steps": _QUICK_STEPS if quick else steps}
        try:
            return check_model(name, precision=precision, **given)
        except MissingExtraError as error:
            advice = "or compare with its recording: add --recorded"
            raise UserError(f"{error}; {advice}") from error

    reports: list[Report] = []
    try:
        for name, precision in itertools.product(names, precisions):
            reports.append(compared(name, precision))
            if not as_json:
                click.echo(table(reports[-1]) + "\n")
    finally:
        if out and reports:  # keep finished reports when a later comparison fails
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
    hyper: dict[str, object],
    batch_size: int,
    seed: int,
) -> None:
    """Record what MODEL's original computes, for `vae-jax parity --bundle` on another machine.

    The file holds a summary of every stage in float64, and the original's own errors in float32,
    TF32 and bfloat16. With --checkpoint it stores only the weights' hash; comparing then needs the
    same checkpoint.
    """
    setup_jax()
    import vae_jax
    from vae_jax.errors import UserError
    from vae_jax.models import get_spec
    from vae_jax.parity.bundle import record as record_bundle

    if Path(out).suffix != ".safetensors":
        raise UserError(f"{out}: expected a name that ends in .safetensors")
    if Path(out).exists():
        raise UserError(f"{out} exists already; choose another name")
    _make_folder(str(Path(out).parent))  # fails before the slow work
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
        raise UserError(f"cannot create the folder {path}: {error.strerror}") from error


def _weights(
    checkpoint: str | None, name: str | None, key: str | None, hyper: dict[str, object]
) -> tuple[Tensors | None, dict[str, object]]:
    """Return a checkpoint's tensors under the reference's names, and its hyperparameters."""
    if not checkpoint:
        return None, hyper
    from vae_jax.convert import export_weights
    from vae_jax.pretrained import load

    loaded = load(checkpoint, name, key=key, **hyper)
    return export_weights(loaded.name, loaded.variables, **loaded.hyper), loaded.hyper


def _given(context: click.Context, known: tuple[str, ...]) -> str:
    """Return the options that the command line gives besides the known ones."""
    source, typed = context.get_parameter_source, ParameterSource.COMMANDLINE
    known = (*known, "out", "as_json")
    names = [n for n in context.params if n not in known and source(n) is typed]
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
