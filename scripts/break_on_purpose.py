"""Mutates each port with each known mistake of porters that applies to it, one at a time.

Prints a table in Markdown: where the comparison with the live original, in float64, first diverged.
The exit status is 1 unless every mutation was caught at its stage and layer. Needs the extras
`torch`, `paddle` and `tensorflow`; about three minutes on 2 cores:

    python scripts/break_on_purpose.py
    python scripts/break_on_purpose.py digits_vae stddev_vae
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the mutations, which live with the tests

from tests.parity.mutation_check import MutationCheck
from tests.parity.mutations import MUTATIONS
from vae_jax.markdown import table
from vae_jax.models import MODELS, get_spec


def main() -> None:
    """Print the table, and how many mutations were caught."""
    parser = argparse.ArgumentParser(description="Breaks the ports on purpose.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    args = parser.parse_args()
    started, caught, tried = time.perf_counter(), 0, 0
    names = [get_spec(name).name for name in args.models or MODELS]
    cells = {mutation.name: dict.fromkeys(names, "-") for mutation in MUTATIONS}
    for name in names:
        check = MutationCheck(name)
        assert check.first_divergence() is None, f"{name} diverges without a mutation"
        for mutation in (m for m in MUTATIONS if name in m.where):
            found = check.first_divergence(mutation)
            correct = check.is_caught(mutation, found)
            tried, caught = tried + 1, caught + correct
            cell = "not seen" if found is None else f"{found[0].value}: {found[1]}"
            cells[mutation.name][name] = cell if correct else f"**{cell}**"
            print(f"{name}, {mutation.name}: {cell}", file=sys.stderr, flush=True)
    print(table(["mutation", *names], ([name, *row.values()] for name, row in cells.items())))
    minutes = (time.perf_counter() - started) / 60
    print(f"\n{caught} of {tried} caught at the right stage and layer, in {minutes:.1f} minutes")
    sys.exit(caught != tried)


if __name__ == "__main__":
    main()
