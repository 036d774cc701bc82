"""How fast the synthetic faces are drawn and written, and sixteen of them.

Usage: python scripts/benchmarks/faces.py [--count 5000] [--picture faces.png]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import tempfile
import time

import numpy as np

from vae_jax.data.face_drawing import draw_face
from vae_jax.data.faces import make_face, write_faces
from vae_jax.figures import image_table, save_figure


def main() -> None:
    """Prints faces a second, drawn and written, and saves the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--picture", type=pathlib.Path, default=pathlib.Path("faces.png"))
    options = parser.parse_args()

    started = time.perf_counter()
    for index in range(options.count):
        draw_face(make_face(0, index, options.count))
    report(options.count, "drawn on one core", time.perf_counter() - started)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_faces(pathlib.Path(folder) / "faces", options.count, seed=0)
        seconds = time.perf_counter() - started
    report(options.count, f"drawn and written as PNG on {os.cpu_count()} cores", seconds)

    chosen = np.random.default_rng(0).choice(options.count, 16, replace=False)
    pictures = np.stack([draw_face(make_face(0, int(i), options.count)) for i in chosen])
    save_figure(image_table(pictures, 8), options.picture)
    print(f"16 faces drawn at random: {options.picture}")


def report(count: int, what: str, seconds: float) -> None:
    """One line."""
    print(f"{count} faces {what}: {seconds:.1f} s, {count / seconds:.0f} a second")


if __name__ == "__main__":
    main()
