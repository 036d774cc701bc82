"""How far a model's parameters are from those of one device after training on several.

Each model takes its recipe's first steps on 1, 2, 4 and 8 virtual CPU devices, as a mesh (with its
large parameters divided, too) and under pmap, and on 2 processes of 2 devices each, joined over the
loopback address. Printed is the largest relative difference of any parameter from one device under
jit: of a tensor, the largest difference over the largest size.

Beside them stands what rounding alone does on one device, the batch's rows taken in reverse, which
changes no sum but the order of its terms. Parameters whose gradient is zero in exact arithmetic (a
bias before a batch norm) are a column of their own: Adam makes steps of rounding noise there.

    python scripts/compare_devices.py                 # all models, float32 and float64
    python scripts/compare_devices.py --model digits_ae --precision float64
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import vae_jax

COUNTS = (1, 2, 4, 8)
HOSTS, DEVICES_A_HOST = 2, 2


def main() -> None:
    """Runs a process for each model and precision, and one for each host; prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", action="append", choices=vae_jax.MODELS)
    parser.add_argument("--precision", action="append", choices=["float32", "float64"])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument(
        "--devices", type=int, action="append", choices=COUNTS, help="default: 1, 2, 4 and 8"
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        train_part(options)
        return
    for precision in options.precision or ["float32", "float64"]:
        print(
            f"\n{options.steps} steps in {precision}: largest relative difference of a parameter\n"
        )
        print("| model | way | devices | parameters | gradient zero | loss |")
        print("|---|---|---|---|---|---|", flush=True)
        for model in options.model or vae_jax.MODELS:
            with tempfile.TemporaryDirectory() as folder:
                for part, hosts, devices in (("one", 1, 8), ("hosts", HOSTS, DEVICES_A_HOST)):
                    begin = functools.partial(
                        start, model, precision, options.steps, options.devices, Path(folder)
                    )
                    for process in list(begin(part, hosts, devices)):
                        check(process)
                report(model, Path(folder))


def start(
    model: str,
    precision: str,
    steps: int,
    counts: Any,
    folder: Path,
    part: str,
    hosts: int,
    devices: int,
) -> Iterator[subprocess.Popen[str]]:
    """The processes of a part, each with virtual devices."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for host in range(hosts):
        command = [sys.executable, __file__, "--model", model, "--precision", precision]
        command += [f"--devices={count}" for count in counts or ()]
        command += ["--steps", str(steps), "--out", str(folder), "--part", f"{part}:{host}:{port}"]
        yield subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def check(process: subprocess.Popen[str]) -> None:
    """Waits for a process."""
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"error: a part ended with {process.returncode}: {errors[-2000:]}")


def report(model: str, folder: Path) -> None:
    """The model's lines of the table."""
    from vae_jax.convert.mapping import rules_of
    from vae_jax.parity.layers import zero_gradient_tensors

    rules = rules_of(model)
    zero = zero_gradient_tensors(rules)
    apart = {"/".join(rule.target[1:]) for rule in rules if rule.source in zero}
    base = np.load(folder / "jit 1.npz")
    for file in sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns):
        if file.stem == "jit 1":
            continue
        found = np.load(file)
        far = {
            name: float(np.abs(found[name] - base[name]).max() / (np.abs(base[name]).max() or 1.0))
            for name in base.files
        }
        loss = far.pop("loss")
        worst = max((value, name) for name, value in far.items() if name not in apart)
        noisy = max((value for name, value in far.items() if name in apart), default=None)
        way, devices = file.stem.rsplit(" ", 1)
        print(
            f"| {model} | {way} | {devices} | {worst[0]:.1e} ({worst[1]}) | "
            f"{'' if noisy is None else f'{noisy:.1e}'} | {loss:.1e} |",
            flush=True,
        )


def train_part(options: Any) -> None:
    """One process: all ways of one host, or a host of several."""
    import jax

    from vae_jax.training.hosts import start_hosts

    part, host, port = options.part.split(":")
    (precision,), (model,) = options.precision, options.model
    if part == "hosts":
        start_hosts(f"127.0.0.1:{port}", HOSTS, int(host))
    jax.config.update("jax_enable_x64", precision == "float64")
    folder, steps = Path(options.out), options.steps
    if part == "hosts":
        for mode in ("sharded", "pmap"):
            train(model, steps, folder, f"{mode}, {HOSTS} processes", mode, None)
        return
    train(model, steps, folder, "jit", "jit", 1)
    train(model, steps, folder, "jit, rows reversed", "jit", 1, reverse=True)
    most = 4 if (model, precision) == ("face_vae", "float64") else 8  # 8 need more than 24 GiB
    for mode, devices in itertools.product(("sharded", "pmap"), options.devices or COUNTS):
        if devices <= most:
            train(model, steps, folder, mode, mode, devices)
    if model == "face_vae":
        train(model, steps, folder, "sharded, parameters too", "sharded", 4, 2)


def train(
    model: str,
    steps: int,
    folder: Path,
    name: str,
    mode: Any,
    devices: Any,
    axis: int = 1,
    reverse: bool = False,
) -> None:
    """The first steps of a recipe; the parameters go to a file."""
    import jax

    from vae_jax.data import iterate_batches, open_dataset
    from vae_jax.models import create_model, get_spec
    from vae_jax.objectives import make_loss
    from vae_jax.optim import make_optimizer
    from vae_jax.training.devices import make_parallel
    from vae_jax.training.state import create_state
    from vae_jax.training.step import Inputs, make_train_step

    spec, module = get_spec(model), create_model(model)
    recipe, optimizer, parallel = (
        spec.recipe,
        make_optimizer(model),
        make_parallel(mode, devices, axis),
    )
    loss = make_loss(model, axis_name=parallel.axis_name)
    init_key, key = jax.random.split(jax.random.key(0))
    float_type = jax.dtypes.canonicalize_dtype(float)
    state = create_state(module, optimizer, init_key)
    state = jax.tree.map(
        lambda leaf: leaf.astype(float_type) if leaf.dtype == np.float32 else leaf, state
    )
    state = parallel.put_state(state)

    def reversed_loss(params, stats, batch, noise, **others):
        batch, noise = jax.tree.map(lambda rows: rows[::-1], (batch, noise))
        return loss(params, stats, batch, noise, **others)

    step = parallel.compile_step(
        make_train_step(
            reversed_loss if reverse else loss,
            optimizer,
            Inputs.of(spec, module.latent_size, recipe, parallel.axis_name),
            on_nonfinite="stop",
        )
    )
    data = open_dataset(recipe.data, module.image_shape).train
    taken, epoch, metrics = 0, 0, {}
    while taken < steps:
        epoch += 1
        for batch in iterate_batches(
            data,
            batch_size=recipe.batch_size,
            seed=0,
            epoch=epoch,
            shard=(jax.process_index(), jax.process_count()),
            width=parallel.width(recipe.batch_size),
        ):
            if not spec.num_classes:
                del batch["label"]
            state, metrics = step(state, parallel.put_batch(batch), key, np.True_)
            taken += 1
            if taken == steps:
                break
    params = parallel.on_one(state).params
    if jax.process_index() == 0:
        leaves = jax.tree_util.tree_leaves_with_path(params)
        arrays: dict[str, Any] = {
            jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
            for path, leaf in leaves
        }
        arrays["loss"] = np.asarray(metrics["loss"])
        total = parallel.num_devices
        np.savez(folder / f"{name} {total}.npz", **arrays)


if __name__ == "__main__":
    main()
