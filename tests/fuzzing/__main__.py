"""Gives every reader of outside bytes damaged copies of real files.

Prints a table in Markdown: how many were accepted and refused, the longest time for one and the
most memory beyond that of the process. The exit status is 1 if a reader broke its contract (see
tests/fuzzing/trial.py); each file that it broke at is saved, and can be tried again:

    python scripts/fuzz_readers.py --inputs 100000
    python scripts/fuzz_readers.py --reader png --reader jpeg --inputs 5000
    python scripts/fuzz_readers.py --replay fuzz_failures/png-17.zip --reader png

Needs the extras `torch` and `tensorflow` for the files of these frameworks, and `explore` for its
uploads; `--without tensorflow` leaves a framework's readers out.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .campaign import try_reader
from .cases import load_case
from .readers import READERS, real_cases
from .trial import attempt


def main() -> int:
    """Print the table, or what becomes of one file; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Whole)
    frameworks = sorted({reader.needs for reader in READERS.values()} - {""})
    parser.add_argument("--inputs", type=int, default=10_000, help="in all, over the readers")
    parser.add_argument("--reader", action="append", choices=READERS, help="default: all")
    parser.add_argument(
        "--without", action="append", default=[], choices=frameworks, help="leave its readers out"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all inputs")
    parser.add_argument("--failures", type=Path, default=Path("fuzz_failures"), help="a folder")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="of --failures; one --reader")
    args = parser.parse_args()
    names = args.reader or [n for n, r in READERS.items() if r.needs not in args.without]
    if args.replay:
        if len(names) != 1:
            parser.error("--replay needs one --reader")
        return replay(names[0], args.replay)
    return try_all(names, args.inputs, args.seed, args.failures)


def try_all(names: list[str], inputs: int, seed: int, failures: Path) -> int:
    """Try all readers; return 1 if one of them failed."""
    shares = sum(READERS[name].share for name in names)
    begin, tried, failed = time.perf_counter(), 0, 0
    print("| reader | inputs | accepted | refused | failures | longest | most memory |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in names:
        count = max(1, round(inputs * READERS[name].share / shares))
        tally = try_reader(name, count, failures.absolute(), seed)
        print(
            f"| {name} | {tally.tried:,} | {tally.accepted:,} | {tally.refused:,} | "
            f"{len(tally.faults)} | {1000 * tally.seconds:.0f} ms | {tally.memory / 1e6:.1f} MB |",
            flush=True,
        )
        tried, failed = tried + tally.tried, failed + len(tally.faults)
        for path, fault in tally.faults.items():
            print(f"{path}: {fault}", file=sys.stderr, flush=True)
    minutes = (time.perf_counter() - begin) / 60
    print(f"\n{failed} failures in {tried:,} inputs, in {minutes:.1f} minutes")
    return int(failed > 0)


def replay(name: str, path: Path) -> int:
    """Try one saved file; return 1 if the reader fails."""
    with tempfile.TemporaryDirectory() as folder:
        for case in real_cases(name):  # what is loaded with the first file is not this one's memory
            attempt(READERS[name], case, Path(folder) / "case")
        outcome = attempt(READERS[name], load_case(path), Path(folder) / "case")
    verdict = outcome.fault or ("accepted" if outcome.accepted else f"refused: {outcome.message}")
    print(f"{verdict} ({1000 * outcome.seconds:.0f} ms, {outcome.memory / 1e6:.1f} MB)")
    return int(outcome.fault is not None)


class _Whole(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The text above as it is, and the defaults."""


if __name__ == "__main__":
    sys.exit(main())
