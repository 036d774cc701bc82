"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

import click

from vae_jax.recipe import Recipe

Command = Callable[..., object]
Decorator = Callable[[Command], Command]

json_option = click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
label_option = click.option(
    "--label", multiple=True, type=int, help="Class number, for a model with labels; repeatable."
)
one_label_option = click.option(
    "--label", type=int, help="Class number to decode with, for a model with labels."
)

_TRANSPOSE = "vae_jax.transpose"


def data_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--data`` and ``--transpose``."""
    option = click.option(
        "--data", callback=_source, help="Data source; default: the training data."
    )
    return transpose_option(option(command))


def _source(ctx: click.Context, _param: click.Parameter, data: str | None) -> str | None:
    """Return the source that ``--data`` and ``--transpose`` name."""
    if not ctx.meta.get(_TRANSPOSE):
        return data
    if data is None or not data.startswith(("idx:", "emnist:")):
        raise click.UsageError("--transpose turns the images of --data idx:DIR; name that too")
    return f"emnist:{data.partition(':')[2]}"


transpose_option = click.option(
    "--transpose",
    is_flag=True,
    is_eager=True,  # before --data, which it changes
    expose_value=False,
    callback=lambda ctx, _param, value: ctx.meta.update({_TRANSPOSE: value}),
    help="Transpose the images of --data idx:DIR, as EMNIST's need it (emnist:DIR).",
)
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


class PicturePath(click.ParamType):
    """A picture to write: its name is checked before anything is computed.

    Args:
        *others: further suffixes that the command writes by itself.
    """

    name = "file"

    def __init__(self, *others: str):
        self._others = others

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path; fail if its suffix is unknown."""
        from vae_jax.errors import UserError
        from vae_jax.figures.drawing import require_picture_suffix

        try:
            require_picture_suffix(value, self._others)
        except UserError as error:
            self.fail(str(error), param, ctx)
        return value


def picture_option(
    default: str, text: str = "The picture to write."
) -> Callable[[Command], Command]:
    """Return the option ``--out`` of a command that writes a picture."""
    return click.option("--out", default=default, type=PicturePath(), help=text)


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
            verb, _, what = flag.partition("-")
            names = [f"--{flag}/--{'keep' if verb == 'drop' else 'refuse'}-{what}"]
        else:
            names = [f"--{flag}"]
            choices = typing.get_args(kind)
            settings["type"] = click.Choice(choices) if choices else kind
            usual = "" if field.default is dataclasses.MISSING else f", usually {field.default}"
            settings["show_default"] = f"the recipe's{usual}"
        if field.name == "data":
            settings["callback"] = _source
            command = transpose_option(command)
        command = click.option(*names, field.name, **settings)(command)
    return command


def set_fields(values: Mapping[str, object]) -> dict[str, object]:
    """Return the recipe fields that the user set."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    return {n: values[n] for n in names if values.get(n) is not None}


def setup_jax(*, x64: bool = False, devices: bool = True) -> None:
    """Configure JAX's precision, the allocator, logging and XLA's cache on disk.

    Args:
        x64: compute in float64.
        devices: check that JAX has devices; off where other hosts must be joined first.

    Raises:
        UserError: as in ``require_devices``.
    """
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
    if devices:
        require_devices()
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # with a read-only home, compile every time
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def require_devices() -> None:
    """Check that JAX has devices, before an error of it is taken for one of a file.

    Raises:
        UserError: those that JAX_PLATFORMS asks for are not there.
    """
    import jax

    from vae_jax.errors import UserError

    try:
        jax.devices()
    except Exception as error:  # for lack of a plugin it is an AssertionError without a text
        reason = " ".join(str(error).split())[:200] or "JAX has no plugin or driver for it"
        wanted = os.environ.get("JAX_PLATFORMS", "")
        raise UserError(
            f"there is no device for JAX_PLATFORMS={wanted} ({reason}); leave JAX_PLATFORMS out, "
            "or set it to cpu"
        ) from error


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
