"""Options that several commands share, made from the data that they set."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import typing
from collections.abc import Callable
from typing import Any

import click

from vae_jax.recipe import Recipe

json_option = click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
label_option = click.option(
    "--label", multiple=True, type=int, help="Class number, for a model that takes labels."
)
one_label_option = click.option(
    "--label", type=int, help="Class number to decode with, for a model that takes labels."
)
data_option = click.option("--data", help="Data source; default: the one it was trained on.")
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
    "--model", help="Model of a reference checkpoint file; found out where the file tells."
)
key_option = click.option(
    "--key", help="Dotted path of the weights inside a file that holds several sets."
)
hyper_option = click.option(
    "--hyper",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda _ctx, _param, values: dict(_hyper(v) for v in values),
    help="A hyperparameter that differs from the reference's, such as latent_size=25.",
)


def checkpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a checkpoint file holds, where it does not tell."""
    return model_option(key_option(hyper_option(command)))


def trained_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument TRAINED and its ``checkpoint_options``.

    The command itself is called with ``loaded``, the model, in place of what names it.
    """

    @functools.wraps(command)
    def load_first(
        trained: str, model: str | None, key: str | None, hyper: Any, **others: Any
    ) -> Any:
        setup_jax()
        from vae_jax.pretrained import load

        return command(loaded=load(trained, model, key=key, **hyper), **others)

    return click.argument("trained")(checkpoint_options(load_first))


def group_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that define groups of images, and say how they are encoded."""
    for option in (
        click.option("--use-mean", is_flag=True, help="Encode by posterior means, not draws."),
        seed_option,
        click.option(
            "--per-group",
            default=64,
            type=click.IntRange(1),
            help="Images to take of those that match attr:..., the first.",
        ),
        click.option(
            "--group",
            "definitions",
            multiple=True,
            metavar="NAME=IMAGES",
            help="A group: training images by number (0,3,-5: negative from the end), picture "
            "files or folders (a.png,more/), or by attribute (attr:glasses=yes,smile=0..1).",
        ),
    ):
        command = option(command)
    return command


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every field of Recipe; None where the user leaves the recipe's value, which
    depends on the model (``vae-jax models`` shows it)."""
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
            usual = "" if field.default is dataclasses.MISSING else f", mostly {field.default}"
            settings["show_default"] = f"the recipe's{usual}"
        command = click.option(*names, field.name, **settings)(command)
    return command


def set_fields(values: dict[str, Any]) -> dict[str, Any]:
    """The recipe fields that the user set."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    return {n: values[n] for n in names if values.get(n) is not None}


def setup_jax(*, x64: bool = False) -> None:
    """Settings of every command that computes: precision, memory, and XLA's cache on disk."""
    import logging

    import jax

    from vae_jax.data.cache import cache_folder
    from vae_jax.memory import keep_freed_memory

    keep_freed_memory()
    # Where Orbax reports its timings, and tracebacks of damaged files and full disks: we say it.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    jax.config.update("jax_enable_x64", x64)
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home only costs the compile time again
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _unraisable(what: Any) -> None:
    """Leaves out that TensorStore, after an error, calls an event loop that Orbax has closed."""
    if str(what.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(what)


def _hyper(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE")
    if name in ("path", "model", "key", "name"):  # arguments of the functions that take them
        raise click.BadParameter(f"no model has a hyperparameter {name!r}")
    try:
        return name, int(value)
    except ValueError:
        return name, value
