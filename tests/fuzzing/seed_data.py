"""Real files of data, runs and Flax folders to begin with, of a few kilobytes each."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .seed_checkpoints import Case, read_folder, written

ORIENTATION = bytes.fromhex("45786966000049492a00080000000100120103000100000006000000 00000000")
"""A camera's EXIF data: the picture lies on its side."""
_SMALLEST = {"latent_size": 1, "hidden_size": 1}  # digits_ae


def idx_folder(pack: Callable[[bytes], bytes] = bytes, suffix: str = "") -> list[Case]:
    """Return the two files of a training set of 4x5 pixels."""
    images = np.arange(6 * 20, dtype=np.uint8).reshape(6, 4, 5)
    return [
        {
            f"train-images-idx3-ubyte{suffix}": pack(_idx(images)),
            f"train-labels-idx1-ubyte{suffix}": pack(_idx(np.arange(6) % 3)),
        }
    ]


def _idx(array: np.ndarray) -> bytes:
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def pictures(suffix: str, *modes: str, **options: Any) -> list[Case]:
    """Return a picture of some detail in each mode."""
    import PIL.Image

    ramp = np.arange(24 * 20 * 3).reshape(20, 24, 3) * 7 % 256
    rgb = PIL.Image.fromarray(ramp.astype(np.uint8))
    cases = []
    for mode in modes:
        via = rgb.convert("L") if mode in ("I", "F", "I;16", "1", "LA") else rgb
        picture = via.convert(mode)
        picture.save(buffer := io.BytesIO(), PIL.Image.registered_extensions()[suffix], **options)
        cases.append({f"a{suffix}": buffer.getvalue()})
    return cases


def attributes() -> list[Case]:
    """Return a table of two pictures."""
    text = "file,hat,age\nb/2.png,no,\na/1.png,yes,31\n"
    return [{"attributes.csv": text.encode()}, {"attributes.csv": text.encode("utf-8-sig")}]


def folder() -> list[Case]:
    """Return two classes of pictures, with a table of attributes and without."""
    first, second = (pictures(suffix, "RGB")[0] for suffix in (".png", ".jpg"))
    files = {"a/1.png": first["a.png"], "b/2.png": second["a.jpg"]}
    return [files, files | attributes()[0]]


def run_json() -> list[Case]:
    """Return the descriptions of two runs."""
    from vae_jax import MODELS

    cases = []
    for name, hyper in (("digits_ae", {"latent_size": 3}), ("conv_vae", {"widths": [2, 4]})):
        recipe = dataclasses.asdict(MODELS[name].recipe)
        text = json.dumps({"model": name, "hyper": hyper, "recipe": recipe, "data": {}}, indent=2)
        cases.append({"run.json": text.encode()})
    return cases


def metrics() -> list[Case]:
    """Return the lines that a training writes."""
    lines = [
        {"epoch": n, "step": 9 * n, "loss": 1.5 / n, "test": {"elbo": -9.0}} for n in (1, 2, 3)
    ]
    return [{"metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()}]


def checkpoint_metadata() -> list[Case]:
    """Return what is stored beside a checkpoint's arrays, at an epoch's end and within one."""
    from vae_jax.training.metadata import CheckpointMetadata, with_checksum

    checksums = {"params/decode/bias": 3_735_928_559, "step": 7}
    stored = (
        CheckpointMetadata(digest=checksums, loss=0.25, totals={}),
        CheckpointMetadata(digest=checksums, loss=None, totals={"loss": 1e3, "skipped": 2}),
    )
    texts = (
        json.dumps({"item_handlers": {}, "custom_metadata": with_checksum(one)}) for one in stored
    )
    return [{"_CHECKPOINT_METADATA": text.encode()} for text in texts]


def flax_folder() -> list[Case]:
    """Return a Flax checkpoint folder of the smallest model."""
    from vae_jax.training.checkpoint import save_variables

    with tempfile.TemporaryDirectory() as folder:
        save_variables(Path(folder) / "a", "digits_ae", _SMALLEST, _smallest_variables())
        return [read_folder(Path(folder) / "a")]


def model_weights() -> list[Case]:
    """Return the reference's checkpoint of the smallest model."""
    from vae_jax import export_weights

    tensors = export_weights("digits_ae", _smallest_variables(), **_SMALLEST)
    return written("a.safetensors", tensors)


@functools.cache
def _smallest_variables() -> Any:
    import jax

    from vae_jax.models import create_model, init_variables

    variables = init_variables(create_model("digits_ae", **_SMALLEST), jax.random.key(0))
    return jax.tree.map(np.asarray, variables)


def parity_bundle() -> list[Case]:
    """Return a parity bundle cut down to its first observation."""
    from vae_jax.parity.recording import FORMAT

    about = {
        "seed": 0,
        "format": FORMAT,
        "model": "digits_ae",
        "hyper": {"latent_size": 2},
        "framework": "PyTorch 2.0",
        "batch_size": 2,
        "steps": 2,
        "weights_sha256": "ab" * 32,
        "weights_from_seed": True,
        "layouts": [[["w", 3], ["b", 2]]],
        "observations": [["weights and inputs", 0, 0], ["outputs", 1, 0]],
    }
    arrays = {
        "values": np.arange(10.0),
        "float32": np.zeros(4, np.float32),
        "metadata": np.frombuffer(json.dumps(about).encode(), np.uint8),
    }
    return written("a.safetensors", arrays)
