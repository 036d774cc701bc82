"""Images a second from files to batches: threads, grain's processes, and PyTorch's DataLoader.

Faces of 320x320 are written as JPEG or PNG and read as 256x256, in batches of 16. Each figure is
of a fresh process without its imports, and of one epoch with the start of its workers. The
DataLoader does the same PIL work an item and, as here, leaves bytes to be scaled on the device.

Usage: python scripts/benchmarks/input.py [--images 2000] [--format jpg] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from PIL import Image

BATCH, SIZE, STORED = 16, 256, 320
SHAPE = (SIZE, SIZE, 3)


def by_threads(folder: str) -> tuple[int, float]:
    """`folder:` into a new cache, by threads."""
    return into_cache(folder, num_processes=0)


def by_processes(folder: str) -> tuple[int, float]:
    """`folder:` into a new cache, by a grain process a core."""
    return into_cache(folder, num_processes=os.cpu_count() or 1)


def into_cache(folder: str, num_processes: int) -> tuple[int, float]:
    """Opens the folder with a cache of its own."""
    import tqdm  # noqa: F401  its import is not the measure

    from vae_jax.data import decode, open_dataset

    decode._processes_for = lambda num_pictures: num_processes
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VAE_JAX_CACHE"] = cache
        started = time.perf_counter()
        dataset = open_dataset(f"folder:{folder}", SHAPE)
        return len(dataset.train), time.perf_counter() - started


def processes_started(folder: str) -> tuple[int, float]:
    """Decoding by those processes, the second half of the pictures: without start and end."""
    from vae_jax.data.decode import decode_pictures

    path = pathlib.Path(folder)
    names = sorted(str(p.relative_to(path)) for p in path.glob("*/*"))
    decoded = decode_pictures("", path, names, SHAPE, num_processes=os.cpu_count() or 1)
    times = [time.perf_counter() for _ in decoded]
    half = len(times) // 2
    return len(times) - half, times[-1] - times[half - 1]


def stream(folder: str) -> tuple[int, float]:
    """Batches of `stream:`, by threads."""
    return batches(f"stream:{folder}")


def cached(folder: str) -> tuple[int, float]:
    """Batches of `folder:` from the finished cache."""
    return batches(f"folder:{folder}")


def batches(source: str) -> tuple[int, float]:
    """One epoch, shuffled."""
    from vae_jax.data import iterate_batches, open_dataset

    split, count = open_dataset(source, SHAPE).train, 0
    started = time.perf_counter()
    for batch in iterate_batches(split, batch_size=BATCH, seed=0, epoch=0, drop_remainder=True):
        count += len(batch["image"])
    return count, time.perf_counter() - started


def loader(folder: str, num_workers: int) -> tuple[int, float]:
    """One epoch, shuffled, of PyTorch's DataLoader over torchvision's steps with PIL."""
    import numpy as np
    import torch.utils.data

    class Pictures(torch.utils.data.Dataset):
        paths = sorted(pathlib.Path(folder).glob("*/*"))

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, index):
            with open(self.paths[index], "rb") as file:  # ImageFolder's loader
                image = Image.open(file).convert("RGB")
            short = min(image.size)  # T.Resize(256)
            size = (int(SIZE * image.width / short), int(SIZE * image.height / short))
            image = image.resize(size, Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(image))  # T.PILToTensor()
            return pixels.permute((2, 0, 1)), int(self.paths[index].parent.name == "no_glasses")

    torch.manual_seed(0)
    data = torch.utils.data.DataLoader(
        Pictures(), batch_size=BATCH, shuffle=True, num_workers=num_workers, drop_last=True
    )
    started, count = time.perf_counter(), 0
    for images, _ in data:
        count += len(images)
    return count, time.perf_counter() - started


CORES = os.cpu_count() or 1
MEASURES = {
    "folder: into the cache, threads": by_threads,
    "folder: into the cache, grain processes": by_processes,
    "the same processes once started": processes_started,
    "stream: batches of 16": stream,
    "folder: batches of 16 from the cache": cached,
    "PyTorch DataLoader, 0 workers": lambda folder: loader(folder, 0),
    f"PyTorch DataLoader, {CORES} workers": lambda folder: loader(folder, CORES),
}
BASE = f"PyTorch DataLoader, {CORES} workers"


def write_pictures(folder: pathlib.Path, count: int, suffix: str) -> None:
    """Faces in two class folders, enlarged so that reading has to resize them."""
    from vae_jax.data.face_drawing import draw_face
    from vae_jax.data.faces import CLASS_NAMES, make_face

    for number in range(count):
        face = make_face(0, number, count)
        path = folder / CLASS_NAMES[not face.glasses] / f"{number:05}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(draw_face(face)).resize((STORED, STORED))
        picture.save(path, quality=90, compress_level=1)  # each format takes its own of the two


def main() -> None:
    """Prints a table, or JSON: images a second, the median and the range of the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        count, seconds = MEASURES[options.measure](options.folder)
        print(count / seconds)
        return
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root) / "pictures"
        write_pictures(folder, options.images, options.format)
        environment = os.environ | {"VAE_JAX_CACHE": str(pathlib.Path(root) / "cache")}
        for _ in range(options.rounds):
            for name, rates in found.items():
                command = [sys.executable, __file__, "--measure", name, "--folder", str(folder)]
                done = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
                )
                rates.append(float(done.stdout))
    if options.json:
        print(json.dumps({"images": options.images, "format": options.format, "rates": found}))
        return
    base = statistics.median(found[BASE])
    sizes = f"{STORED}x{STORED} to {SIZE}x{SIZE}"
    print(f"{options.images} {options.format} of {sizes}: images a second (range), and of the last")
    for name, rates in found.items():
        rate = statistics.median(rates)
        spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
        print(f"{name:42}{rate:9,.0f} {spread:>20}{rate / base:8.2f}")


if __name__ == "__main__":
    main()
