"""Import TensorFlow quietly, and keep it on the CPU."""

from __future__ import annotations

import os
import warnings
from types import ModuleType
from typing import Any

from vae_jax.errors import MissingExtraError


def load_tensorflow(purpose: str) -> ModuleType:
    """Import TensorFlow without its log messages, and return it.

    Raises:
        MissingExtraError: it is not installed; ``purpose`` begins the message.
    """
    # oneDNN kernels log at every level, and round differently from CPU to CPU.
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
        for name in added:  # child processes must not inherit them
            os.environ.pop(name, None)
    return tf


def cpu_session(tf: ModuleType, graph: object, threads: int = 1) -> Any:
    """Return a session for a graph that leaves the GPU and its memory alone.

    With ``threads=0`` TensorFlow chooses the number of threads.
    """
    config = tf.compat.v1.ConfigProto(
        device_count={"GPU": 0},
        intra_op_parallelism_threads=threads,
        inter_op_parallelism_threads=threads,
    )
    return tf.compat.v1.Session(graph=graph, config=config)
