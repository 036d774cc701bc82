"""Records what the live originals compute, so that parity can be checked without them.

Writes `vae_jax/assets/bundles/MODEL.safetensors` for each model named, all by default, each under
100 kB. `vae-jax parity MODEL --recorded` compares with them. Needs the extras `torch`, `paddle` and
`tensorflow`; some minutes on 2 cores, most of them for face_vae:

    python scripts/record_reference.py
    python scripts/record_reference.py digits_ae conv_vae --out somewhere
"""

import argparse
import time
from pathlib import Path

from vae_jax import write_checkpoint
from vae_jax.models import MODELS, get_spec
from vae_jax.parity.bundle import bundle_file, record

LIMIT = 100_000  # bytes
STEPS = {"face_vae": 3}  # of 63 million weights; the others 20


def main() -> None:
    """Prints a line a model: the file and its size."""
    parser = argparse.ArgumentParser(description="Records what the originals compute.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument("--out", type=Path, help="folder; default: the package's own")
    args = parser.parse_args()
    for name in args.models or MODELS:
        path = bundle_file(get_spec(name).name)
        if args.out is not None:
            path = args.out / path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        write_checkpoint(path, record(name, steps=STEPS.get(name, 20)))
        size = path.stat().st_size
        assert size < LIMIT, f"{path} has {size:,} bytes; recordings have less than {LIMIT:,}"
        print(f"{path}: {size:,} bytes, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
