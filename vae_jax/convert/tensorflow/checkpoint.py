"""TensorFlow's checkpoints (the V2 format of TF1's ``Saver`` and of TF2), read and written.

One checkpoint is several files with a prefix in common: ``train-9.index``, a sorted table of what
lies where, and ``train-9.data-00000-of-00001``, the values. TensorFlow reads and writes the values,
but it ends the whole process at an impossible entry of the index: so `index` reads the index
first, and only a sound one is handed on.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.convert.read import one_line
from vae_jax.convert.tensorflow.index import AGAIN, ITEM_BYTES, MAX_NAME, numeric_variables
from vae_jax.errors import CheckpointError, MissingExtraError


def checkpoint_prefix(path: str | os.PathLike[str]) -> str | None:
    """The prefix of the TensorFlow checkpoint that a path means, without TensorFlow.

    Args:
        path: the prefix (``train-9``), one of its files, or a folder whose file ``checkpoint``
            names the latest; where that was in another folder, the name alone counts.

    Returns:
        The prefix, or None where the path means no TensorFlow checkpoint.
    """
    text = os.fspath(path)
    if os.path.isfile(f"{text}.index") or glob.glob(f"{glob.escape(text)}.data-?????-of-?????"):
        return text
    file = re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", text, re.DOTALL)
    if file and os.path.isfile(text):
        return file[1]
    state = os.path.join(text, "checkpoint")
    content = b""
    if os.path.isfile(state):
        with contextlib.suppress(OSError), open(state, "rb") as stream:
            content = stream.read(1 << 16)
    line = re.search(rb'^model_checkpoint_path: "(.+)"\s*$', content, re.MULTILINE)
    if line is None:
        return None
    # Text protobufs write a byte beyond ASCII in octal, and a backslash before a quote.
    name = re.sub(
        rb"\\([0-3][0-7]{2}|.)",
        lambda found: bytes([int(found[1], 8)]) if len(found[1]) == 3 else found[1],
        line[1],
    )
    return os.path.join(text, re.split(r"[/\\]", os.fsdecode(name))[-1])


def read_tensorflow(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read every variable of a checkpoint, an optimiser's slots and counters included.

    Nothing of the checkpoint is run: the graph in its ``.meta`` file is not opened.

    Args:
        path: as for `checkpoint_prefix`.

    Returns:
        The variables' own names and arrays. What is not numbers (strings, resources) is left out.

    Raises:
        CheckpointError: one line that says what was found, what was expected and what to try.
        MissingExtraError: if TensorFlow is not installed.
    """
    with _one_line_errors(path, "cannot be read", AGAIN):
        prefix = checkpoint_prefix(path)
        if prefix is None:
            raise CheckpointError(
                "is no TensorFlow checkpoint: expected its prefix (train-9 beside train-9.index), "
                "one of its files, or a folder with TensorFlow's file 'checkpoint'"
            )
        names = numeric_variables(prefix)
        tf = load_tensorflow("reading a TensorFlow checkpoint")
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        return {name: np.asarray(reader.get_tensor(name)) for name in names}


def write_tensorflow(prefix: str | os.PathLike[str], tensors: Mapping[str, Any]) -> None:
    """Write named arrays as a checkpoint that a TF1 ``Saver`` of such variables restores.

    The files are written to a folder beside the target, read back, compared bit for bit, and moved
    into place, the index last. If that fails, the old files come back; if the process is killed
    just then, the prefix has no index, and the old files are in the hidden folder beside it.

    Args:
        prefix: such as ``out/train-9`` (or ``out/train-9.index``).
        tensors: variable name to array (NumPy or JAX).

    Raises:
        CheckpointError: one line, if the arrays or the place cannot be written; a checkpoint that
            was there before is left as it was.
        MissingExtraError: if TensorFlow is not installed.
    """
    with _one_line_errors(prefix, "cannot be written", "nothing was changed"):
        target = Path(os.path.abspath(os.fspath(prefix).removesuffix(".index")))
        if target.is_dir():
            raise CheckpointError("is a folder: expected a prefix in it, such as train-9")
        if not target.parent.is_dir():
            raise CheckpointError(f"has no folder {str(target.parent)!r}: create it first")
        tf = load_tensorflow("writing a TensorFlow checkpoint")
        arrays = {name: _plain(tf, name, value) for name, value in tensors.items()}
        if not arrays:
            raise CheckpointError("would hold no variables: nothing was written")
        folder = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        try:
            _save(tf, folder / target.name, arrays)
            _compare(read_tensorflow(folder / target.name), arrays)
            _move(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def load_tensorflow(purpose: str) -> Any:
    """TensorFlow, imported without its chatter.

    Raises:
        MissingExtraError: if it is not installed; ``purpose`` begins the message.
    """
    # Its oneDNN kernels announce themselves at every level, and round as the CPU pleases.
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    added = {name: value for name, value in quiet.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("TensorFlow", "tensorflow", purpose) from error
    finally:
        for name in added:  # child processes inherit the rest
            os.environ.pop(name, None)
    return tf


def cpu_session(tf: Any, graph: Any, threads: int = 1) -> Any:
    """A session for a graph on the CPU; a GPU and its memory are left alone.

    With ``threads=0`` TensorFlow takes as many as it likes.
    """
    config = tf.compat.v1.ConfigProto(
        device_count={"GPU": 0},
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
    )
    return tf.compat.v1.Session(graph=graph, config=config)


@contextlib.contextmanager
def _one_line_errors(path, failure: str, advice: str) -> Iterator[None]:
    """Makes every error one line about ``path``: the content is anybody's, and so are TensorFlow's
    errors of it."""
    try:
        yield
    except MissingExtraError:
        raise
    except CheckpointError as error:
        raise CheckpointError(one_line(path, str(error))) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error!s:.300}"
        raise CheckpointError(one_line(path, f"{failure} ({reason}): {advice}")) from error


def _plain(tf: Any, name: Any, value: Any) -> np.ndarray:
    """A contiguous array in the machine's byte order, of a dtype that is read again."""
    if type(name) is not str or not name or len(name.encode()) > MAX_NAME or name[0] == "\0":
        raise CheckpointError(
            f"has the name {name!r:.80}: expected a string, neither empty nor long"
        )
    array = np.asarray(value)
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    with contextlib.suppress(TypeError):
        if tf.as_dtype(array.dtype).as_datatype_enum in ITEM_BYTES:
            return array
    raise CheckpointError(f"variable {name!r} has dtype {array.dtype}: expected plain numbers")


def _save(tf: Any, prefix: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # In a graph of its own: the caller's TensorFlow, its devices and threads, stays as it is.
    with tf.Graph().as_default() as graph:
        values = [tf.compat.v1.placeholder(array.dtype, array.shape) for array in arrays.values()]
        save = tf.raw_ops.SaveV2(
            prefix=os.fspath(prefix),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=values,
        )
    with cpu_session(tf, graph) as session:
        session.run(save, dict(zip(values, arrays.values(), strict=True)))


def _compare(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    for name in sorted({*found, *expected}):
        copy, array = found.get(name), expected.get(name)
        if (
            copy is None
            or array is None
            or (copy.dtype, copy.shape, copy.tobytes())
            != (array.dtype, array.shape, array.tobytes())
        ):
            raise CheckpointError(
                f"was read back with another value of {name!r} than was written: not replaced; "
                "check the disk"
            )


def _move(folder: Path, target: Path) -> None:
    """Puts the new files, the index last, in the place of the old ones; or the old ones back."""
    places = [target.with_name(target.name + end) for end in (".data-00000-of-00001", ".index")]
    (old := folder / "old").mkdir()
    for place in places:
        with open(folder / place.name, "rb") as file:
            os.fsync(file.fileno())
    try:
        for place in reversed(places):
            if place.exists():
                os.replace(place, old / place.name)
        for place in places:
            os.replace(folder / place.name, place)
    except BaseException:
        for place in places:
            if (old / place.name).exists():
                os.replace(old / place.name, place)
            elif not (folder / place.name).exists():
                place.unlink()
        raise
