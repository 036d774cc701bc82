"""``vae-jax convert``: convert between reference checkpoints and Flax checkpoint folders."""

from __future__ import annotations

import json
from pathlib import Path

import click

from vae_jax.cli.options import checkpoint_options, json_option, setup_jax

SUFFIXES = (".safetensors", ".pth", ".pt", ".pdparams", ".index")


@click.command()
@click.argument("source", nargs=-1, required=True)
@click.option("--to", "to", required=True, help="New folder (Flax checkpoint) or file to write.")
@checkpoint_options
@click.option(
    "--optimizer", is_flag=True, help="Also write Adam's state, so that training can continue."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@json_option
def convert(
    source: tuple[str, ...],
    to: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, object],
    optimizer: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Convert SOURCE to another format, account for every tensor, and verify the written file.

    SOURCE is a run folder, a Flax checkpoint folder or a reference checkpoint: a file, the prefix
    of a TensorFlow checkpoint (train-9), or the encoder's and the decoder's files where these are
    separate. --to names a new folder for a Flax checkpoint, or a file: .safetensors; .pth or .pt
    (needs PyTorch); .pdparams (A_encoder_False.pdparams; the decoder is written beside it);
    .index (a TensorFlow checkpoint; needs TensorFlow).

    With --optimizer the result is a training checkpoint of the original's framework: for PyTorch
    {"model", "optimizer", "epoch"} in one file, for Paddle a .pdopt beside each .pdparams, for
    TensorFlow Adam's slots beside the variables.
    """
    setup_jax()
    import vae_jax
    from vae_jax.convert.training_files import SUFFIXES as OPTIMIZER_SUFFIXES
    from vae_jax.convert.training_files import files_with_adam, write_with_adam
    from vae_jax.errors import CheckpointError
    from vae_jax.optimizer_transfer import export_optimizer
    from vae_jax.pretrained import load
    from vae_jax.training.checkpoint import save_variables

    target = Path(to)
    if target.suffix and target.suffix not in SUFFIXES:
        raise CheckpointError(
            f"cannot write {target.suffix} files; expected {', '.join(SUFFIXES)}, or a folder "
            "name without a suffix"
        )
    _require_absent(target, force)
    trained = load(source, model, key=key, **hyper)
    tensors = vae_jax.export_weights(trained.name, trained.variables, **trained.hyper)
    files, kept = {"": target}, None
    if target.suffix == ".pdparams" and trained.spec.reference.parts:
        files = _files_of_parts(target, trained.spec.reference.parts)
    written = list(files.values())
    if optimizer:
        framework = trained.spec.reference.framework
        if target.suffix not in OPTIMIZER_SUFFIXES[framework]:
            raise CheckpointError(
                f"{to}: --optimizer writes {trained.name}'s Adam state only for {framework}; "
                f"expected a name that ends in {' or '.join(OPTIMIZER_SUFFIXES[framework])}"
            )
        kept = export_optimizer(source[0], trained)
        written = files_with_adam(trained.name, written)
    for path in written:
        _require_absent(path, force)
    if kept is not None:
        write_with_adam(trained.name, list(files.values()), tensors, *kept)
    elif not target.suffix:
        save_variables(target, trained.name, trained.hyper, trained.variables)
    elif "" in files:
        vae_jax.write_checkpoint(target, tensors)
    else:
        from vae_jax.convert.parts import split_parts

        for part, contents in split_parts(tensors).items():
            vae_jax.write_checkpoint(files[part], contents)
    names = [to] if "" in files else [str(path) for path in written]
    remarks = (*trained.remarks, *(kept.adam.remarks if kept is not None else ()))
    count = sum(t.size for t in tensors.values())
    if as_json:
        figures = {"model": trained.name, "tensors": len(tensors), "numbers": count, "to": to}
        if kept is not None:
            figures |= {"optimizer_steps": kept.adam.step, "optimizer": kept.settings}
        click.echo(json.dumps(figures | {"files": names, "remarks": remarks}))
    else:
        click.echo(f"{trained.name}: {len(tensors)} tensors, {count:,} numbers: {names[0]}")
        for path in names[1:]:
            click.echo(f"  and {path}")
        if kept is not None:
            settings = ", ".join(f"{field} {value:g}" for field, value in kept.settings.items())
            click.echo(f"  Adam after {kept.adam.step} steps: {settings}")
        for remark in remarks:
            click.echo(f"  {remark}")


def _require_absent(path: Path, force: bool) -> None:
    from vae_jax.errors import CheckpointError

    if path.is_file() and not force:
        raise CheckpointError(f"{path} exists already; choose another name, or add --force")


def _files_of_parts(target: Path, parts: tuple[str, ...]) -> dict[str, Path]:
    """Return one file per part, named after the first part's."""
    from vae_jax.convert.parts import sibling
    from vae_jax.errors import CheckpointError

    files = {part: sibling(target, parts[0], part) for part in parts}
    found = {part: path for part, path in files.items() if path is not None}
    if len(found) < len(parts):
        raise CheckpointError(
            f"{target.name}: this model is saved as {len(parts)} files; expected a name with "
            f"{parts[0]!r} in it, such as A_{parts[0]}_False.pdparams"
        )
    return found
