"""Real files of data, runs and folders to begin with, of a few kilobytes each."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.fuzzing.seeds import Case, checkpoint_files, read_folder

ORIENTATION = bytes.fromhex("45786966000049492a00080000000100120103000100000006000000 00000000")
"""A camera's EXIF data: the picture lies on its side."""


def idx(array: np.ndarray) -> bytes:
    """An IDX file of bytes."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def idx_folder(pack: Callable[[bytes], bytes] = bytes, suffix: str = "") -> Case:
    """The two files of a training set, of 4x5 pixels."""
    images = np.arange(6 * 20, dtype=np.uint8).reshape(6, 4, 5)
    return {
        f"train-images-idx3-ubyte{suffix}": pack(idx(images)),
        f"train-labels-idx1-ubyte{suffix}": pack(idx(np.arange(6) % 3)),
    }


def pictures(suffix: str, *modes: str, **options: Any) -> list[Case]:
    """A picture of some detail in each mode."""
    import PIL.Image

    ramp = np.arange(24 * 20 * 3).reshape(20, 24, 3) * 7 % 256
    rgb = PIL.Image.fromarray(ramp.astype(np.uint8))
    cases = []
    for mode in modes:
        via = rgb.convert("L") if mode in ("I", "F", "I;16", "1", "LA", "PA") else rgb
        picture = via.convert(mode)
        picture.save(buffer := io.BytesIO(), PIL.Image.registered_extensions()[suffix], **options)
        cases.append({f"a{suffix}": buffer.getvalue()})
    return cases


def run_json() -> list[Case]:
    """A run's description and its metrics."""
    from vae_jax.models import get_spec

    cases = []
    for name, hyper in (("digits_ae", {"latent_size": 3}), ("conv_vae", {"widths": [2, 4]})):
        recipe = dataclasses.asdict(get_spec(name).recipe)
        text = json.dumps({"model": name, "hyper": hyper, "recipe": recipe, "data": {}}, indent=2)
        cases.append({"run.json": text.encode()})
    return cases


def flax_folder() -> list[Case]:
    """A Flax checkpoint folder of the smallest model."""
    import jax

    from vae_jax.models import create_model, init_variables
    from vae_jax.training.checkpoint import save_variables

    hyper = {"latent_size": 1, "hidden_size": 1}
    variables: Any = init_variables(create_model("digits_ae", **hyper), jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        save_variables(Path(folder) / "a", "digits_ae", hyper, jax.tree.map(np.asarray, variables))
        return [read_folder(Path(folder) / "a")]


def metrics() -> list[Case]:
    """The lines that a training writes."""
    lines = [
        {"epoch": n, "step": 9 * n, "loss": 1.5 / n, "test": {"elbo": -9.0}} for n in (1, 2, 3)
    ]
    return [{"metrics.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()}]


def description() -> list[Case]:
    """What lies beside a checkpoint's arrays, at an epoch's end and within one."""
    from vae_jax.training.description import Description, sealed

    digest = {"params/decode/bias": 3_735_928_559, "step": 7}
    told = (
        Description(digest=digest, loss=0.25, totals={}),
        Description(digest=digest, loss=None, totals={"loss": 1e3, "skipped": 2}),
    )
    texts = (json.dumps({"item_handlers": {}, "custom_metadata": sealed(one)}) for one in told)
    return [{"_CHECKPOINT_METADATA": text.encode()} for text in texts]


def attributes() -> list[Case]:
    """A table of two pictures."""
    text = "file,hat,age\nb/2.png,no,\na/1.png,yes,31\n"
    return [{"attributes.csv": text.encode()}, {"attributes.csv": text.encode("utf-8-sig")}]


def folder() -> list[Case]:
    """Two classes of pictures, with a table of attributes."""
    first, second = (pictures(suffix, "RGB")[0] for suffix in (".png", ".jpg"))
    files = {"a/1.png": first["a.png"], "b/2.png": second["a.jpg"]}
    return [files, files | attributes()[0]]


def bundle() -> list[Case]:
    """A parity bundle cut down to its first observation."""
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
    return [checkpoint_files("a.safetensors", arrays)]


def small_model() -> dict[str, np.ndarray]:
    """The weights of a model of every size 1."""
    from vae_jax.convert.mapping import source_shapes

    shapes = source_shapes("digits_ae", latent_size=1, hidden_size=1)
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
