"""Small things to feed the command line."""

import struct

import numpy as np

HYPER = ["--hyper", "latent_size=3", "--hyper", "hidden_size=8"]


def write_idx(folder, num_examples=22, seed=0):
    """MNIST's own files, of noise; the classes go round."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", num_examples), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for kind, array in (("images", images), ("labels", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            path = folder / f"{prefix}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(header + array.tobytes())
    return folder
