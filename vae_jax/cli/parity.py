"""``vae-jax parity``: a port against its original, in one table."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from click.core import ParameterSource

from vae_jax.cli.options import hyper_option, json_option, key_option, setup_jax

_WITH_RECORDED = ("model", "every", "recorded", "as_json")  # a recording fixes all else


@click.command()
@click.argument("model", required=False)
@click.option("--all", "every", is_flag=True, help="All models.")
@click.option(
    "--recorded",
    is_flag=True,
    help="Against what the original computed when it was recorded; it need not be installed.",
)
@click.option(
    "--checkpoint",
    help="Weights to start from: a run, folder or file; default: the original's own.",
)
@key_option
@hyper_option
@click.option(
    "--precision",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    help="Of both sides.",
)
@click.option("--steps", default=20, type=click.IntRange(0), help="Training steps to compare.")
@click.option("--batch-size", default=4, type=click.IntRange(2), help="Images a step.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of weights, images and noise.")
@json_option
@click.pass_context
def parity(
    context: click.Context,
    model: str | None,
    every: bool,
    recorded: bool,
    checkpoint: str | None,
    key: str | None,
    hyper: dict[str, Any],
    precision: str,
    steps: int,
    batch_size: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare MODEL with its original, which must be installed, or with what it recorded.

    Both start from the same weights and see the same images, noise and batch order: outputs,
    loss terms, every gradient, and weights, moments and statistics after some training steps.
    Errors are relative to the largest magnitude of each tensor. The exit status is 1 when a
    budget is broken.
    """
    setup_jax(x64=precision == "float64")
    import jax

    import vae_jax
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import MissingExtraError, UserError
    from vae_jax.models import MODELS, get_spec
    from vae_jax.parity.check import check_model
    from vae_jax.parity.golden import check_golden, golden_file
    from vae_jax.parity.report import summary

    if every == (model is not None) or (every and checkpoint):
        raise UserError("name one model, or give --all (without --checkpoint)")
    if recorded and (fixed := _given(context, _WITH_RECORDED)):
        raise UserError(f"--recorded takes what it needs from its file: leave out {fixed}")
    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32 on either side
    names = list(MODELS) if every else [get_spec(str(model)).name]
    tensors = None
    if checkpoint:
        trained = load_trained(checkpoint, names[0], key, hyper)
        hyper = trained.hyper
        tensors = vae_jax.export_weights(names[0], trained.variables, **hyper)
    reports = {}
    for name in names:
        if recorded:
            report = check_golden(name, vae_jax.read_checkpoint(golden_file(name)))
        else:
            try:
                report = check_model(
                    name,
                    precision=precision,
                    steps=steps,
                    batch_size=batch_size,
                    seed=seed,
                    tensors=tensors,
                    **hyper,
                )
            except MissingExtraError as error:
                raise UserError(
                    f"{error}; or compare with recorded values: add --recorded"
                ) from error
        reports[name] = report
        if not as_json:
            click.echo(report.table())
    if as_json:
        click.echo(json.dumps([report.as_dict() for report in reports.values()], indent=2))
    elif every:
        click.echo(f"\n{summary(reports)}")
    sys.exit(0 if all(report.passed for report in reports.values()) else 1)


def _given(context: click.Context, known: tuple[str, ...]) -> str:
    """The options that the command line names beside the known ones."""
    source, typed = context.get_parameter_source, ParameterSource.COMMANDLINE
    names = [n for n in context.params if n not in known and source(n) is typed]
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
