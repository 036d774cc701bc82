"""What a data-parallel step costs by itself: its time, and its traffic.

Timed are virtual devices of this machine's CPU beside one device under jit with the same batch.
They share its cores: what shows is the overhead of dividing a step and summing over devices, and
whether several programs keep the cores busier than one. Bytes are counted in the compiled program,
beside 4 for each gradient, batch norm's sums and the metrics.

    python scripts/benchmarks/scaling.py
    python scripts/benchmarks/scaling.py --part traffic --model face_vae --model digits_cvae
"""

from __future__ import annotations

import argparse
import os
from typing import Any

COUNTS = (1, 2, 4, 8)
MODES = ("sharded", "pmap")
PARTS = ("time", "traffic")


def main() -> None:
    """Print the tables, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    parser.add_argument("--model", action="append", help="default: digits_vae")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--weak-batch", type=int, default=16, help="images a device")
    options = parser.parse_args()
    # Read when JAX is asked for its devices for the first time.
    flags = f"--xla_force_host_platform_device_count={COUNTS[-1]}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    parts, models = options.part or PARTS, options.model or ["digits_vae"]
    for model in models if "time" in parts else []:
        print_times(model, options)
    if "traffic" in parts:
        print_traffic(list(dict.fromkeys([*models, "face_vae"])))


def row(*cells: Any) -> None:
    """A line of a Markdown table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(title: str, *names: str) -> None:
    """What stands above a table."""
    print(f"\n{title}\n")
    row(*names)
    row(*["---"] * len(names))


def prepare(
    model: str, mode: Any, devices: int, batch_size: int, model_axis: int = 1, kernels: Any = None
) -> Any:
    """The compiled step's jit object, and its arguments on the devices."""
    import jax
    import numpy as np

    from vae_jax.models import create_model, get_spec
    from vae_jax.objectives import loss_of
    from vae_jax.optim import make_optimizer
    from vae_jax.training.devices import make_parallel
    from vae_jax.training.state import create_state
    from vae_jax.training.step import Inputs, make_train_step

    spec, module, optimizer = get_spec(model), create_model(model), make_optimizer(model)
    parallel = make_parallel(mode, devices, model_axis)
    train_step = make_train_step(
        loss_of(module.clone(kernels=kernels), spec, spec.recipe, parallel.axis_name),
        optimizer,
        Inputs.of(spec, module.latent_size, spec.recipe, parallel.axis_name),
        on_nonfinite="stop",
    )
    random = np.random.default_rng(0)
    shape = (batch_size, *module.image_shape)
    batch: Any = {"image": random.integers(0, 256, shape, dtype=np.uint8)}
    if spec.num_classes:
        batch["label"] = random.integers(0, spec.num_classes, batch_size, dtype=np.int32)
    state = parallel.put_state(create_state(module, optimizer, jax.random.key(0)))
    given = parallel.put_batch(batch), jax.random.key(1), parallel.put_data(np.True_)
    return parallel.compile_step(train_step), state, given


def print_times(model: str, options: Any) -> None:
    """Milliseconds a step, all ways taking turns."""
    from contest.neighbours import settle

    from vae_jax.benchmark.timing import interleave
    from vae_jax.models import get_spec

    full, each = get_spec(model).recipe.batch_size, options.weak_batch
    kinds = {"strong": [full // n * n for n in COUNTS], "weak": [each * n for n in COUNTS]}
    wanted = {("jit", 1, size) for sizes in kinds.values() for size in sizes}
    for sizes in kinds.values():
        wanted |= {(mode, n, size) for n, size in zip(COUNTS, sizes, strict=True) for mode in MODES}
    runs = {way: stepper(*prepare(model, *way)) for way in sorted(wanted)}
    names = {" ".join(map(str, way)): way for way in runs}
    found = interleave(
        {name: runs[way] for name, way in names.items()}, options.rounds, rest=settle
    )
    times = {way: found[name] for name, way in names.items()}
    for kind, sizes in kinds.items():
        head(
            f"{model}, {kind} scaling on {os.cpu_count()} cores: ms a step, median (quartiles) of "
            f"{options.rounds} rounds in turns; x is the median ratio to jit in the same round",
            *("devices", "batch", "jit, one device", "sharded", "x", "pmap", "x"),
        )
        for n, size in zip(COUNTS, sizes, strict=True):
            base, cells = times["jit", 1, size], []
            for mode in MODES:
                mine = times[mode, n, size]
                cells += [span(mine), f"{ratio(mine, base):.2f}"]
            row(n, size, span(base), *cells)


def stepper(step: Any, state: Any, given: Any) -> Any:
    """Takes so many steps, each from the state that the one before left, and waits."""
    import jax

    kept = [state]

    def run(count: int) -> None:
        for _ in range(count):
            kept[0], _ = step(kept[0], *given)
        jax.block_until_ready(kept[0])

    return run


def span(times: Any) -> str:
    """A median and its quartiles, in ms."""
    low, high = times.quartiles
    return f"{1e3 * times.median:.1f} ({1e3 * low:.1f} to {1e3 * high:.1f})"


def ratio(mine: Any, base: Any) -> float:
    """The median over rounds, whose drift both have."""
    import statistics

    return statistics.median(a / b for a, b in zip(mine.seconds, base.seconds, strict=True))


def print_traffic(models: list[str]) -> None:
    """Bytes counted in the compiled program beside the bytes expected."""
    from traffic import Sizes

    head(
        "Bytes that a device puts into collectives in a step, counted in the compiled program; "
        "`plain`: with the layers that accelerators take, `cpu`: with those of CPUs",
        *("model", "way", "devices", "layers", "all-reduce", "expected", "ratio", "others"),
    )
    for model in models:
        for mode in MODES:
            for n in COUNTS[1:]:
                for layers in ("plain", "cpu"):
                    print_counted(model, mode, n, 1, layers)
        if Sizes.of(model).divisible:
            for axis in (2, 4):
                print_counted(model, "sharded", 8, axis, "plain")
    for model in models:
        print_divided(model)


def print_counted(model: str, mode: str, devices: int, model_axis: int, layers: str) -> None:
    """A line of the table."""
    from traffic import collectives, expected_bytes, total_bytes

    from vae_jax.models import get_spec

    size = get_spec(model).recipe.batch_size
    kernels = "xla" if layers == "plain" else None
    step, state, given = prepare(model, mode, devices, size, model_axis, kernels)
    found = collectives(step.lower(state, *given).compile().as_text())
    summed, wanted = total_bytes(found, "all-reduce"), expected_bytes(model, model_axis)
    others = [
        f"{kind} {total_bytes(found, kind):,}"
        for kind in sorted({one.kind for one in found} - {"all-reduce"})
    ]
    way = mode if model_axis == 1 else f"{mode}, --model-axis {model_axis}"
    numbers = f"{summed:,}", f"{wanted:,}", f"{summed / wanted:.6f}"
    row(model, way, devices, layers, *numbers, ", ".join(others) or "none")


def print_divided(model: str) -> None:
    """Print what --model-axis leaves of a model on a device."""
    from traffic import Sizes

    sizes = Sizes.of(model)
    if not sizes.divisible:
        return
    head(
        f"{model}: {sizes.parameters:,} parameters, {sizes.divisible:,} of them in matrices that "
        "--model-axis divides. Bytes of gradients that a device sums over the others in a step, "
        "and of parameters with both of Adam's moments that it holds",
        *("--model-axis", "gradients", "held"),
    )
    for axis in (1, 2, 4, 8):
        row(axis, f"{4 * sizes.held(axis):,}", f"{12 * sizes.held(axis):,}")


if __name__ == "__main__":
    main()
