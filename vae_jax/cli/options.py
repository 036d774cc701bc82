"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import typing
from collections.abc import Mapping
from typing import Any

import click

from vae_jax.cli.devices import Command
from vae_jax.recipe import Recipe

json_option = click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
label_option = click.option(
    "--label", multiple=True, type=int, help="Class number, for a model with labels; repeatable."
)
one_label_option = click.option(
    "--label", type=int, help="Class number to decode with, for a model with labels."
)
data_option = click.option("--data", help="Data source; default: the training data.")
seed_option = click.option(
    "--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the noise."
)
dimensions_option = click.option(
    "--dimensions",
    nargs=2,
    type=click.IntRange(0),
    show_default="0 1",
    help="The two latent dimensions to draw, from 0.",
)
model_option = click.option(
    "--model", help="Model of a reference checkpoint; detected where possible."
)
key_option = click.option(
    "--key", help="Dotted path of the weights in a file that holds several sets."
)
hyper_option = click.option(
    "--hyper",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda _ctx, _param, values: dict(_hyper(v) for v in values),
    help="A hyperparameter that differs from the reference's, such as latent_size=25.",
)


def checkpoint_options(command: Command) -> Command:
    """Add the options that describe a checkpoint's contents where they cannot be detected."""
    return model_option(key_option(hyper_option(command)))


def trained_options(command: Command) -> Command:
    """Add the argument TRAINED and its ``checkpoint_options``.

    The command is called with the loaded model, ``loaded``, in their place.
    """

    @functools.wraps(command)
    def load_first(
        trained: str, model: str | None, key: str | None, hyper: dict[str, object], **others: object
    ) -> object:
        setup_jax()
        from vae_jax.pretrained import load

        return command(loaded=load(trained, model, key=key, **hyper), **others)

    return click.argument("trained")(checkpoint_options(load_first))


def group_options(command: Command) -> Command:
    """Add the options that define groups of images and how to encode them."""
    for option in (
        click.option(
            "--use-mean", is_flag=True, help="Encode by posterior means instead of draws."
        ),
        seed_option,
        click.option(
            "--per-group",
            default=64,
            type=click.IntRange(1),
            help="Most images to take for an attr:... group.",
        ),
        click.option(
            "--group",
            "definitions",
            multiple=True,
            metavar="NAME=IMAGES",
            help="Define a group: training images by number (0,3,-5; negative from the end), "
            "picture files or folders (a.png,more/), or attributes (attr:glasses=yes,smile=0..1).",
        ),
    ):
        command = option(command)
    return command


def recipe_options(command: Command) -> Command:
    """Add an option for every field of ``Recipe``.

    The default is None, which keeps the recipe's value: that depends on the model.
    """
    types = typing.get_type_hints(Recipe)
    for field in reversed(dataclasses.fields(Recipe)):
        flag, kind = field.name.replace("_", "-"), types[field.name]
        settings: dict[str, Any] = {"default": None, "help": field.metadata["help"]}
        if kind is bool:
            names = [f"--{flag}/--keep-{flag.removeprefix('drop-')}"]
        else:
            names = [f"--{flag}"]
            choices = typing.get_args(kind)
            settings["type"] = click.Choice(choices) if choices else kind
            usual = "" if field.default is dataclasses.MISSING else f", usually {field.default}"
            settings["show_default"] = f"the recipe's{usual}"
        command = click.option(*names, field.name, **settings)(command)
    return command


def set_fields(values: Mapping[str, object]) -> dict[str, object]:
    """Return the recipe fields that the user set."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    return {n: values[n] for n in names if values.get(n) is not None}


def setup_jax(*, x64: bool = False) -> None:
    """Configure JAX's precision, the allocator, logging and XLA's cache on disk."""
    import logging

    import jax

    from vae_jax.data.cache import cache_folder
    from vae_jax.memory import keep_freed_memory

    keep_freed_memory()
    # Orbax logs timings here, and tracebacks of damaged files and full disks, which we report.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    jax.config.update("jax_enable_x64", x64)
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # with a read-only home, compile every time
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    """Hide that TensorStore, after an error, calls an event loop that Orbax has closed."""
    if str(what.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(what)


def _hyper(text: str) -> tuple[str, int | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    if name in ("path", "model", "key", "name"):  # arguments of the functions that take **hyper
        raise click.BadParameter(f"no model has a hyperparameter {name!r}")
    try:
        return name, int(value)
    except ValueError:
        return name, value
