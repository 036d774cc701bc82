"""Find and read TensorFlow checkpoints (the V2 format of TF1's ``Saver`` and of TF2).

One checkpoint is several files with a common prefix: ``train-9.index``, a sorted table of the
variables, and ``train-9.data-00000-of-00001``, the values. TensorFlow reads the values, but it
aborts the whole process at an impossible entry of the index, so ``index`` checks the index first.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re

import numpy as np

from vae_jax.convert.errors import reading
from vae_jax.convert.tensorflow.index import AGAIN, numeric_variables
from vae_jax.convert.tensorflow.library import load_tensorflow
from vae_jax.errors import CheckpointError


def checkpoint_prefix(path: str | os.PathLike[str]) -> str | None:
    """Return the prefix of the TensorFlow checkpoint that a path names, without TensorFlow.

    Args:
        path: the prefix (``train-9``), one of its files (``.index``, ``.data``, ``.meta``), a
            SavedModel's folder or file; or the file ``checkpoint`` that names the latest, or its
            folder; a folder named in that file is ignored.

    Returns:
        The prefix, or None if the path names no TensorFlow checkpoint.
    """
    text = os.fspath(path)
    if _is_prefix(text):
        return text
    file = re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", text, re.DOTALL)
    if file and os.path.isfile(text):
        return file[1]
    if text.endswith(".meta") and _is_prefix(text.removesuffix(".meta")):
        return text.removesuffix(".meta")
    is_folder = os.path.isdir(text)
    folder = text if is_folder else os.path.dirname(text)
    saved = os.path.join(folder, "saved_model.pb")
    if os.path.isfile(saved) and (is_folder or os.path.basename(text) == "saved_model.pb"):
        return os.path.join(folder, "variables", "variables")
    state = os.path.join(text, "checkpoint") if is_folder else text
    content = b""
    if os.path.isfile(state):
        with contextlib.suppress(OSError), open(state, "rb") as stream:
            content = stream.read(1 << 16)
    if not (is_folder or content.startswith(b"model_checkpoint_path:")):
        return None
    line = re.search(rb'^model_checkpoint_path: "(.+)"\s*$', content, re.MULTILINE)
    if line is None:
        return None
    # Text protobufs write non-ASCII bytes in octal, and a backslash before a quote.
    name = re.sub(
        rb"\\([0-3][0-7]{2}|.)",
        lambda found: bytes([int(found[1], 8)]) if len(found[1]) == 3 else found[1],
        line[1],
    )
    return os.path.join(folder, re.split(r"[/\\]", os.fsdecode(name))[-1])


def _is_prefix(text: str) -> bool:
    is_index = os.path.isfile(f"{text}.index")
    return is_index or bool(glob.glob(f"{glob.escape(text)}.data-?????-of-?????"))


def read_tensorflow(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every variable of a checkpoint, including an optimiser's slots and counters.

    No code is run: the graph in the ``.meta`` file is not opened.

    Args:
        path: as for ``checkpoint_prefix``.

    Returns:
        The variables' names and arrays, without those that are not numbers (strings, resources).

    Raises:
        CheckpointError: the checkpoint is incomplete, damaged or hostile.
        MissingExtraError: TensorFlow is not installed.
    """
    with reading(path, AGAIN, Exception):  # TensorFlow has its own error classes
        prefix = checkpoint_prefix(path)
        if prefix is None:
            raise CheckpointError(
                "is not a TensorFlow checkpoint: expected its prefix (train-9 beside "
                "train-9.index), one of its files, or a folder with TensorFlow's file 'checkpoint'"
            )
        names = numeric_variables(prefix)
        tf = load_tensorflow("reading a TensorFlow checkpoint")
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
