"""The command ``vae-jax``: a command a file beside this, loaded when it is used.

``vae-jax --help`` must answer at once, so nothing heavy is imported here, and each command's file
imports JAX inside the command.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from vae_jax.errors import UserError

# name -> its file beside this, and the line that ``vae-jax --help`` shows
COMMANDS = {
    "models": ("models", "List the models, and what each takes."),
    "train": ("train", "Train a model by its tutorial's recipe."),
    "reconstruct": ("pictures", "Draw images above their reconstructions."),
    "sample": ("pictures", "Draw images decoded from the prior."),
    "denoise": ("denoise", "Draw noisy images, denoised; print the PSNR of both."),
    "arithmetic": ("arithmetic", "Decode sums and differences of groups' encodings."),
    "interpolate": ("interpolate", "Decode the way from one group of images to another."),
    "direction": ("arithmetic", "Add an attribute to images, or take it away."),
    "nearest": ("nearest", "Draw samples beside the training images nearest to them."),
    "latents": ("latents", "Draw where a model puts images in its latent space."),
    "manifold": ("manifold", "Draw what a model decodes over its latent space."),
    "explore": ("explore", "Explore a model's latent space in a browser."),
    "evaluate": ("evaluate", "Measure a model on a test set: terms, bounds, PSNR."),
    "convert": ("convert", "Turn a checkpoint into another format."),
    "parity": ("parity", "Compare a port with its original, number by number."),
    "benchmark": ("benchmark", "Time a model at work, beside what this machine allows."),
    "faces": ("faces", "Write synthetic faces with exact attributes to a folder."),
    "demo": ("demo", "Import, verify, train and draw, in about a minute."),
}


class Commands(click.Group):
    """The group that loads a command's file when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; None for an unknown name, which click reports."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"vae_jax.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``vae-jax --help``, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"show_default": True})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="vae-jax")
def cli(debug: bool) -> None:
    """The variational autoencoders that people learn from, in JAX, with proof that they agree."""


def main() -> None:
    """Runs the command; an error is one line on standard error and a non-zero exit status."""
    debug = "--debug" in sys.argv
    if debug:  # wherever it stands on the line
        sys.argv = [a for a in sys.argv if a != "--debug"]
    try:
        sys.exit(cli.main(prog_name="vae-jax", standalone_mode=False) or 0)
    except click.exceptions.Abort:
        resume = "; a run goes on with --resume" if "train" in sys.argv else ""
        _fail(f"stopped{resume}", 130)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message().replace("\n", " ") + hint, 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except BrokenPipeError:  # the reader of our output has gone
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
        hint = "(run again with --debug for the traceback)"
        _fail(f"{type(error).__name__}: {text} {hint}", _status(error))


def _status(error: Exception) -> int:
    """1, unless a command gave its errors a status of their own."""
    return getattr(error, "exit_status", 1)


def _fail(message: str, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    if "vae_jax.training.hosts" in sys.modules:  # the one that may have joined others
        sys.modules["vae_jax.training.hosts"].leave(status)
    sys.exit(status)
