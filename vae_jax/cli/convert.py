"""``vae-jax convert``: between reference checkpoints and Flax checkpoint folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.options import hyper_option, json_option, key_option, model_option, setup_jax

SUFFIXES = (".safetensors", ".pth", ".pt")


@click.command()
@click.argument("source")
@click.option("--to", "to", required=True, help="A new folder (Flax), or a file to write.")
@model_option
@key_option
@hyper_option
@click.option("--force", is_flag=True, help="Replace the file that --to names.")
@json_option
def convert(
    source: str,
    to: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
    force: bool,
    as_json: bool,
) -> None:
    """Turn SOURCE into another format, every tensor accounted for and read back.

    SOURCE is a run folder, a Flax checkpoint folder or a reference checkpoint file. --to names a
    new folder for a Flax checkpoint, or a file: .safetensors, or .pth and .pt (needs PyTorch).
    """
    setup_jax()
    import vae_jax
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import CheckpointError
    from vae_jax.training.checkpoint import save_variables

    target = Path(to)
    if target.suffix and target.suffix not in SUFFIXES:
        raise CheckpointError(
            f"cannot write {target.suffix} files; expected {', '.join(SUFFIXES)}, or a folder "
            "name without a suffix"
        )
    if target.is_file() and not force:
        raise CheckpointError(f"{target} exists already; choose another name, or add --force")
    trained = load_trained(source, model, key, hyper)
    tensors = vae_jax.export_weights(trained.name, trained.variables, **trained.hyper)
    if target.suffix:
        vae_jax.write_checkpoint(target, tensors)
    else:
        save_variables(target, trained.name, trained.hyper, trained.variables)
    count = sum(t.size for t in tensors.values())
    if as_json:
        figures = {"model": trained.name, "tensors": len(tensors), "numbers": count, "to": to}
        click.echo(json.dumps(figures))
    else:
        click.echo(f"{trained.name}: {len(tensors)} tensors, {count:,} numbers: {to}")
