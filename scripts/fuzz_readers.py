"""Gives every reader of outside bytes damaged copies of real files: runs tests/fuzzing.

python scripts/fuzz_readers.py --inputs 100000
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    runpy.run_module("fuzzing", run_name="__main__")
