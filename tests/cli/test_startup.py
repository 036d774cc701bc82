"""What the program costs before it does anything, and what it says about itself."""

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from vae_jax.cli import COMMANDS

HEAVY = ("jax", "flax", "optax", "orbax", "numpy", "torch", "matplotlib", "tensorflow")
MODULES_AFTER = """
import json, sys
from vae_jax.cli import main
sys.argv[0] = "vae-jax"
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""


def modules_after(*arguments):
    """Exit status and loaded modules of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_AFTER, *map(str, arguments)], capture_output=True, text=True
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert not code, done.stderr
    return set(modules)


def modules_after_all(commands):
    """The modules that one process has loaded after several commands, none of which may fail."""
    script = MODULES_AFTER.replace(
        "try:\n    main()",
        "commands = json.loads(sys.argv[1])\n"
        "for arguments in commands[:-1]:\n"
        "    sys.argv = ['vae-jax', *arguments]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        assert not ended.code, arguments\n"
        "sys.argv = ['vae-jax', *commands[-1]]\n"
        "try:\n    main()",
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)], capture_output=True, text=True
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert not code, done.stderr
    return set(modules)


def test_help_imports_nothing_heavy():
    assert not modules_after("--help").intersection(HEAVY)


def test_no_commands_help_waits_for_jax():
    commands = [[name, "--help"] for name in COMMANDS if name != "models"]
    assert not modules_after_all(commands).intersection({"jax", "flax", "torch", "orbax"})


def test_help_answers_at_once(record_property):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "vae_jax", "--help"], capture_output=True)
        seconds.append(time.perf_counter() - started)
        assert done.stdout.startswith(b"Usage: vae-jax ")
    median = statistics.median(seconds)
    record_property("seconds", median)
    print(f"vae-jax --help: median {median:.3f} s")
    assert median < 1.0  # about 0.1 s on an idle machine


def test_help_lists_every_command_with_the_line_of_its_own_help(succeed):
    out = succeed("--help").out
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in out
        assert line in out


def test_every_command_has_a_help_with_its_defaults(succeed):
    for command in COMMANDS:
        out = succeed(command, "--help").out
        assert out.startswith(f"Usage: vae-jax {command}")
        if command not in ("models", "convert"):  # they have no option with a default
            assert "[default: " in " ".join(out.split()), command


def test_the_version_is_the_packages(succeed):
    import vae_jax

    assert vae_jax.__version__ in succeed("--version").out


def test_the_models_are_listed_with_their_recipes(succeed):
    from vae_jax.models import MODELS

    out = succeed("models").out
    for name, spec in MODELS.items():
        assert name in out
        assert spec.summary in out
        assert spec.reference.checkpoint in out
        assert f"{spec.recipe.epochs} epochs, batch {spec.recipe.batch_size}" in out


def test_the_models_are_listed_as_json_with_every_number(succeed):
    import dataclasses

    from vae_jax.models import MODELS
    from vae_jax.models.hyper import parse_hyperparameters

    listed = json.loads(succeed("models", "--json").out)
    assert list(listed) == list(MODELS)
    for name, spec in MODELS.items():
        assert listed[name]["recipe"] == dataclasses.asdict(spec.recipe)
        assert (
            parse_hyperparameters(spec, listed[name]["hyperparameters"]) == spec.hyperparameters()
        )
        assert tuple(listed[name]["image_shape"]) == spec.module.image_shape
        assert listed[name]["num_classes"] == spec.num_classes
        told = listed[name]["reference"]
        assert told.keys() == {"framework", "tutorial", "checkpoint", "parts"}
        for field, value in told.items():
            expected = getattr(spec.reference, field)
            assert (tuple(value) if isinstance(value, list) else value) == expected


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "vae_jax", "--help"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_training_and_converting_never_load_pytorch(data, tmp_path, digits_file):
    run = tmp_path / "run"
    commands = [
        ["train", "digits_ae", "--data", data, "--epochs", "1", "--out", str(run)],
        ["reconstruct", str(run), "--out", str(tmp_path / "a.png")],
        ["convert", str(digits_file), "--to", str(tmp_path / "a.safetensors")],
        ["convert", str(run), "--to", str(tmp_path / "b.safetensors")],
    ]
    modules = modules_after_all(commands)
    assert "jax" in modules
    assert not {"torch", "tensorflow", "paddle"}.intersection(modules)
