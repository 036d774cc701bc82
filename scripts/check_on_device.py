"""Checks the ports on this machine's own device against the shipped recordings of their originals.

Needs only JAX, Flax, Optax and NumPy: no original, no command-line library, and in a checkout not
even the package installed. On a GPU or a TPU:

    PYTHONPATH=. python scripts/check_on_device.py --precision float32 --precision tf32

prints the tables with the device's name; `--out DIR` keeps report.json and report.md (with
matplotlib installed, the figure too). The exit status is 1 when an error exceeds its tolerance.
"""

import argparse
import sys
import time
from pathlib import Path

from vae_jax import read_checkpoint
from vae_jax.models import MODELS, get_spec
from vae_jax.parity.bundle import bundle_file, check_bundle
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.tables import device_names, summary, table, write_reports


def main() -> None:
    """Prints a table a model and precision, and the summary."""
    parser = argparse.ArgumentParser(description="Checks the ports on this device.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, dest="precisions")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    started, reports = time.perf_counter(), []
    for name in args.models or MODELS:
        recorded = read_checkpoint(bundle_file(get_spec(name).name))
        for precision in args.precisions or ["float64", "float32"]:
            reports.append(check_bundle(recorded, precision=precision))
            print(f"{table(reports[-1])}\n", flush=True)
    minutes = (time.perf_counter() - started) / 60
    print(f"{summary(reports)}\n\n{minutes:.1f} minutes on {device_names()}")
    if args.out:
        write_reports(args.out, reports)
    sys.exit(0 if all(report.passed for report in reports) else 1)


if __name__ == "__main__":
    main()
