"""The program ``vae-jax``: one file per command, loaded when the command is used.

``vae-jax --help`` must answer at once, so nothing heavy is imported here, and each command's file
imports JAX inside the command.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from vae_jax.errors import UserError, did_you_mean
from vae_jax.files import require_local

# name -> its module, and its line in ``vae-jax --help``
COMMANDS = {
    "models": ("models", "List the models with their hyperparameters and recipes."),
    "train": ("train", "Train a model by its tutorial's recipe."),
    "reconstruct": ("reconstruct", "Draw images above their reconstructions."),
    "sample": ("sample", "Draw images decoded from the prior."),
    "denoise": ("denoise", "Draw noisy images and their denoised versions; print the PSNR."),
    "arithmetic": ("arithmetic", "Add and subtract the encodings of groups of images, and decode."),
    "interpolate": ("interpolate", "Interpolate between the encodings of two groups, and decode."),
    "direction": ("arithmetic", "Add an attribute to images or remove it."),
    "nearest": ("nearest", "Draw samples beside their nearest training images."),
    "latents": ("latents", "Plot a model's encodings of images."),
    "manifold": ("manifold", "Decode a grid of latents into one picture."),
    "explore": ("explore", "Explore a model's latent space in a browser."),
    "evaluate": ("evaluate", "Measure loss terms, likelihood bounds and PSNR on a test set."),
    "convert": ("convert", "Convert a checkpoint to another format."),
    "parity": ("parity", "Compare a model with its original, number by number."),
    "benchmark": ("benchmark", "Measure a model's speed against this machine's limits."),
    "faces": ("faces", "Write synthetic faces with known attributes to a folder."),
    "demo": ("demo", "Import, verify, train and draw, in about a minute."),
}


class Commands(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None for an unknown name, which click reports."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"vae_jax.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument; suggest the nearest one if there is none."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"there is no command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of ``vae-jax --help`` without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"show_default": True})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="vae-jax")
def cli(debug: bool) -> None:
    """The variational autoencoders that people learn from, in JAX, with proof that they agree."""


def main() -> None:
    """Run the command; report errors in one line on standard error and by the exit status."""
    debug = "--debug" in sys.argv
    if debug:  # click itself accepts it only before the command
        sys.argv = [a for a in sys.argv if a != "--debug"]
    try:
        require_local(*sys.argv[1:])  # no command takes an address; this is before any has begun
        sys.exit(cli.main(prog_name="vae-jax", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        resume = "; continue the run with --resume" if "train" in sys.argv else ""
        _fail(f"stopped{resume}", 130)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message().replace("\n", " ") + hint, 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except UserError as error:
        if debug:
            raise
        _fail(str(error), _status(error))
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())[:500]
        hint = "(rerun with --debug for the traceback)"
        _fail(f"{type(error).__name__}: {text} {hint}", _status(error))


def _status(error: Exception) -> int:
    """Return the status that the command set for its errors, or 1."""
    return getattr(error, "exit_status", 1)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    if "vae_jax.training.hosts" in sys.modules:  # this process may have joined other hosts
        sys.modules["vae_jax.training.hosts"].leave(status)
    sys.exit(status)
