"""Puts each known fault of ports into each port that it can happen to, one at a time.

Prints a table in markdown: where the comparison with the live original, in float64, first saw the
fault. The exit status is 1 unless every fault was seen at the right stage and layer. Needs the
extras `torch`, `paddle` and `tensorflow`; about three minutes on 2 cores:

    python scripts/break_on_purpose.py
    python scripts/break_on_purpose.py digits_vae stddev_vae
"""

import argparse
import sys
import time

from vae_jax.models import MODELS, get_spec
from vae_jax.parity.faults import FAULTS
from vae_jax.parity.injection import Injection


def main() -> None:
    """Prints the table, and how many faults were seen where they are."""
    parser = argparse.ArgumentParser(description="Breaks the ports on purpose.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    args = parser.parse_args()
    started, right, tried = time.perf_counter(), 0, 0
    names = [get_spec(name).name for name in args.models or MODELS]
    cells = {fault.name: dict.fromkeys(names, "-") for fault in FAULTS}
    for name in names:
        injection = Injection(name)
        assert injection.first_divergence(None) is None, f"{name} diverges without a fault"
        for fault in (f for f in FAULTS if name in f.where):
            found = injection.first_divergence(fault)
            correct = injection.is_right(fault, found)
            tried, right = tried + 1, right + correct
            cell = "not seen" if found is None else f"{found[0]}: {found[1]}"
            cells[fault.name][name] = cell if correct else f"**{cell}**"
            print(f"{name}, {fault.name}: {cell}", file=sys.stderr, flush=True)
    print(f"| fault | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for fault, found in cells.items():
        print(f"| {fault} | {' | '.join(found.values())} |")
    minutes = (time.perf_counter() - started) / 60
    print(f"\n{right} of {tried} seen at the right stage and layer, in {minutes:.1f} minutes")
    sys.exit(right != tried)


if __name__ == "__main__":
    main()
